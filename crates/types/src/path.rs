//! The only way to open a path that came from outside.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::limits::FILE_PATH_BYTES_MAX;
use crate::name::{FileName, NameError};

/// Why a path from outside is refused: whoever sent it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No component at all.
    #[error("the path is empty")]
    Empty,
    /// Longer than [`FILE_PATH_BYTES_MAX`].
    #[error("the path has {0} bytes, at most {FILE_PATH_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A component that is not a valid file name.
    #[error(transparent)]
    Component(#[from] NameError),
}

/// A relative path of at least one [`FileName`]: it cannot be absolute, climb out of its folder, or smuggle a
/// separator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(Vec<FileName>);

impl SafePath {
    /// Checks every component.
    pub fn new<S: AsRef<str>>(components: impl IntoIterator<Item = S>) -> Result<Self, PathError> {
        let parts: Vec<FileName> =
            components.into_iter().map(|c| c.as_ref().parse()).collect::<Result<_, NameError>>()?;
        let len = parts.iter().map(|p| p.as_str().len() + 1).sum::<usize>();
        match parts.is_empty() {
            true => Err(PathError::Empty),
            false if len > FILE_PATH_BYTES_MAX => Err(PathError::TooLong(len)),
            false => Ok(Self(parts)),
        }
    }

    /// The components, outermost first.
    pub fn components(&self) -> &[FileName] {
        &self.0
    }

    /// The first `count` components as text; all if there are fewer.
    pub fn prefix(&self, count: usize) -> String {
        let parts: Vec<&str> = self.0.iter().take(count).map(FileName::as_str).collect();
        parts.join("/")
    }

    /// The place of this path below `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(self.0.iter().map(FileName::as_str));
        path
    }
}

impl From<FileName> for SafePath {
    fn from(name: FileName) -> Self {
        Self(vec![name])
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if i == 0 { "" } else { "/" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_below_its_root() {
        let path = SafePath::new(["photos", "café.jpg"]).unwrap();
        assert_eq!(path.under(Path::new("/srv")), Path::new("/srv/photos/café.jpg"));
        assert_eq!(path.to_string(), "photos/café.jpg");
        assert_eq!((path.prefix(1).as_str(), path.prefix(9).as_str()), ("photos", "photos/café.jpg"));
        assert!(SafePath::new(["..", "etc"]).is_err());
        assert!(SafePath::new(["/etc/passwd"]).is_err());
        assert_eq!(SafePath::new([""; 0]), Err(PathError::Empty));
        assert!(matches!(SafePath::new(vec!["x".repeat(200); 30]), Err(PathError::TooLong(_))));
    }
}
