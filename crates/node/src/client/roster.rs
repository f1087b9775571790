//! Answers the engine's question who may connect, from the snapshots in memory.

use std::sync::Arc;
use std::time::Duration;

use peerage_ledger::{AccountView, Body, Facts, Order, Record};
use peerage_types::{ClusterId, DeviceId, GroupId, UserId};

use super::snapshot::{GroupState, Groups, unix_ms};
use crate::engine::{NotAdmitted, Records, Roster};

/// So long a view counts for new connections after a tracker last confirmed it.
pub const ROSTER_FRESH_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// So far ahead of the clock a confirmation may lie: clocks are set back a little now and then.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(5 * 60);

/// The roster of one session.
#[derive(Debug)]
pub struct SessionRoster(pub Arc<Groups>);

impl Roster for SessionRoster {
    fn admits(&self, group: &GroupId, device: &DeviceId, cert: &[Record]) -> Result<UserId, NotAdmitted> {
        let state = self.0.get(group).ok_or(NotAdmitted::UnknownGroup)?;
        if !is_fresh(state.fetched_unix_ms(), unix_ms()) {
            self.0.doubt(*group);
            return Err(NotAdmitted::UnknownGroup);
        }
        let answer = admits(&state, device, cert);
        if answer.is_err() || state.account_of_device(device).is_none() {
            // A member or a device that is newer than our view looks like a stranger.
            self.0.doubt(*group);
        }
        answer
    }

    fn still_member(&self, group: &GroupId, user: &UserId, device: &DeviceId) -> bool {
        self.0.get(group).is_some_and(|state| {
            let known = state.accounts.get(user).and_then(|account| account.devices.get(device));
            // A device that the view does not know yet was admitted by the records it showed.
            state.view.is_member(user) && known.is_none_or(|device| device.revoked.is_none())
        })
    }

    fn cluster(&self) -> ClusterId {
        self.0.cluster()
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(&*self.0)
    }
}

/// Was a view confirmed lately? One from the future was confirmed by a clock that has been set back since.
fn is_fresh(fetched_unix_ms: u64, now_unix_ms: u64) -> bool {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    now_unix_ms.saturating_sub(fetched_unix_ms) <= ms(ROSTER_FRESH_FOR)
        && fetched_unix_ms.saturating_sub(now_unix_ms) <= ms(CLOCK_STEP_MAX)
}

/// The device says for whom it speaks, by the records that it shows: anybody can certify a stranger's key, but
/// nobody can make that stranger show it.
fn admits(state: &GroupState, device: &DeviceId, cert: &[Record]) -> Result<UserId, NotAdmitted> {
    let user = match (cert, state.account_of_device(device)) {
        ([_, ..], _) | (_, None) => certified_by(state, device, cert)?,
        (_, Some(account)) if !account.device_ok(device) => return Err(NotAdmitted::Revoked),
        (_, Some(account)) => account.user,
    };
    if state.view.is_member(&user) { Ok(user) } else { Err(NotAdmitted::NotMember) }
}

/// Whose device it is, by the records that it showed on top of those that we have.
fn certified_by(state: &GroupState, device: &DeviceId, cert: &[Record]) -> Result<UserId, NotAdmitted> {
    let names_it = |r: &&Record| matches!(r.body(), Body::DeviceCert { device: d, .. } if d == device);
    let user = cert.iter().find(names_it).ok_or(NotAdmitted::NotCertified)?.author();
    let mut facts = state.account_facts(&user).cloned().unwrap_or_else(Facts::new);
    // No receipt, so last in order; the identity's signature is what counts here.
    facts.extend(cert.iter().filter(|r| r.author() == user).map(|r| (Arc::new(r.clone()), Order::LAST)));
    let account = AccountView::of(user, &facts).ok_or(NotAdmitted::NotCertified)?;
    match account.devices.get(device) {
        None => Err(NotAdmitted::NotCertified),
        Some(device) if device.revoked.is_some() => Err(NotAdmitted::Revoked),
        Some(_) => Ok(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_age_and_clocks_step() {
        let hour = 60 * 60 * 1000;
        let now = 1_000 * hour;
        assert!(is_fresh(now, now) && is_fresh(now - 24 * hour, now) && is_fresh(now + 60_000, now));
        assert!(!is_fresh(now - 24 * hour - 1, now));
        assert!(!is_fresh(now + hour, now), "confirmed by a clock that was an hour ahead");
    }
}
