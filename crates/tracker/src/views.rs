//! The views of accounts and groups: loaded from the store when somebody asks, kept up to date by applied rows,
//! bounded.
//!
//! Blocking (the store is): handlers call it through `State::blocking`. Only the replica's shell calls `apply`,
//! after the rows are durable. A scope in the cache is complete: loads that race with `apply` are done again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_ledger::{
    AccountView, Accounts, Body, Facts, GroupView, KeyCache, Receipt, Record, RecordFault, SignatureCheck,
    Unverified,
};
use peerage_replica::{LogRow, VerifiedRow};
use peerage_store::{Store, StoreError};
use peerage_types::{ClusterId, DeviceId, GroupId, RecordId, Scope, UserId};

use crate::limits::{DEVICES_CACHED_MAX, RECORDS_CACHED_MAX, SCOPES_CACHED_MAX};
use crate::mend::Damaged;

/// Records that are worth a thread of their own: about 5 ms.
const PARALLEL_MIN: usize = 300;

/// Everything known in one scope.
#[derive(Clone, Default)]
pub(crate) struct ScopeData {
    pub(crate) facts: Facts,
    /// The receipt that gives each record its order.
    pub(crate) receipts: BTreeMap<RecordId, Receipt>,
}

/// One account, settled.
pub(crate) struct Account {
    pub(crate) data: Arc<ScopeData>,
    /// None without a genesis.
    pub(crate) view: Option<AccountView>,
}

/// The accounts that one group's records speak of.
#[derive(Clone, Default)]
pub(crate) struct AccountSet(pub(crate) BTreeMap<UserId, Arc<Account>>);

impl Accounts for AccountSet {
    fn account(&self, user: &UserId) -> Option<&AccountView> {
        self.0.get(user)?.view.as_ref()
    }
}

/// One group, settled with the accounts of everybody who signed something in it.
pub(crate) struct Group {
    pub(crate) data: Arc<ScopeData>,
    pub(crate) accounts: AccountSet,
    /// None without a genesis.
    pub(crate) view: Option<GroupView>,
}

/// Why a view is not to be had: the environment is at fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("record {id} in the database is damaged: {fault}")]
    Damaged { id: RecordId, fault: String },
}

/// The cache.
pub(crate) struct Views {
    cluster: ClusterId,
    store: Arc<dyn Store>,
    damaged: Damaged,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Scope, Entry>,
    records: usize,
    /// Whose account certified a device, in order; only devices that somebody certified.
    devices: HashMap<DeviceId, Vec<UserId>>,
    clock: u64,
    /// When the last row was applied.
    clock_applied: u64,
    /// Loads and settlements under way. While there are any, `touched` notes what they may have missed.
    under_way: usize,
    touched: HashMap<Scope, u64>,
}

struct Entry {
    data: Arc<ScopeData>,
    settled: Option<Settled>,
    used: u64,
}

#[derive(Clone)]
enum Settled {
    Account(Arc<Account>),
    Group(Arc<Group>),
}

impl Views {
    pub(crate) fn new(cluster: ClusterId, store: Arc<dyn Store>) -> Self {
        Self { cluster, store, damaged: Damaged::default(), inner: Mutex::default() }
    }

    /// Records that could not be read.
    pub(crate) fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    /// The account of `user`; without any record its view is None.
    pub(crate) fn account(&self, user: &UserId) -> Result<Arc<Account>, ViewError> {
        let scope = Scope::Account(*user);
        if let Some(Settled::Account(account)) = self.settled(&scope) {
            return Ok(account);
        }
        let work = Work::begin(self);
        let data = self.data(&scope)?;
        let account = Arc::new(Account { view: AccountView::of(*user, &data.facts), data });
        work.keep(&scope, std::iter::empty(), Settled::Account(Arc::clone(&account)));
        Ok(account)
    }

    /// The group; without any record its view is None.
    pub(crate) fn group(&self, group: &GroupId) -> Result<Arc<Group>, ViewError> {
        let scope = Scope::Group(*group);
        if let Some(Settled::Group(group)) = self.settled(&scope) {
            return Ok(group);
        }
        let work = Work::begin(self);
        let data = self.data(&scope)?;
        let authors = data.facts.authors();
        let mut accounts = AccountSet::default();
        for user in authors {
            accounts.0.insert(user, self.account(&user)?);
        }
        let view = GroupView::of(*group, &data.facts, &accounts);
        let settled = Arc::new(Group { data, accounts, view });
        let others = settled.accounts.0.keys().map(|user| Scope::Account(*user));
        work.keep(&scope, others, Settled::Group(Arc::clone(&settled)));
        Ok(settled)
    }

