//! What is wrong with a file, for people.

use std::fmt;
use std::io;

use peerage_types::SafePath;

/// A file of a folder, and what is wrong with it: the message of an [`io::Error`].
#[derive(Debug)]
pub(super) struct FileFault {
    pub(super) path: SafePath,
    pub(super) why: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path, self.why)
    }
}

impl std::error::Error for FileFault {}

/// What a user needs to know about a file that cannot be used.
pub(in crate::engine) fn describe(error: &io::Error) -> String {
    match error.kind() {
        _ if error.get_ref().is_some() => error.to_string(),
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        io::ErrorKind::UnexpectedEof => "it has become shorter".to_owned(),
        io::ErrorKind::NotADirectory => "something that is no folder is in its way".to_owned(),
        _ => error.to_string(),
    }
}

/// Not what was hashed.
pub(in crate::engine) fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it has changed since it was shared")
}

/// Not what was hashed, although it looks so.
pub(super) fn edited() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its content has changed, though its size and time have not")
}
