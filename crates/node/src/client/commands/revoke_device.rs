//! `revoke_device`: a device is put out of the account, for good; what it did before stays valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use peerage_ledger::{AccountView, Body, Facts, HEADS_MAX, Order, Record};
use peerage_link::api::{self, path};
use peerage_link::http::{CallError, TrackerConn};
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use peerage_types::{DeviceId, GroupId, RecordId, Scope};

use super::super::session::Session;
use super::super::{Node, Refusal};

/// One page of what a tracker shows.
const PAGE_MAX: Duration = Duration::from_secs(5);

/// What to do when some tracker cannot say what a device wrote last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsure {
    /// Refuse, so that nothing becomes void.
    Refuse,
    /// Go on all the same: the device is in wrong hands.
    GoOn,
}

impl Node {
    /// Removes the device whose id or tag begins with `given`.
    pub async fn revoke_device(&self, given: &str, password: &str, unsure: Unsure) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        session.sent_before().await;
        let view = session.refresh_account().await?;
        let device = find(&view, given)?;
        if device == session.device {
            return Err(Refusal::ThisDevice);
        }
        if !view.device_ok(&device) {
            return Err(Refusal::DeviceGone);
        }
        let mut opened = session.unlock(password).await?;
        let heads = session.heads_of(&device, unsure).await?;
        let mut records: Vec<Arc<Record>> = heads
            .chunks(HEADS_MAX)
            .map(|heads| opened.identity.sign(Body::DeviceRevoke { device, heads: heads.to_vec() }))
            .collect();
        if records.is_empty() {
            records.push(opened.identity.sign(Body::DeviceRevoke { device, heads: Vec::new() }));
        }
        for some in records.chunks(BUNDLE_RECORDS_MAX) {
            session.send_account(some.to_vec()).await.map_err(|error| session.refuse_send(error))?;
        }
        session.read_account_back().await;
        // Our own connections with it end at once, and not only when the tracker tells.
        session.groups.all().iter().for_each(|state| session.groups.doubt(state.view.group));
        Ok(())
    }

    /// Tags of the devices that can be removed, as far as known without asking, for completion.
    pub fn known_devices(&self) -> Vec<String> {
        let Ok(session) = self.inner.session() else { return Vec::new() };
        let view = session.own.view();
        let others = view.devices.keys().filter(|id| view.device_ok(id) && **id != session.device);
        others.map(DeviceId::tag).collect()
    }
}

/// The device whose tag or hexadecimal id begins like that.
fn find(view: &AccountView, given: &str) -> Result<DeviceId, Refusal> {
    let given = given.to_ascii_lowercase();
    let named = |id: &&DeviceId| id.tag().starts_with(&given) || id.to_hex().starts_with(&given);
    let found: Vec<&DeviceId> = view.devices.keys().filter(named).filter(|_| !given.is_empty()).collect();
    match found[..] {
        [] => Err(Refusal::DeviceUnknown),
        [one] => Ok(*one),
        [..] => Err(Refusal::SeveralDevices { given, choices: found.iter().map(|id| id.tag()).collect() }),
    }
}

/// What one tracker shows of a device.
struct Shown {
    records: Vec<Record>,
    /// It lags behind what was seen elsewhere.
    stale: bool,
}

impl Session {
    /// The last records of a device, of every group in which it wrote: those that any tracker shows, each signed by the
    /// device, and those that this one knows of. A tracker that has been parted from the others may have acknowledged
    /// what none of them knows, so each of the list is asked; what one lacks another one has.
    async fn heads_of(&self, device: &DeviceId, unsure: Unsure) -> Result<Vec<RecordId>, Refusal> {
        let seen = self.trackers.seen().text();
        let answers = self.trackers.each(|conn| self.shown_by(conn, *device, seen.as_deref())).await;
        let mut groups: BTreeMap<GroupId, Facts> =
            self.groups.all().iter().map(|state| (state.view.group, state.facts().clone())).collect();
        let (mut doubts, mut lagging) = (Vec::new(), Vec::new());
        let asked = answers.len();
        for (answer, entry) in answers.into_iter().zip(self.trackers.entries().iter()) {
            let shown = match answer {
                Ok(shown) => shown,
                Err(silent) => {
                    doubts.push(silent.why);
                    continue;
                }
            };
            let own = |record: &Record| record.signer() == *device && record.author() == self.user;
            if !shown.records.iter().all(own) {
                doubts.push(format!("{entry} (it shows records of another device)"));
                continue;
            }
            if shown.stale {
                lagging.push(format!("{entry} (it lags behind)"));
            }
            for record in shown.records {
                if let Scope::Group(group) = record.scope() {
                    groups.entry(group).or_default().insert(Arc::new(record), Order::LAST);
                }
            }
        }
        // That one lags is no harm while another one has what this device has seen.
        if lagging.len() == asked {
            doubts.extend(lagging);
        }
        if !doubts.is_empty() && unsure == Unsure::Refuse {
            return Err(Refusal::HeadsUnknown { trackers: doubts });
        }
        let heads: BTreeSet<RecordId> = groups.values().flat_map(|facts| facts.heads(device)).collect();
        Ok(heads.into_iter().collect())
    }

    /// Asks one tracker, a page of groups at a time.
    async fn shown_by(
        &self,
        conn: TrackerConn,
        device: DeviceId,
        seen: Option<&str>,
    ) -> Result<Shown, CallError> {
        let mut shown = Shown { records: Vec::new(), stale: false };
        let mut after = None;
        loop {
            let request = api::DeviceHeadsRequest { device, after };
            let heard = conn.ask_within(path::ACCOUNT_HEADS, &request, PAGE_MAX, seen).await;
            shown.stale |= heard.stale;
            let page: api::DeviceHeadsResponse = heard.answer?;
            for row in &page.rows {
                let record = Record::decode(&row.record, &self.cluster.id).map_err(|error| {
                    let (tracker, path) = (conn.entry().to_string(), path::ACCOUNT_HEADS.to_owned());
                    CallError::Protocol { tracker, path, why: error.to_string() }
                })?;
                shown.records.push(record);
            }
            // Pages go forward, else a tracker could keep us busy for ever.
            match page.next {
                Some(next) if after.is_none_or(|after| after < next) => after = Some(next),
                _ => return Ok(shown),
            }
        }
    }
}
