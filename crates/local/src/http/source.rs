//! What the API stands in front of.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use peerage_node::client::{Change, GroupRef, HashReport, Node, Notice, Rates, Refusal};
use tokio::sync::broadcast;

use crate::command::{Command, ParseError};
use crate::reply::{Outcome, human, model};

/// A command's reply that is on its way.
pub type Running<'a> = Pin<Box<dyn Future<Output = Option<Outcome>> + Send + 'a>>;

/// What to know before the node is ended, on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>>;

/// A node; or, where the page itself is measured, something that has as much to say as a very busy one.
pub trait Source: Send + Sync + 'static {
    /// Runs a command; see [`crate::run()`].
    fn run(&self, parsed: Result<Option<Command>, ParseError>, hashed: HashReport) -> Running<'_>;

    /// What nobody else online has, in words; takes a second at most.
    fn last_held(&self) -> Asking<'_>;

    /// Who is logged in.
    fn user(&self) -> Option<String>;

    /// All downloads, as they are now.
    fn downloads(&self) -> Vec<model::Download>;

    /// The folder that a download goes to, and its place.
    ///
    /// # Errors
    /// When there is no such download.
    fn place_of_download(&self, group: &GroupRef, file: &str) -> Result<(PathBuf, PathBuf), Refusal>;

    /// How fast everything together may be.
    fn limits(&self) -> Rates;

    /// Shares of which pieces went bad on the disk.
    fn damaged(&self) -> Vec<String>;

    /// What happens by itself, from now on.
    fn notices(&self) -> broadcast::Receiver<Notice>;

    /// What becomes different about groups, from now on.
    fn changes(&self) -> broadcast::Receiver<Change>;

    /// Where everything is kept.
    fn data(&self) -> &Path;

    /// Where peers connect to.
    fn listen(&self) -> SocketAddr;
}

impl Source for Node {
    fn run(&self, parsed: Result<Option<Command>, ParseError>, hashed: HashReport) -> Running<'_> {
        Box::pin(crate::run(self, parsed, hashed))
    }

    fn last_held(&self) -> Asking<'_> {
        Box::pin(async { human::last_held(&Self::last_held(self).await) })
    }

    fn user(&self) -> Option<String> {
        self.user_name()
    }

    fn downloads(&self) -> Vec<model::Download> {
        self.downloads_now().iter().map(model::Download::from).collect()
    }

    fn place_of_download(&self, group: &GroupRef, file: &str) -> Result<(PathBuf, PathBuf), Refusal> {
        Self::place_of_download(self, group, file)
    }

    fn limits(&self) -> Rates {
        self.limits_now()
    }

    fn damaged(&self) -> Vec<String> {
        self.damaged_now()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        Self::notices(self)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        Self::changes(self)
    }

    fn data(&self) -> &Path {
        self.data_path()
    }

    fn listen(&self) -> SocketAddr {
        Self::listen(self)
    }
}
