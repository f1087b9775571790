//! One more fact without settling everything anew: what is written most, files and shares, changes little.
//!
//! Whatever is not plainly the latest word of a member's device on its own chain is declined, and then only
//! [`GroupView::of`] can tell. A law in the tests compares the two on generated histories.

use std::collections::BTreeMap;

use peerage_types::{RecordId, Scope, UserId};

use super::files::{self, FileView, ShareView};
use super::{Body, Fact, Facts, GroupView};
use crate::account::Accounts;
use crate::facts::Rank;

impl GroupView {
    /// Brings the view up to date for a record that was just added to the facts it was settled from. False leaves the
    /// view as it was: settle it anew.
    ///
    /// `accounts` are those of all authors, as they were for the view.
    pub fn append(&mut self, facts: &Facts, accounts: &dyn Accounts, id: &RecordId) -> bool {
        let Some(fact) = facts.get(id).filter(|fact| self.continues(fact, accounts)) else { return false };
        let record = &fact.record;
        match record.body() {
            // It lists nothing before a Share names it, and none does yet.
            Body::Manifest { .. } => {}
            Body::Share { manifest, incarnation } => {
                let member = self.members.get(&record.author());
                let manifest = facts.get(manifest).filter(|fact| fact.record.scope() == record.scope());
                let (Some(member), Some(manifest)) = (member, manifest) else { return false };
                if member.incarnation != *incarnation || !list(&mut self.files, facts, manifest, fact) {
                    return false;
                }
            }
            _ => return false,
        }
        self.tail.last = fact.rank();
        *self.tail.records.entry(record.author()).or_default() += 1;
        if let Some(heads) = self.heads.get_mut(&record.author()) {
            heads.retain(|(device, _)| *device != record.signer());
            heads.push((record.signer(), record.id()));
        }
        true
    }

    /// Is this the next record of its device, which is live and a member's, later than all others, and is there
    /// nothing in the group to which a record that comes late could matter?
    fn continues(&self, fact: &Fact, accounts: &dyn Accounts) -> bool {
        let record = &fact.record;
        let signer = record.signer();
        let heads = self.heads.iter().flat_map(|(user, heads)| heads.iter().map(move |head| (user, head)));
        let mut chains = heads.filter(|(_, (device, _))| *device == signer);
        let continued = chains
            .next()
            .is_some_and(|(user, (_, head))| *user == record.author() && record.prev() == Some(*head));
        self.tail.closed
            && self.ended_by.is_none()
            && fact.rank() > self.tail.last
            && record.scope() == Scope::Group(self.group)
            && continued
            && chains.next().is_none()
            && accounts.account(&record.author()).is_some_and(|account| account.device_ok(&signer))
    }
}

/// What [`GroupView::append`] must know of the facts behind a view. It is no part of what the view says, so all are equal.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// The latest.
    last: Rank,
    /// Do they wait for no other ones: has every Share and Unshare what it names, and is all there that an owner names
    /// as the last that counts? Then a file or share that comes later than all of them changes nothing before it.
    closed: bool,
    /// How many of them stand in whose name.
    records: BTreeMap<UserId, usize>,
}

impl Tail {
    /// Of a group's facts, of which there is at least the genesis.
    pub(super) fn of(facts: &Facts, genesis: &Fact) -> Self {
        let last = facts.iter().map(Fact::rank).max().unwrap_or(genesis.rank());
        let mut records: BTreeMap<UserId, usize> = BTreeMap::new();
        for fact in facts.iter() {
            *records.entry(fact.record.author()).or_default() += 1;
        }
        Self { last, closed: closed(facts), records }
    }

    /// Records in this person's name, whatever they are worth.
    pub(super) fn records_of(&self, user: &UserId) -> usize {
        self.records.get(user).copied().unwrap_or(0)
    }
}

impl PartialEq for Tail {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Tail {}

fn closed(facts: &Facts) -> bool {
    let here = |heads: &[RecordId]| heads.iter().all(|head| facts.contains(head));
    facts.iter().all(|fact| match fact.record.body() {
        Body::Share { manifest, .. } => facts.contains(manifest),
        Body::Unshare { share } => facts.contains(share),
        Body::Handover { heads, .. } | Body::AdminRevoke { heads, .. } => here(heads),
        // What they name beside that is a grant or an invite, or nothing: no file or share brings it.
        _ => true,
    })
}

/// Adds the latest share to the files. False if the names of others may change with it.
fn list(files: &mut Vec<FileView>, facts: &Facts, manifest: &Fact, share: &Fact) -> bool {
    let record = &share.record;
    let view =
        ShareView { share: record.id(), user: record.author(), device: record.signer(), order: share.order };
    let Some(mut fresh) = files::file(manifest.record.body(), manifest.record.id(), vec![view]) else {
        return false;
    };
    let from = files.partition_point(|file| file.name < fresh.name);
    let named = files[from..].iter().take_while(|file| file.name == fresh.name).count();
    if named == 0 {
        // A name that looks like another file's `name#tag` could be taken.
        fresh.shown = fresh.name.as_str().to_owned();
        if fresh.shown.contains('#') {
            return false;
        }
        files.insert(from, fresh);
        return true;
    }
    let same = files[from..from + named].iter_mut().find(|file| file.describes_as(&fresh));
    let Some((file, first)) = same.and_then(|file| facts.get(&file.manifest).map(|first| (file, first)))
    else {
        return false;
    };
    if manifest.rank() < first.rank() {
        if named > 1 {
            return false;
        }
        file.manifest = manifest.record.id();
    }
    file.shares.push(view);
    true
}

impl FileView {
    fn describes_as(&self, other: &Self) -> bool {
        self.name == other.name
            && (self.size, self.content, self.piece_length) == (other.size, other.content, other.piece_length)
            && (self.info_hash, self.info_hash_v1) == (other.info_hash, other.info_hash_v1)
            && (self.metainfo, self.metainfo_bytes) == (other.metainfo, other.metainfo_bytes)
            && self.folder_files == other.folder_files
    }
}
