//! Where a running node is found: a file in its data folder, and the lock that makes it the only one there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Held by the node that runs in a data folder.
const LOCK: &str = "node.lock";
/// Says where that node listens. Readable by its owner only: it holds the token.
const RUNNING: &str = "node.json";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Why there is no node to talk to, or none can be started.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another one runs with the same data folder.
    #[error("a node already runs with the data folder `{}`{}", .path.display(), .page.as_ref().map(|page| format!(": {page}")).unwrap_or_default())]
    Taken {
        /// The data folder.
        path: PathBuf,
        /// Its page, if it has said where that is.
        page: Option<String>,
    },
    /// None runs.
    #[error("no node runs with the data folder `{}`", .0.display())]
    NotRunning(PathBuf),
    /// The operating system said no.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl HomeError {
    /// The next thing to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Taken { .. } => Some("`peerage status` tells more, `peerage down` ends it"),
            Self::NotRunning(_) => Some("start one with `peerage up`, or name its folder with --data"),
            Self::Io { .. } => None,
        }
    }
}

/// Where a running node's API is, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Where it listens.
    pub api: SocketAddr,
    /// What requests must show.
    pub token: String,
    /// The process.
    pub pid: u32,
}

impl Running {
    /// A node that listens at `api`, with this token or else a fresh random one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(api: SocketAddr, token: Option<&str>) -> io::Result<Self> {
        if let Some(token) = token {
            return Ok(Self { api, token: token.to_owned(), pid: std::process::id() });
        }
        let mut token = [0; TOKEN_BYTES];
        getrandom::fill(&mut token).map_err(io::Error::other)?;
        let token = data_encoding::BASE64URL_NOPAD.encode(&token);
        Ok(Self { api, token, pid: std::process::id() })
    }

    /// The page, opened with the token. The part behind `#` never leaves the browser.
    pub fn page(&self) -> String {
        format!("http://{}/#token={}", self.api, self.token)
    }
}

/// The data folder of a running node; nobody else's until dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// The token of a node that was killed here.
    token: Option<String>,
    /// Holding the file open holds the lock; the kernel frees it however the process ends.
    _lock: File,
}

impl Home {
    /// Takes the folder.
    ///
    /// # Errors
    /// When a node runs there, or the folder cannot be written.
    pub fn take(path: &Path) -> Result<Self, HomeError> {
        let lock_path = path.join(LOCK);
        let fail = |source| HomeError::Io { path: lock_path.clone(), source };
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {
                // What a killed one left is no longer true, but for what opens its page.
                let token = read(path).ok().flatten().map(|running| running.token);
                let _ = fs::remove_file(path.join(RUNNING));
                Ok(Self { path: path.to_owned(), token: token.filter(|token| is_token(token)), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                let page = read(path).ok().flatten().map(|running| format!("http://{}/", running.api));
                Err(HomeError::Taken { path: path.to_owned(), page })
            }
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    /// The token of the node that was killed here, if one was: with it pages that are open find their node again.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Says where the node listens.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, running: &Running) -> Result<(), HomeError> {
        let path = self.path.join(RUNNING);
        let fail = |source| HomeError::Io { path: path.clone(), source };
        let mut options = tempfile::Builder::new();
        #[cfg(unix)]
        options.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
        let mut file = options.tempfile_in(&self.path).map_err(fail)?;
        let text = serde_json::to_vec(running).map_err(|e| fail(e.into()))?;
        file.write_all(&text).map_err(fail)?;
        file.persist(&path).map_err(|e| fail(e.error))?;
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Whoever finds the file although nobody holds the lock knows what that means.
        let _ = fs::remove_file(self.path.join(RUNNING));
    }
}

/// Finds the node that runs in a data folder.
///
/// # Errors
/// When none does, or what it left cannot be read.
pub fn find(path: &Path) -> Result<Running, HomeError> {
    let not_running = || HomeError::NotRunning(path.to_owned());
    let running = read(path)?.ok_or_else(not_running)?;
    let lock_path = path.join(LOCK);
    let fail = |source| HomeError::Io { path: lock_path.clone(), source };
    let lock = match File::open(&lock_path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_running()),
        Err(error) => return Err(fail(error)),
    };
    // Several may look at once; only a node holds it alone.
    match lock.try_lock_shared() {
        // Left behind by one that was killed.
        Ok(()) => Err(not_running()),
        Err(TryLockError::WouldBlock) => Ok(running),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

/// Whether it is one of ours, whole.
fn is_token(text: &str) -> bool {
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES)
}

fn read(path: &Path) -> Result<Option<Running>, HomeError> {
    let file = path.join(RUNNING);
    match fs::read(&file) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(running) => Ok(Some(running)),
            Err(error) => Err(HomeError::Io { path: file, source: error.into() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HomeError::Io { path: file, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_for_each_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(matches!(find(path), Err(HomeError::NotRunning(_))));
        let home = Home::take(path).unwrap();
        let running = Running::new("127.0.0.1:7610".parse().unwrap(), None).unwrap();
        home.announce(&running).unwrap();
        assert_eq!(find(path).unwrap(), running);
        let error = Home::take(path).unwrap_err();
        assert!(error.to_string().contains("http://127.0.0.1:7610/"), "{error}");
        assert!(!error.to_string().contains(&running.token), "a token is not for error messages");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path.join(RUNNING)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(home);
        assert!(matches!(find(path), Err(HomeError::NotRunning(_))));
    }

    #[test]
    fn a_killed_node_is_not_running() {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::new("127.0.0.1:7610".parse().unwrap(), None).unwrap();
        fs::write(folder.path().join(RUNNING), serde_json::to_vec(&running).unwrap()).unwrap();
        assert!(matches!(find(folder.path()), Err(HomeError::NotRunning(_))));
        let next = Home::take(folder.path()).unwrap();
        assert_eq!(next.token(), Some(running.token.as_str()));
        drop(next);
        assert!(!folder.path().join(RUNNING).exists(), "and what it left is cleared away by the next one");
    }
}
