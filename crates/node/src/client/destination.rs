//! Where a download goes: the destination of `download_file` is a folder or a file name.

use std::path::{Path, PathBuf};

use peerage_types::FileName;

use super::Refusal;

/// A place for a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The folder it goes to; exists, absolute.
    pub folder: PathBuf,
    /// The name it gets there.
    pub file_name: FileName,
}

impl Destination {
    /// Reads `text` as a folder when it is one or ends in a separator, else as a file name in an existing folder.
    /// Whether something lies at the place already is for the engine to judge: it may be this very download.
    pub fn resolve(text: &str, shared_name: &FileName) -> Result<Self, Refusal> {
        let given = Path::new(text);
        let as_folder = text.ends_with(std::path::is_separator) || given.is_dir();
        let (folder, file_name) = if as_folder {
            (given, shared_name.clone())
        } else {
            let name = given.file_name().and_then(|n| n.to_str());
            let name = name.ok_or_else(|| Refusal::NoSuchFolder { path: given.to_owned() })?;
            let parent = given.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (parent, FileName::normalized(name)?)
        };
        let missing = |_| Refusal::NoSuchFolder { path: folder.to_owned() };
        let folder = folder.canonicalize().map_err(missing)?;
        if !folder.is_dir() {
            return Err(Refusal::NoSuchFolder { path: folder });
        }
        Ok(Self { folder, file_name })
    }

    /// The full path of the complete file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.file_name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(destination: &str, expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("in")).unwrap();
        std::fs::write(root.join("in/taken.bin"), b"x").unwrap();
        let name: FileName = "a b.bin".parse().unwrap();
        let text = format!("{}/{destination}", root.display());
        let shown = match Destination::resolve(&text, &name) {
            Ok(place) => place.path().display().to_string(),
            Err(refusal) => format!("error: {refusal}"),
        };
        expected.assert_eq(&shown.replace(&root.display().to_string(), "ROOT"));
    }

    #[test]
    fn folders_and_file_names() {
        check("in", expect!["ROOT/in/a b.bin"]);
        check("in/", expect!["ROOT/in/a b.bin"]);
        check("in/other.bin", expect!["ROOT/in/other.bin"]);
        check("in/../in/x", expect!["ROOT/in/x"]);
        check("in/taken.bin", expect!["ROOT/in/taken.bin"]);
        check("out/", expect!["error: No such folder: `ROOT/out/`"]);
        check("out/x", expect!["error: No such folder: `ROOT/out`"]);
        check("in/taken.bin/x", expect!["error: No such folder: `ROOT/in/taken.bin`"]);
        check("in/..", expect!["ROOT/a b.bin"]);
    }

    #[test]
    fn a_bare_name_goes_to_the_current_folder() {
        let name: FileName = "x".parse().unwrap();
        let place = Destination::resolve("surely-not-there.bin", &name).unwrap();
        assert_eq!(place.folder, std::env::current_dir().unwrap().canonicalize().unwrap());
    }
}