    /// Whose device this is: the first account that certified it and did not revoke it.
    ///
    /// A certificate needs no signature of the device, so others may certify a stranger's key; being later, they
    /// never take it over.
    pub(crate) fn user_of_device(&self, device: &DeviceId) -> Result<Option<UserId>, ViewError> {
        let cached = self.lock().devices.get(device).cloned();
        let users = match cached {
            Some(users) => users,
            None => self.load_device(device)?,
        };
        for user in users {
            if self.account(&user)?.view.as_ref().is_some_and(|view| view.device_ok(device)) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    /// The group, if nothing must be read or settled for it.
    pub(crate) fn group_at_hand(&self, group: &GroupId) -> Option<Arc<Group>> {
        match self.settled(&Scope::Group(*group))? {
            Settled::Group(group) => Some(group),
            Settled::Account(_) => None,
        }
    }

    /// As [`Self::user_of_device`], if nothing must be read or settled for it.
    pub(crate) fn user_of_device_at_hand(&self, device: &DeviceId) -> Option<Option<UserId>> {
        let mut guard = self.lock();
        let Inner { entries, devices, clock, .. } = &mut *guard;
        for user in devices.get(device)? {
            let entry = entries.get_mut(&Scope::Account(*user))?;
            let Some(Settled::Account(account)) = &entry.settled else { return None };
            *clock += 1;
            entry.used = *clock;
            if account.view.as_ref().is_some_and(|view| view.device_ok(device)) {
                return Some(Some(*user));
            }
        }
        Some(None)
    }

    /// Did an account certify this device and then revoke it?
    pub(crate) fn device_revoked(&self, device: &DeviceId) -> Result<bool, ViewError> {
        for user in self.load_device(device)? {
            let account = self.account(&user)?;
            let known = account.view.as_ref().and_then(|view| view.devices.get(device));
            if known.is_some_and(|device| device.revoked.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes rows that have just become durable.
    pub(crate) fn apply(&self, rows: &[VerifiedRow]) {
        let mut inner = self.lock();
        for row in rows {
            let (receipt, record) = (row.receipt(), row.record());
            let scope = record.scope();
            inner.clock += 1;
            let clock = inner.clock;
            inner.clock_applied = clock;
            if inner.under_way > 0 {
                inner.touched.insert(scope, clock);
            }
            inner.insert(&scope, receipt, record);
            if let Body::DeviceCert { device, .. } = record.body() {
                inner.devices.remove(device);
            }
            if let Scope::Account(user) = scope {
                inner.unsettle_groups_of(&user);
            }
        }
        inner.evict();
    }

    fn settled(&self, scope: &Scope) -> Option<Settled> {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let entry = inner.entries.get_mut(scope)?;
        entry.used = clock;
        entry.settled.clone()
    }

    /// The scope's records from the cache or the store. The caller holds a `Work`.
    fn data(&self, scope: &Scope) -> Result<Arc<ScopeData>, ViewError> {
        loop {
            let started = {
                let inner = self.lock();
                if let Some(entry) = inner.entries.get(scope) {
                    return Ok(Arc::clone(&entry.data));
                }
                inner.clock
            };
            let data = Arc::new(self.load(scope)?);
            let mut inner = self.lock();
            if inner.touched.get(scope).is_some_and(|at| *at > started) {
                continue;
            }
            inner.clock += 1;
            let used = inner.clock;
            let len = data.receipts.len();
            if inner.entries.insert(*scope, Entry { data: Arc::clone(&data), settled: None, used }).is_none()
            {
                inner.records += len;
            }
            inner.evict();
            return Ok(data);
        }
    }

    fn load(&self, scope: &Scope) -> Result<ScopeData, ViewError> {
        let rows = self.store.scope(scope)?;
        let mut data = ScopeData::default();
        for (row, record) in rows.iter().zip(in_parallel(&rows, |rows| decode(rows, &self.cluster))) {
            let id = row.receipt.record;
            let record = record.map_err(|fault| {
                self.damaged.note(id);
                ViewError::Damaged { id, fault: fault.to_string() }
            })?;
            data.insert(&row.receipt, &Arc::new(record));
        }
        Ok(data)
    }

    fn load_device(&self, device: &DeviceId) -> Result<Vec<UserId>, ViewError> {
        let started = self.lock().clock;
        let users = self.store.users_of_device(device)?;
        let mut inner = self.lock();
        // Any row since may be one more certificate: then this is for the caller only.
        if !users.is_empty() && inner.clock_applied <= started {
            if inner.devices.len() >= DEVICES_CACHED_MAX {
                inner.devices.clear();
            }
            inner.devices.insert(*device, users.clone());
        }
        Ok(users)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decodes and verifies rows of the store, all signatures together.
fn decode(rows: &[LogRow], cluster: &ClusterId) -> Vec<Result<Record, RecordFault>> {
    let mut keys = KeyCache::new(rows.len());
    let mut decode = |row: &LogRow| Unverified::decode_with(&row.record, cluster, |key| keys.key(key));
    let decoded: Vec<_> = rows.iter().map(&mut decode).collect();
    let checks: Vec<_> = decoded.iter().filter_map(|record| Some(record.as_ref().ok()?.check())).collect();
    let mut verdicts = SignatureCheck::all(&checks).into_iter();
    let mut judge = |record: Unverified| record.judged(verdicts.next() == Some(true));
    decoded.into_iter().map(|record| record.and_then(&mut judge)).collect()
}

/// Maps shares of the rows, in order, with several threads once there is enough to do: each record costs a signature
/// check.
fn in_parallel<T: Sync, U: Send>(items: &[T], map: impl Fn(&[T]) -> Vec<U> + Sync) -> Vec<U> {
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(items.len() / PARALLEL_MIN + 1);
    if threads == 1 {
        return map(items);
    }
    let share = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let map = &map;
        let parts: Vec<_> = items.chunks(share).map(|items| scope.spawn(move || map(items))).collect();
        let joined = parts.into_iter().map(|part| match part.join() {
            Ok(mapped) => mapped,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

impl ScopeData {
    /// True if it changed anything: the record is new, or this receipt is lower than the one we had.
    pub(crate) fn insert(&mut self, receipt: &Receipt, record: &Arc<Record>) -> bool {
        let changed = self.facts.insert(Arc::clone(record), receipt.order());
        if changed {
            self.receipts.insert(record.id(), receipt.clone());
        }
        changed
    }
}

impl Inner {
    fn insert(&mut self, scope: &Scope, receipt: &Receipt, record: &Arc<Record>) {
        let Some(entry) = self.entries.get_mut(scope) else { return };
        // A receipt that is not the lowest changes nothing, so keep the view then.
        let id = record.id();
        if entry.data.receipts.get(&id).is_some_and(|known| known.order() <= receipt.order()) {
            return;
        }
        // The view shares the data: without letting it go first every row would copy the whole scope.
        let settled = match entry.settled.take() {
            Some(Settled::Group(group)) => Arc::into_inner(group).and_then(|g| Some((g.accounts, g.view?))),
            _ => None,
        };
        let before = entry.data.receipts.len();
        Arc::make_mut(&mut entry.data).insert(receipt, record);
        self.records += entry.data.receipts.len() - before;
        // Most rows only add to a view: settling a large group anew for each would be most of a tracker's work.
        if let Some((accounts, mut view)) = settled
            && view.append(&entry.data.facts, &accounts, &id)
        {
            let group = Group { data: Arc::clone(&entry.data), accounts, view: Some(view) };
            entry.settled = Some(Settled::Group(Arc::new(group)));
        }
    }

    /// An account's devices decide what its records in groups are worth.
    fn unsettle_groups_of(&mut self, user: &UserId) {
        for entry in self.entries.values_mut() {
            if matches!(&entry.settled, Some(Settled::Group(group)) if group.accounts.0.contains_key(user)) {
                entry.settled = None;
            }
        }
    }

    /// Drops the eighth that was not used for longest when a bound is exceeded.
    fn evict(&mut self) {
        if self.entries.len() <= SCOPES_CACHED_MAX && self.records <= RECORDS_CACHED_MAX {
            return;
        }
        let mut by_use: Vec<(u64, Scope)> = self.entries.iter().map(|(scope, e)| (e.used, *scope)).collect();
        by_use.sort_unstable();
        by_use.truncate(by_use.len().div_ceil(8));
        for (_, scope) in by_use {
            if let Some(entry) = self.entries.remove(&scope) {
                self.records -= entry.data.receipts.len();
            }
        }
    }
}

/// A load or settlement under way: as long as it lives, `apply` notes what it touches.
struct Work<'a> {
    views: &'a Views,
    started: u64,
}

impl<'a> Work<'a> {
    fn begin(views: &'a Views) -> Self {
        let mut inner = views.lock();
        inner.under_way += 1;
        Self { views, started: inner.clock }
    }

    /// Keeps the result unless something that went into it changed meanwhile; the caller may use it all the same, it
    /// was true when the work began or later.
    fn keep(&self, scope: &Scope, others: impl Iterator<Item = Scope>, settled: Settled) {
        let mut inner = self.views.lock();
        let stale = |s: &Scope| inner.touched.get(s).is_some_and(|at| *at > self.started);
        if stale(scope) || others.into_iter().any(|s| stale(&s)) {
            return;
        }
        if let Some(entry) = inner.entries.get_mut(scope) {
            entry.settled = Some(settled);
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let mut inner = self.views.lock();
        inner.under_way -= 1;
        if inner.under_way == 0 {
            inner.touched.clear();
        }
    }
}
