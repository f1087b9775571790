//! Finding the cluster behind a tracker list: reading the list, trusting its key, saying hello.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peerage_link::api;
use peerage_link::http::TrackerConn;
use peerage_link::list::{ListError, TrackerList, read_pin, replace_pin};
use peerage_link::tls::{ALPN_H2, ExpectedKey, client_config};
use peerage_types::{ClusterId, PublicKey};

use super::Refusal;
use super::folder::{DataRoot, FolderError};
use super::format::{FormatError, settle_format};
use super::own_list;
use super::pin::KnownClusters;
use super::trackers::{Trackers, TrackersError};

/// How long `peerage trust` waits for each tracker.
const TRUST_MAX: Duration = Duration::from_secs(5);

/// The trackers that share one keyring, as this machine knows them.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) key: PublicKey,
    pub(crate) list: TrackerList,
    /// The list is the one in the data folder, made of an invite: it is ours to complete.
    pub(crate) own_list: bool,
    /// Connections without a device key: registration, login, bundles.
    pub(crate) trackers: Arc<Trackers>,
}

impl Cluster {
    /// Connects to whichever tracker of the list answers, and pins its key if nothing is pinned yet.
    pub(crate) async fn find(list: &Path, root: &DataRoot) -> Result<Self, Refusal> {
        let list = TrackerList::load(list).map_err(|e| Refusal::Local(e.to_string()))?;
        let mut known = KnownClusters::load(root).map_err(|e| Refusal::Local(e.to_string()))?;
        let refuse = |error| refusal(error, &list.path);
        let key = match list.pin.or_else(|| known.key_of(&list)) {
            Some(key) => key,
            None => {
                let learning = trackers(&list, ExpectedKey::Learn, 0);
                let key = learning.connection().await.map_err(refuse)?.server_key();
                known.trust(&list, key).map_err(|e| Refusal::Local(e.to_string()))?;
                tracing::info!(%key, "trusting the trackers' key from now on");
                key
            }
        };
        let trackers = Arc::new(trackers(&list, ExpectedKey::Exactly(key), 0));
        let hello: api::HelloResponse =
            trackers.call(api::path::HELLO, &api::Empty {}).await.map_err(refuse)?;
        let own_list = own_list::is_own(&list.path, root.path());
        Ok(Self { id: hello.cluster, key, list, own_list, trackers })
    }

    /// What a failed call means to a command.
    pub(crate) fn refuse(&self, error: TrackersError) -> Refusal {
        refusal(error, &self.list.path)
    }
}

fn trackers(list: &TrackerList, expected: ExpectedKey, preferred: usize) -> Trackers {
    Trackers::new(list.entries.clone(), client_config(None, expected, &[ALPN_H2]), preferred, Arc::default())
}

/// What a failed call means to a command, where the command itself has nothing to say about it.
pub(crate) fn refusal(error: TrackersError, list: &Path) -> Refusal {
    use api::ErrorCode;
    let error = match error {
        TrackersError::Unreachable { tried, .. } => return Refusal::NoTracker { tried },
        TrackersError::WrongKey { address, expected, got } => {
            return Refusal::WrongKey {
                address,
                expected: expected.to_hex(),
                got: got.to_hex(),
                list: list.to_owned(),
            };
        }
        TrackersError::Protocol(why) => return Refusal::Untrusted(why),
        TrackersError::Refused(error) => error,
    };
    match error.code {
        ErrorCode::NotLoggedIn | ErrorCode::NotCertified => Refusal::NotLoggedIn,
        ErrorCode::DeviceRevoked => Refusal::DeviceRemoved,
        ErrorCode::NotMember => Refusal::NotMember,
        // Whoever was owner or admin a moment ago.
        ErrorCode::NotOwner | ErrorCode::NotAdmin => Refusal::NotOwner,
        ErrorCode::IsAdmin => Refusal::AlreadyAdmin,
        ErrorCode::IsOwner => Refusal::IsOwner,
        ErrorCode::InviteOver => Refusal::InviteOver { why: error.message },
        ErrorCode::NoSuchGrant => Refusal::NotAnAdmin,
        ErrorCode::NotSharer => Refusal::NotSharing,
        ErrorCode::AlreadyRequested => Refusal::AlreadyRequested,
        ErrorCode::AlreadyMember => Refusal::AlreadyMember,
        ErrorCode::NotRequested => Refusal::NotRequested,
        ErrorCode::GroupEnded => Refusal::GroupUnknown,
        ErrorCode::OwnerMustHandOver => Refusal::OwnerStays,
        _ => Refusal::Limit { message: error.message, hint: error.hint },
    }
}

