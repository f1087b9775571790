//! What a node was started with, kept so that the next `peerage up` needs no arguments.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "node.toml";
const HEAD: &str =
    "# What `peerage up` starts with. Options and PEERAGE_* variables go before it; options are kept here.\n";

/// All of it is optional.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The tracker list.
    pub trackers: Option<PathBuf>,
    /// Where peers connect to, `HOST:PORT`.
    pub listen: Option<String>,
    /// What peers are told instead, `IP:PORT`.
    pub announce: Option<SocketAddr>,
    /// Where the page and the API listen.
    pub page: Option<SocketAddr>,
}

impl Settings {
    /// What is kept in a data folder; nothing if nothing is.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => anyhow::bail!("`{}`: {error}", path.display()),
        };
        toml::from_str(&text).map_err(|error| anyhow::anyhow!("`{}`: {error}", path.display()))
    }

    /// Replaces what is kept, if it is something else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        if Self::load(folder).is_ok_and(|kept| kept == *self) {
            return Ok(());
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        write!(file, "{HEAD}{}", toml::to_string(self)?)?;
        file.persist(folder.join(FILE))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(folder.path()).unwrap(), Settings::default());
        let settings = Settings {
            trackers: Some("/etc/trackers.txt".into()),
            listen: Some("0.0.0.0:7600".into()),
            announce: None,
            page: Some("127.0.0.1:7610".parse().unwrap()),
        };
        settings.save(folder.path()).unwrap();
        assert_eq!(Settings::load(folder.path()).unwrap(), settings);
        fs::write(folder.path().join(FILE), "trakers = 1").unwrap();
        let error = Settings::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("trakers") && error.contains(FILE), "{error}");
    }
}
