//! `revoke_device`: a device is put out of the account, for good; what it did before stays valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_ledger::{AccountView, Body, Facts, HEADS_MAX, Order, Record};
use peerage_link::api::{self, path};
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use peerage_types::{DeviceId, GroupId, RecordId, Scope};

use super::super::session::Session;
use super::super::{Node, Refusal};

impl Node {
    /// Removes the device whose id or tag begins with `given`.
    pub async fn revoke_device(&self, given: &str, password: &str) -> Result<(), Refusal> {
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
        let heads = session.heads_of(&device).await?;
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

impl Session {
    /// The last records of a device, of every group in which it wrote: those that a tracker shows, each signed by the
    /// device, and those that this one knows of.
    async fn heads_of(&self, device: &DeviceId) -> Result<Vec<RecordId>, Refusal> {
        let request = api::DeviceHeadsRequest { device: *device };
        let answer = self.trackers.call::<_, api::DeviceHeadsResponse>(path::ACCOUNT_HEADS, &request).await;
        let rows = answer.map_err(|error| self.refuse(error))?.rows;
        let mut groups: BTreeMap<GroupId, Facts> =
            self.groups.all().iter().map(|state| (state.view.group, state.facts().clone())).collect();
        for row in &rows {
            let record = Record::decode(&row.record, &self.cluster.id)
                .map_err(|error| Refusal::Untrusted(error.to_string()))?;
            if record.signer() != *device || record.author() != self.user {
                return Err(Refusal::Untrusted(format!("record {} is of another device", record.id())));
            }
            if let Scope::Group(group) = record.scope() {
                groups.entry(group).or_default().insert(Arc::new(record), Order::LAST);
            }
        }
        let heads: BTreeSet<RecordId> = groups.values().flat_map(|facts| facts.heads(device)).collect();
        Ok(heads.into_iter().collect())
    }
}
