//! One group as this device knows it: verified records, and the views that follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use minicbor::{Decode, Encode};
use peerage_ledger::{AccountView, Facts, GroupView, Rank, outline};
use peerage_link::api::{AccountRows, SignedRow, SnapshotResponse};
use peerage_types::{DeviceId, GroupId, RecordId, UserId};
use peerage_wire::{HEADS_MAX, Heads};

use super::own::shown;
use super::rows::Rows;
use super::usernames::UserNames;

/// What a snapshot's bytes on disk look like.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(super) struct KeptGroup {
    #[n(0)]
    pub(super) group: GroupId,
    #[n(1)]
    pub(super) fetched_unix_ms: u64,
    #[n(2)]
    pub(super) snapshot: SnapshotResponse,
}

/// One group as this device knows it. Immutable; a fresh snapshot makes a new one.
#[derive(Debug)]
pub struct GroupState {
    /// The settled view.
    pub view: GroupView,
    /// The accounts of everybody who signed something in it.
    pub accounts: BTreeMap<UserId, Arc<AccountView>>,
    /// When a tracker last confirmed it, milliseconds since the Unix epoch.
    pub(super) fetched_unix_ms: AtomicU64,
    /// Of the answer of a tracker that was added last; zeros when a member's records came later.
    pub(super) digest: [u8; 32],
    pub(super) rows: Rows,
    pub(super) account_rows: BTreeMap<UserId, Rows>,
    pub(super) names: Arc<UserNames>,
    /// Found out when somebody asks.
    pub(super) known: OnceLock<Known>,
}

/// Which records a state is made of, those of accounts included.
#[derive(Debug)]
pub(super) struct Known {
    ids: BTreeSet<RecordId>,
    heads: Heads,
}

impl GroupState {
    /// When a tracker last confirmed it, milliseconds since the Unix epoch.
    pub fn fetched_unix_ms(&self) -> u64 {
        self.fetched_unix_ms.load(Ordering::Relaxed)
    }

    /// The group scope's facts.
    pub fn facts(&self) -> &Facts {
        &self.rows.facts
    }

    /// One account's facts.
    pub fn account_facts(&self, user: &UserId) -> Option<&Facts> {
        self.account_rows.get(user).map(|rows| &rows.facts)
    }

    /// How to show and to call a user: the chosen name, or `name#tag` when it belongs to somebody else.
    pub fn user(&self, user: &UserId) -> String {
        match self.accounts.get(user) {
            Some(account) => shown(account, &self.names),
            None => format!("user#{}", user.tag()),
        }
    }

    /// The account that certified this device; of several the first, for anybody can certify a stranger's key.
    pub fn account_of_device(&self, device: &DeviceId) -> Option<&AccountView> {
        let claims = self.accounts.values().filter_map(|a| Some((a.devices.get(device)?, a)));
        claims.min_by_key(|(d, a)| (d.revoked.is_some(), d.order, a.user)).map(|(_, a)| a.as_ref())
    }

    /// Everything that `user` may see of it, as far as it is known here: what a tracker has to show that knows as much.
    pub fn visible_to(&self, user: &UserId) -> BTreeSet<RecordId> {
        if self.view.is_member(user) {
            return self.ids().clone();
        }
        let visible = outline(self.view.group, &self.rows.facts, &self.accounts, user);
        let accounts = visible.authors().into_iter().chain([*user]);
        let accounts = accounts.filter_map(|author| self.account_rows.get(&author));
        let ids = |facts: &Facts| facts.iter().map(|fact| fact.record.id()).collect::<Vec<_>>();
        let accounts: Vec<RecordId> = accounts.flat_map(|rows| ids(&rows.facts)).collect();
        ids(&visible).into_iter().chain(accounts).collect()
    }

    /// These records, each after those that it can rest on.
    pub fn records(&self, ids: &BTreeSet<RecordId>) -> Vec<Arc<[u8]>> {
        let wanted = |rows: &Rows| rows.in_order(|id| ids.contains(id));
        let mut records: Vec<_> = self.account_rows.values().flat_map(wanted).collect();
        records.extend(wanted(&self.rows));
        records
    }

