//! Would a bundle take effect? Asked when a client submits it, never in replication.
//!
//! Blocking, and driven by the bundle route, which holds the bundle's lanes meanwhile. Each record is judged with the
//! bundle's earlier ones applied, so a bundle is taken whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_ledger::{
    AccountView, Accounts, Body, Facts, GroupView, Order, Receipt, Record, RecordFault, Refusal, Unverified,
    admit_account, admit_group, admit_invite_at, admit_to_more_groups,
};
use peerage_types::limits::BUNDLE_RECORDS_MAX;
use peerage_types::{GroupId, Scope, Stamp, UserId};

use crate::clock::unix_ms;
use crate::error::Failure;
use crate::lanes::Lane;
use crate::limits::{FACTS_INLINE_MAX, VERIFIED_INLINE_MAX};
use crate::state::State;
use crate::views::{Account, AccountSet, Group};

/// Decodes every record of a bundle. Their signatures are left to be verified.
pub(crate) fn decode<R: AsRef<[u8]>>(state: &State, records: &[R]) -> Result<Vec<Unverified>, Failure> {
    if records.is_empty() || records.len() > BUNDLE_RECORDS_MAX {
        let got = records.len();
        return Err(Failure::bad_request(format!(
            "a bundle has 1 to {BUNDLE_RECORDS_MAX} records, not {got}"
        )));
    }
    let decode =
        |bytes: &R| Unverified::decode_with(bytes.as_ref(), &state.cluster, |key| state.verifier.key(key));
    all_or_none(records.iter().map(decode))
}

/// The records of a bundle, once each was found right.
pub(crate) fn verified(verdicts: Vec<Result<Record, RecordFault>>) -> Result<Vec<Arc<Record>>, Failure> {
    let records: Vec<_> = all_or_none(verdicts.into_iter())?.into_iter().map(Arc::new).collect();
    let ids: BTreeSet<_> = records.iter().map(|record| record.id()).collect();
    match ids.len() == records.len() {
        true => Ok(records),
        false => Err(Failure::bad_request("the bundle contains the same record twice")),
    }
}

/// Or the first fault, and which record it is about.
fn all_or_none<T>(
    outcomes: impl ExactSizeIterator<Item = Result<T, RecordFault>>,
) -> Result<Vec<T>, Failure> {
    let count = outcomes.len();
    let numbered = outcomes.enumerate().map(|(index, outcome)| {
        outcome.map_err(|fault| {
            let mut failure = Failure::from(fault);
            failure.0.message = format!("record {} of {count}: {}", index + 1, failure.0.message);
            failure
        })
    });
    numbered.collect()
}

/// Everything the admission of these records looks at and that another bundle could change.
pub(crate) fn lanes(records: &[Arc<Record>]) -> BTreeSet<Lane> {
    let mut lanes = BTreeSet::new();
    for record in records {
        lanes.insert(Lane::Scope(record.scope()));
        match record.body() {
            Body::UserNameClaim { name } => lanes.insert(Lane::UserName(name.folded())),
            Body::GroupGenesis { name, .. } => lanes.insert(Lane::GroupName(name.folded())),
            _ => false,
        };
    }
    lanes
}

/// Of an admitted bundle: the records that are new, and the receipts of those that are known (it was sent again).
pub(crate) type Admitted = (Vec<Arc<Record>>, Vec<Receipt>);

/// Can [`admit`] judge these records without reading the store or settling a view? Groups' business alone, all of it in
/// memory.
pub(crate) fn at_hand(state: &State, records: &[Arc<Record>]) -> bool {
    records.len() <= VERIFIED_INLINE_MAX
        && records.iter().all(|record| match (record.scope(), record.body()) {
            (_, Body::GroupGenesis { .. }) | (Scope::Account(_), _) => false,
            (Scope::Group(group), _) => state.views.group_at_hand(&group).is_some_and(|group| {
                group.accounts.0.contains_key(&record.author())
                    && group.data.receipts.get(&record.id()).is_none_or(|known| state.replica.reaches(known))
                    && (records.len() == 1 || group.data.facts.len() <= FACTS_INLINE_MAX)
            }),
        })
}

