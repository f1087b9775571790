//! Would a bundle take effect? The tracker's way of asking the ledger, on simulated views.
//!
//! Each record is judged with the bundle's earlier ones applied, so a bundle is taken whole or not at all. Lanes
//! keep two bundles from deciding about one scope or name at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerage_ledger::{
    AccountView, Accounts, Body, Facts, GroupView, Order, Receipt, Record, Refusal, admit_account,
    admit_group,
};
use peerage_types::{FoldedName, GroupId, Scope, UserId};

use super::Sabotage;
use super::image::Image;
use super::serving::{Known, Serving, View};

/// What one bundle at a time may decide about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Scope(Scope),
    UserName(FoldedName),
    GroupName(FoldedName),
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

/// Judges a bundle; a lax tracker only looks which records it has.
pub(crate) fn admit(
    serving: &mut Serving,
    image: &Image,
    records: &[Arc<Record>],
    lax: bool,
) -> Result<Admitted, Refusal> {
    let mut bench = Bench {
        serving,
        image,
        scopes: BTreeMap::new(),
        changed: BTreeMap::new(),
        unsettled: BTreeSet::new(),
    };
    let (mut new, mut known) = (Vec::new(), Vec::new());
    let again = bench.serving.sabotage() == Some(Sabotage::AnewAgain);
    for (index, record) in records.iter().enumerate() {
        let scope = record.scope();
        let receipt = bench.serving.settled(scope, image).and_then(|e| e.receipts.get(&record.id()).cloned());
        if let Some(receipt) = receipt {
            match image.vector().get(&receipt.origin) >= receipt.seq {
                true => known.push(receipt),
                // An unfinished snapshot brought it, and its place in the log may never be reached: it gets another
                // one, once.
                false => match image.reached(&record.id()).filter(|_| !again) {
                    Some(receipt) => known.push(receipt.clone()),
                    None => new.push(Arc::clone(record)),
                },
            }
            continue;
        }
        if !lax {
            bench.admit(record, records.get(index + 1).map(Arc::as_ref))?;
        }
        if !lax && index + 1 < records.len() {
            bench.apply(record);
        }
        new.push(Arc::clone(record));
    }
    Ok((new, known))
}

/// The touched scopes with the bundle's records applied so far.
struct Bench<'a> {
    serving: &'a mut Serving,
    image: &'a Image,
    scopes: BTreeMap<Scope, Facts>,
    /// Accounts that the bundle itself adds to.
    changed: BTreeMap<UserId, Option<AccountView>>,
    /// Groups in which the bundle has changed what admission reads.
    unsettled: BTreeSet<GroupId>,
}

struct AtHand<'a> {
    known: Known<'a>,
    changed: &'a BTreeMap<UserId, Option<AccountView>>,
}

impl Accounts for AtHand<'_> {
    fn account(&self, user: &UserId) -> Option<&AccountView> {
        match self.changed.get(user) {
            Some(view) => view.as_ref(),
            None => self.known.account(user),
        }
    }
}

impl Bench<'_> {
    fn admit(&mut self, record: &Record, next: Option<&Record>) -> Result<(), Refusal> {
        let scope = record.scope();
        self.serving.settled(Scope::Account(record.author()), self.image);
        let facts = match self.scopes.get(&scope) {
            Some(facts) => facts.clone(),
            None => self.serving.settled(scope, self.image).map(|e| e.facts.clone()).unwrap_or_default(),
        };
        match scope {
            Scope::Account(user) => self.admit_account(user, &facts, record),
            Scope::Group(group) => self.admit_group(group, &facts, record, next),
        }
    }

    fn apply(&mut self, record: &Arc<Record>) {
        let scope = record.scope();
        let mut facts = match self.scopes.remove(&scope) {
            Some(facts) => facts,
            None => self.serving.settled(scope, self.image).map(|e| e.facts.clone()).unwrap_or_default(),
        };
        facts.insert(Arc::clone(record), Order::LAST);
        match scope {
            Scope::Account(user) => {
                self.changed.insert(user, AccountView::of(user, &facts));
            }
            // A Manifest alone lists nothing.
            Scope::Group(group) if !matches!(record.body(), Body::Manifest { .. }) => {
                self.unsettled.insert(group);
            }
            Scope::Group(_) => {}
        }
        self.scopes.insert(scope, facts);
    }

    fn admit_account(&mut self, user: UserId, facts: &Facts, record: &Record) -> Result<(), Refusal> {
        let accounts = AtHand { known: Known(self.serving.entries()), changed: &self.changed };
        admit_account(accounts.account(&user), facts, record)?;
        if let Body::UserNameClaim { name } = record.body() {
            let winner = self.serving.user_named(&name.folded(), self.image);
            if winner.is_some_and(|winner| winner.user != user) {
                return Err(Refusal::NameTaken(name.as_str().to_owned()));
            }
        }
        Ok(())
    }

    fn admit_group(
        &mut self,
        group: GroupId,
        facts: &Facts,
        record: &Record,
        next: Option<&Record>,
    ) -> Result<(), Refusal> {
        let entries = self.serving.entries();
        let accounts = AtHand { known: Known(entries), changed: &self.changed };
        let unchecked = self.serving.sabotage() == Some(Sabotage::UncheckedAccept);
        if unchecked && matches!(record.body(), Body::Accept { .. }) {
            return Ok(());
        }
        let fresh;
        let view = match !self.unsettled.contains(&group) && self.changed.is_empty() {
            true => match entries.get(&Scope::Group(group)).and_then(|entry| entry.view.as_ref()) {
                Some(View::Group(view)) => view.as_deref(),
                _ => None,
            },
            false => {
                fresh = GroupView::of(group, facts, &accounts);
                fresh.as_ref()
            }
        };
        admit_group(view, facts, &accounts, record, next)?;
        if let Body::GroupGenesis { name, after, .. } = record.body() {
            let holder = self.serving.group_named(&name.folded(), self.image);
            let free = match holder {
                None => after.is_none(),
                // Free again: the new group must say after which end it comes.
                Some(holder) => holder.ended_by.is_some() && holder.ended_by == *after,
            };
            if !free {
                return Err(Refusal::NameTaken(name.as_str().to_owned()));
            }
        }
        Ok(())
    }
}