    /// Would everything that is shown and decided be the same without these records?
    pub fn same_without(&self, ids: &BTreeSet<RecordId>) -> bool {
        let without = |rows: &Rows| -> Facts {
            let kept = rows.facts.iter().filter(|fact| !ids.contains(&fact.record.id()));
            kept.map(|fact| (Arc::clone(&fact.record), fact.order)).collect()
        };
        let accounts = self.account_rows.iter();
        let accounts: BTreeMap<UserId, Arc<AccountView>> = accounts
            .filter_map(|(user, rows)| Some((*user, Arc::new(AccountView::of(*user, &without(rows))?))))
            .collect();
        let Some(view) = GroupView::of(self.view.group, &without(&self.rows), &accounts) else {
            return false;
        };
        let ours = &self.view;
        let devices = |accounts: &BTreeMap<UserId, Arc<AccountView>>| {
            accounts.iter().map(|(user, account)| (*user, account.devices.clone())).collect::<Vec<_>>()
        };
        (view.owner, view.epoch, view.ended_by, &view.members, &view.admins, &view.requests, &view.files)
            == (
                ours.owner,
                ours.epoch,
                ours.ended_by,
                &ours.members,
                &ours.admins,
                &ours.requests,
                &ours.files,
            )
            && devices(&accounts) == devices(&self.accounts)
    }

    /// Who made it.
    pub fn founder(&self) -> UserId {
        let genesis = self.rows.facts.get(&self.view.group.into());
        genesis.map_or(self.view.owner, |fact| fact.record.author())
    }

    /// Is this record part of it?
    pub fn knows(&self, id: &RecordId) -> bool {
        self.ids().contains(id)
    }

    /// All records that it is made of, those of accounts included.
    pub fn ids(&self) -> &BTreeSet<RecordId> {
        &self.known().ids
    }

    /// What other members are told about it.
    pub fn heads(&self) -> &Heads {
        &self.known().heads
    }

    /// One record with its receipt.
    pub fn row(&self, id: &RecordId) -> Option<SignedRow> {
        self.rows.row(id).or_else(|| self.account_rows.values().find_map(|rows| rows.row(id)))
    }

    fn known(&self) -> &Known {
        self.known.get_or_init(|| {
            let of = |rows: &Rows| rows.receipts.keys().copied().collect::<Vec<_>>();
            let mut ids: BTreeSet<RecordId> = of(&self.rows).into_iter().collect();
            ids.extend(self.account_rows.values().flat_map(of));
            let mut hasher = blake3::Hasher::new_derive_key("peerage 2026 group records");
            for id in &ids {
                hasher.update(&id.0);
            }
            let all = std::iter::once(&self.rows).chain(self.account_rows.values());
            let mut ends: Vec<_> = all.flat_map(|rows| ends(&rows.facts)).collect();
            ends.sort_unstable_by(|a, b| b.cmp(a));
            let ends = ends.into_iter().take(HEADS_MAX).map(|(_, id)| id).collect();
            Known { ids, heads: Heads { digest: *hasher.finalize().as_bytes(), ends } }
        })
    }

    pub(super) fn kept(&self) -> KeptGroup {
        let accounts =
            self.account_rows.iter().map(|(user, rows)| AccountRows { user: *user, rows: rows.signed() });
        KeptGroup {
            group: self.view.group,
            fetched_unix_ms: self.fetched_unix_ms(),
            snapshot: SnapshotResponse {
                digest: self.digest,
                rows: self.rows.signed(),
                accounts: accounts.collect(),
                unchanged: false,
            },
        }
    }
}

/// The records that no later one of the same key names as the one before it.
fn ends(facts: &Facts) -> Vec<Rank> {
    let followed: BTreeSet<RecordId> = facts.iter().filter_map(|fact| fact.record.prev()).collect();
    facts.iter().filter(|fact| !followed.contains(&fact.record.id())).map(|fact| fact.rank()).collect()
}
