//! What connected sessions are told without asking: rows that were applied and presence that changed.
//!
//! The replica's shell and the presence shell put notices in; each event stream reads all of them and passes on what
//! concerns its session.

use std::collections::BTreeSet;

use peerage_ledger::Body;
use peerage_link::api::Event;
use peerage_replica::VerifiedRow;
use peerage_types::{DeviceId, GroupId, InfoHash, Scope, UserId};
use tokio::sync::broadcast;

use crate::limits::EVENTS_LAG_MAX;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) audience: Audience,
    pub(crate) event: Event,
}

/// Whom a notice concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    User(UserId),
    /// Its members, and these users whether or not they are (any more).
    Group(GroupId, BTreeSet<UserId>),
    Device(DeviceId),
}

/// The channel of all notices.
#[derive(Debug)]
pub(crate) struct Notices(broadcast::Sender<Notice>);

impl Notices {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(EVENTS_LAG_MAX))
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.0.subscribe()
    }

    /// Rows have become durable and the views have them. Equal notices of one batch are sent once.
    pub(crate) fn applied(&self, rows: &[VerifiedRow]) {
        let mut sent: Vec<Notice> = Vec::new();
        for row in rows {
            let record = row.record();
            let notice = match record.scope() {
                Scope::Account(user) => Notice { audience: Audience::User(user), event: Event::Account },
                Scope::Group(group) => {
                    let users = concerned(record.author(), record.body());
                    Notice { audience: Audience::Group(group, users), event: event(group, record.body()) }
                }
            };
            if !sent.contains(&notice) {
                self.send(notice.clone());
                sent.push(notice);
            }
        }
    }

    /// Something about an account changed, though none of its own records.
    pub(crate) fn account(&self, user: UserId) {
        self.send(Notice { audience: Audience::User(user), event: Event::Account });
    }

    /// Somebody in a group changed, though none of its own records.
    pub(crate) fn roster(&self, group: GroupId) {
        let audience = Audience::Group(group, BTreeSet::new());
        self.send(Notice { audience, event: Event::Roster { group } });
    }

    /// Peers joined, left or completed a swarm.
    pub(crate) fn swarm(&self, group: GroupId, info_hash: InfoHash) {
        let event = Event::Swarm { group, info_hash };
        self.send(Notice { audience: Audience::Group(group, BTreeSet::new()), event });
    }

    /// A device is asked to dial another.
    pub(crate) fn dial_back(&self, target: DeviceId, event: Event) {
        self.send(Notice { audience: Audience::Device(target), event });
    }

    fn send(&self, notice: Notice) {
        // Without listeners there is nobody to tell.
        let _ = self.0.send(notice);
    }
}

fn event(group: GroupId, body: &Body) -> Event {
    match body {
        Body::JoinRequest { .. } => Event::Requests { group },
        Body::Manifest { .. } | Body::Share { .. } | Body::Unshare { .. } => Event::Files { group },
        _ => Event::Roster { group },
    }
}

/// The author, and whom the owner's decision is about.
fn concerned(author: UserId, body: &Body) -> BTreeSet<UserId> {
    let about = match body {
        Body::Accept { user, .. } | Body::Reject { user, .. } | Body::Kick { user, .. } => Some(*user),
        _ => None,
    };
    [author].into_iter().chain(about).collect()
}