/// Refuses a bundle of which any record would have no effect.
pub(crate) fn admit(state: &State, records: Vec<Arc<Record>>) -> Result<Admitted, Failure> {
    let mut bench = Bench {
        state,
        scopes: BTreeMap::new(),
        accounts: AccountsAtHand::default(),
        touched: BTreeSet::new(),
        views: BTreeMap::new(),
        applied: 0,
    };
    let (mut new, mut known) = (Vec::new(), Vec::new());
    let last = records.len().saturating_sub(1);
    for (index, record) in records.iter().enumerate() {
        match bench.receipt(record)? {
            Some(receipt) if state.replica.reaches(&receipt) => known.push(receipt),
            // An unfinished snapshot brought it, and its place in the log may never be reached: it gets another one,
            // once.
            Some(_) => match state.store.reached(&record.id())? {
                Some(receipt) => known.push(receipt),
                None => new.push(Arc::clone(record)),
            },
            None => {
                bench.admit(record, records.get(index + 1).map(Arc::as_ref))?;
                if index < last {
                    bench.apply(record);
                }
                new.push(Arc::clone(record));
            }
        }
    }
    Ok((new, known))
}

/// The touched scopes with the bundle's records applied so far.
struct Bench<'a> {
    state: &'a State,
    scopes: BTreeMap<Scope, Facts>,
    accounts: AccountsAtHand,
    /// Groups to which the bundle has added, and their views if these took everything so far.
    touched: BTreeSet<GroupId>,
    views: BTreeMap<GroupId, GroupView>,
    /// Records of the bundle on the bench.
    applied: u64,
}

#[derive(Default)]
struct AccountsAtHand {
    cached: AccountSet,
    /// The groups that the bundle speaks of, with the accounts that their views read.
    groups: Vec<Arc<Group>>,
    /// Accounts that the bundle itself adds to.
    changed: BTreeMap<UserId, Option<AccountView>>,
}

impl Accounts for AccountsAtHand {
    fn account(&self, user: &UserId) -> Option<&AccountView> {
        match self.changed.get(user) {
            Some(view) => view.as_ref(),
            None => self.held(user)?.view.as_ref(),
        }
    }
}

impl AccountsAtHand {
    /// The group's view before the bundle.
    fn view(&self, group: &GroupId) -> Option<GroupView> {
        self.groups.iter().filter_map(|held| held.view.as_ref()).find(|view| view.group == *group).cloned()
    }

    fn held(&self, user: &UserId) -> Option<&Arc<Account>> {
        let of_groups = || self.groups.iter().find_map(|group| group.accounts.0.get(user));
        self.cached.0.get(user).or_else(of_groups)
    }
}

