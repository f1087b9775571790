//! Asking the trackers of a list as their operator: the cluster key from the keyring is the TLS client key.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_link::api::{CheckResponse, DrillRequest, Empty, StatusResponse, path};
use peerage_link::http::{CallError, ConnectError, TrackerConn};
use peerage_link::keyring::Keyring;
use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_link::tls::{self, ExpectedKey};

use super::Failed;
use super::key::keyring_failed;

/// Connecting to one tracker.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// One answer: a tracker sums up its whole database for a status.
const CALL_MAX: Duration = Duration::from_secs(10);

/// A comparison reads every record of both sides.
const CHECK_MAX: Duration = Duration::from_secs(600);

/// Who asks.
pub struct Operator {
    pub list: TrackerList,
    keyring: Arc<Keyring>,
}

/// What one tracker of the list said.
pub struct Asked {
    /// Counted from 1.
    pub number: usize,
    pub entry: TrackerEntry,
    /// Or why there is no answer.
    pub answer: Result<Answered, Silence>,
}

/// An answer, and how its clock stands.
pub struct Answered {
    pub status: StatusResponse,
    /// Its clock against this machine's, in milliseconds; positive: ahead. Half the round trip may be wrong.
    pub clock_ms: i64,
}

/// Why a tracker gave no answer.
pub enum Silence {
    /// It is down or out of reach.
    Away(String),
    /// It shows another key: another cluster, or not a tracker of ours.
    Stranger(String),
    /// It answered, but not with this.
    Other(String),
}

impl Silence {
    /// The reason as one line.
    pub fn why(&self) -> &str {
        match self {
            Self::Away(why) | Self::Stranger(why) | Self::Other(why) => why,
        }
    }
}

impl Operator {
    /// Reads the list and the keyring beside it.
    pub fn load(path: &Path) -> Result<Self, Failed> {
        let list = TrackerList::load(path)?;
        let keyring = Keyring::load(path).map_err(|error| keyring_failed(error, path))?;
        Ok(Self { list, keyring: Arc::new(keyring) })
    }

    /// Asks all at once, in the order of the list.
    pub async fn ask_all(&self) -> Vec<Asked> {
        let asked = self.list.entries.iter().enumerate().map(|(index, entry)| {
            let (entry, keyring) = (entry.clone(), Arc::clone(&self.keyring));
            tokio::spawn(async move {
                let answer = ask(&entry, &keyring).await;
                Asked { number: index + 1, entry, answer }
            })
        });
        let asked: Vec<_> = asked.collect();
        let mut all = Vec::new();
        for task in asked {
            all.extend(task.await);
        }
        all
    }

    /// Lets one tracker compare its records with all others.
    pub async fn check(&self, entry: &TrackerEntry) -> Result<CheckResponse, Silence> {
        let conn = connect(entry, &self.keyring).await?;
        conn.call_within(path::PEER_CHECK, &Empty {}, CHECK_MAX).await.map_err(silence)
    }

    /// Lets one tracker practise being away.
    pub async fn drill(&self, entry: &TrackerEntry, seconds: u32) -> Result<(), Silence> {
        let conn = connect(entry, &self.keyring).await?;
        let told = conn.call_within::<_, Empty>(path::PEER_DRILL, &DrillRequest { seconds }, CALL_MAX).await;
        told.map(|_| ()).map_err(silence)
    }

    /// Does it accept connections?
    pub async fn is_up(&self, entry: &TrackerEntry) -> bool {
        connect(entry, &self.keyring).await.is_ok()
    }
}

async fn ask(entry: &TrackerEntry, keyring: &Keyring) -> Result<Answered, Silence> {
    let conn = connect(entry, keyring).await?;
    let sent = unix_ms();
    let status: StatusResponse =
        conn.call_within(path::PEER_STATUS, &Empty {}, CALL_MAX).await.map_err(silence)?;
    let middle = sent + (unix_ms() - sent) / 2;
    let clock_ms = i64::try_from(status.unix_ms).unwrap_or(i64::MAX).saturating_sub(middle);
    Ok(Answered { status, clock_ms })
}

async fn connect(entry: &TrackerEntry, keyring: &Keyring) -> Result<TrackerConn, Silence> {
    let expected = ExpectedKey::Exactly(keyring.public());
    let tls = tls::client_config(Some(keyring.signing_key()), expected, &[tls::ALPN_H2]);
    TrackerConn::connect(entry, tls, CONNECT_MAX).await.map_err(|error| match error {
        ConnectError::Unreachable { why, .. } => Silence::Away(why),
        ConnectError::Timeout { .. } => Silence::Away("no answer".to_owned()),
        ConnectError::WrongKey { got, .. } => {
            Silence::Stranger(format!("it has another key ({})", got.tag()))
        }
        ConnectError::NotATracker { why, .. } => Silence::Stranger(why),
    })
}

fn silence(error: CallError) -> Silence {
    match error {
        CallError::Unreachable { why, .. } => Silence::Away(why),
        CallError::Timeout { .. } => Silence::Away("no answer".to_owned()),
        CallError::Refused(refusal) => Silence::Other(refusal.message),
        CallError::Protocol { why, .. } => Silence::Other(why),
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