/// The key that this machine trusts for the trackers of a list; `None` before the first contact.
///
/// # Errors
/// When the data folder cannot be read.
pub fn trusted_key(list: &TrackerList, data: &Path) -> Result<Option<PublicKey>, FolderError> {
    let known = KnownClusters::load(&DataRoot::resolve(Some(data))?)?;
    Ok(list.pin.or_else(|| known.key_of(list)))
}

/// What `peerage trust` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The key that is trusted from now on.
    pub key: PublicKey,
    /// The key that was trusted before.
    pub before: Option<PublicKey>,
    /// Trackers that did not answer, as `host:port (reason)`.
    pub silent: Vec<String>,
}

/// Trusts the key that the trackers of a list show now: all that answer must show the same.
///
/// # Errors
/// No tracker reachable; trackers with different keys; a `pin=` in the list itself, which only an editor changes.
pub async fn trust(list: &Path, data: Option<&Path>) -> Result<Trusted, Refusal> {
    let local = |e: &dyn std::fmt::Display| Refusal::Local(e.to_string());
    let root = DataRoot::resolve(data).map_err(|e| local(&e))?;
    settle_format(root.path()).map_err(|e| local(&e))?;
    // Not `load`: it refuses a list whose pins disagree, which is what this repairs.
    let text = std::fs::read_to_string(list)
        .map_err(|why| local(&ListError::Read { path: list.to_owned(), why }))?;
    let parsed = TrackerList::parse(list, &text).map_err(|e| local(&e))?;
    let beside = read_pin(list).map_err(|e| local(&e))?;
    let config = client_config(None, ExpectedKey::Learn, &[ALPN_H2]);
    let mut key: Option<(PublicKey, String)> = None;
    let mut silent = Vec::new();
    for entry in &parsed.entries {
        match TrackerConn::connect(entry, Arc::clone(&config), TRUST_MAX).await {
            Ok(conn) => match &key {
                Some((first, at)) if *first != conn.server_key() => {
                    return Err(Refusal::Local(format!(
                        "the trackers do not agree: {at} has the key {first}, {entry} has {}",
                        conn.server_key()
                    )));
                }
                _ => key = Some((conn.server_key(), entry.to_string())),
            },
            Err(error) => silent.push(error.to_string()),
        }
    }
    let Some((key, _)) = key else { return Err(Refusal::NoTracker { tried: silent }) };
    if let Some(pinned) = parsed.pin.filter(|p| *p != key) {
        let path = list.display();
        return Err(Refusal::Local(format!(
            "`{path}` itself says pin={pinned}, the trackers have {key}: change the list with an editor"
        )));
    }
    let mut known = KnownClusters::load(&root).map_err(|e| local(&e))?;
    let before = beside.or_else(|| known.key_of(&parsed));
    known.trust(&parsed, key).map_err(|e| local(&e))?;
    if beside.is_some_and(|b| b != key) {
        replace_pin(list, &key).map_err(|e| local(&e))?;
    }
    Ok(Trusted { key, before, silent })
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// HOST:PORT makes no sense or cannot be listened on.
    #[error("cannot listen on `{given}`: {why}")]
    Listen {
        /// As given.
        given: String,
        /// The reason.
        why: String,
    },
    /// The tracker list cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
    /// The data folder cannot be used.
    #[error("cannot use the data folder: {0}")]
    Data(String, PathBuf),
    /// It is of another program's format.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { .. } => {
                Some("HOST:PORT is where this device accepts peers, such as 127.0.0.1:7600".into())
            }
            Self::List(_) => Some("each line names a tracker, such as 127.0.0.1:7500".into()),
            Self::Data(..) | Self::Format(_) => Some("choose another folder with --data DIR".into()),
        }
    }

    /// 2: the arguments are wrong; 1: this machine cannot do it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::List(_) => 2,
            Self::Listen { .. } | Self::Data(..) | Self::Format(_) => 1,
        }
    }
}