impl Bench<'_> {
    /// The lowest receipt of a record that is known.
    fn receipt(&self, record: &Record) -> Result<Option<Receipt>, Failure> {
        let data = match record.scope() {
            Scope::Account(user) => Arc::clone(&self.state.views.account(&user)?.data),
            Scope::Group(group) => Arc::clone(&self.state.views.group(&group)?.data),
        };
        Ok(data.receipts.get(&record.id()).cloned())
    }

    fn admit(&mut self, record: &Record, next: Option<&Record>) -> Result<(), Failure> {
        let scope = record.scope();
        self.fetch(scope)?;
        match scope {
            Scope::Account(user) => self.admit_account(user, record)?,
            Scope::Group(group) => self.admit_group(group, record, next)?,
        }
        Ok(())
    }

    /// What the bundle's next records are judged by.
    fn apply(&mut self, record: &Arc<Record>) {
        let scope = record.scope();
        self.applied += 1;
        let order =
            Order { stamp: Stamp(u64::MAX - BUNDLE_RECORDS_MAX as u64 + self.applied), ..Order::LAST };
        let Some(facts) = self.scopes.get_mut(&scope) else { return };
        facts.insert(Arc::clone(record), order);
        match scope {
            Scope::Account(user) => _ = self.accounts.changed.insert(user, AccountView::of(user, facts)),
            Scope::Group(group) => {
                let known = match self.touched.insert(group) {
                    true => self.accounts.view(&group),
                    false => self.views.remove(&group),
                };
                let Some(mut view) = known.filter(|_| self.accounts.changed.is_empty()) else { return };
                // A Manifest alone lists nothing. Behind anything else that is not taken the next record has the
                // group settled anew.
                if view.append(facts, &self.accounts, &record.id())
                    || matches!(record.body(), Body::Manifest { .. })
                {
                    self.views.insert(group, view);
                }
            }
        }
    }

    /// Brings a scope onto the bench, and of a group all accounts that its view reads.
    fn fetch(&mut self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains_key(&scope) {
            return Ok(());
        }
        let facts = match scope {
            Scope::Account(user) => {
                self.fetch_account(&user)?;
                self.state.views.account(&user)?.data.facts.clone()
            }
            Scope::Group(group) => {
                let group = self.state.views.group(&group)?;
                let facts = group.data.facts.clone();
                self.accounts.groups.push(group);
                facts
            }
        };
        self.scopes.insert(scope, facts);
        Ok(())
    }

    fn fetch_account(&mut self, user: &UserId) -> Result<(), Failure> {
        if self.accounts.held(user).is_none() {
            self.accounts.cached.0.insert(*user, self.state.views.account(user)?);
        }
        Ok(())
    }

    fn admit_account(&mut self, user: UserId, record: &Record) -> Result<(), Failure> {
        let Some(facts) = self.scopes.get(&Scope::Account(user)) else { return Ok(()) };
        admit_account(self.accounts.account(&user), facts, record)?;
        if let Body::UserNameClaim { name } = record.body() {
            let winner = self.state.user_named(&name.folded())?;
            if winner.is_some_and(|winner| winner.user != user) {
                return Err(Refusal::NameTaken(name.as_str().to_owned()).into());
            }
        }
        Ok(())
    }

    fn admit_group(&mut self, group: GroupId, record: &Record, next: Option<&Record>) -> Result<(), Failure> {
        let scope = Scope::Group(group);
        let cached = self.state.views.group(&group)?;
        self.fetch_account(&record.author())?;
        let Some(facts) = self.scopes.get(&scope) else { return Ok(()) };
        // Bundles begin with the group as the cache has it, and most records are taken by its view as they come.
        let fresh;
        let kept = match self.touched.contains(&group) {
            true => self.views.get(&group),
            false => cached.view.as_ref(),
        };
        let gone = self.touched.contains(&group) && kept.is_none();
        let view = match gone || !self.accounts.changed.is_empty() {
            false => kept,
            true => {
                fresh = GroupView::of(group, facts, &self.accounts);
                fresh.as_ref()
            }
        };
        admit_group(view, facts, &self.accounts, record, next)?;
        if let Some(view) = view {
            admit_invite_at(view, record, unix_ms())?;
        }
        // Who founds or asks may be new to the group; everybody else has been counted.
        if matches!(record.body(), Body::GroupGenesis { .. } | Body::JoinRequest { .. })
            && view.is_none_or(|view| view.records_of(&record.author()) == 0)
        {
            admit_to_more_groups(self.state.store.groups_of_user(&record.author())?.len())?;
        }
        if let Body::GroupGenesis { name, after, .. } = record.body() {
            let holder = self.state.group_named(&name.folded())?;
            let free = match holder {
                None => after.is_none(),
                // Free again: the new group must say after which end it comes.
                Some(holder) => holder.ended_by.is_some() && holder.ended_by == *after,
            };
            if !free {
                let mut failure = Failure::from(Refusal::NameTaken(name.as_str().to_owned()));
                failure.0.missing = holder.and_then(|holder| holder.ended_by).into_iter().collect();
                return Err(failure);
            }
        }
        Ok(())
    }
}
