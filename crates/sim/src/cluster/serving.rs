//! What a running tracker has settled: each scope's facts and view, kept up to date by applied rows.
//!
//! The same steps as in the tracker: a scope is read from the disk when it is first needed, grows with what is
//! applied, and is settled anew when its facts, or an account that it reads, have changed.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use peerage_ledger::{
    AccountView, Accounts, Body, Facts, GroupView, Holder, Member, Order, Receipt, Standing, Winner,
    settle_group_name, settle_user_name,
};
use peerage_replica::{Digest, VerifiedRow};
use peerage_types::{FoldedName, GroupId, RecordId, Scope, Stamp, UserId};

use super::Sabotage;
use super::image::Image;

/// A settled scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum View {
    Account(Option<Arc<AccountView>>),
    Group(Option<Arc<GroupView>>),
}

/// One scope in memory.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) facts: Facts,
    pub(crate) receipts: BTreeMap<RecordId, Receipt>,
    /// Over records and lowest receipts.
    pub(crate) digest: Digest,
    pub(crate) authors: BTreeSet<UserId>,
    pub(crate) view: Option<View>,
}

/// All scopes that were asked for.
#[derive(Debug)]
pub(crate) struct Serving {
    entries: BTreeMap<Scope, Entry>,
    arrivals: u64,
    /// Records that were found damaged and that nobody has asked for yet.
    pub(crate) damaged: BTreeSet<RecordId>,
    /// Which tracker this is.
    me: usize,
    sabotage: Option<Sabotage>,
}

/// Account views at hand.
pub(crate) struct Known<'a>(pub(crate) &'a BTreeMap<Scope, Entry>);

impl Accounts for Known<'_> {
    fn account(&self, user: &UserId) -> Option<&AccountView> {
        match self.0.get(&Scope::Account(*user))?.view.as_ref()? {
            View::Account(view) => view.as_deref(),
            View::Group(_) => None,
        }
    }
}

impl Serving {
    pub(crate) fn new(me: usize, sabotage: Option<Sabotage>) -> Self {
        Self { entries: BTreeMap::new(), arrivals: 0, damaged: BTreeSet::new(), me, sabotage }
    }

    pub(crate) fn sabotage(&self) -> Option<Sabotage> {
        self.sabotage
    }

    pub(crate) fn entries(&self) -> &BTreeMap<Scope, Entry> {
        &self.entries
    }

    /// Rows became durable. Gives the scopes that may look different now.
    pub(crate) fn apply(&mut self, rows: &[VerifiedRow], image: &Image) -> BTreeSet<Scope> {
        let mut touched = BTreeSet::new();
        for row in rows {
            let scope = row.record().scope();
            let loads = !self.entries.contains_key(&scope);
            self.load(scope, image);
            if self.insert(row) || loads {
                touched.insert(scope);
            }
        }
        let mut readers = BTreeSet::new();
        for scope in &touched {
            let Scope::Account(user) = scope else { continue };
            for (reader, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.authors.contains(user)) {
                entry.view = None;
                readers.insert(*reader);
            }
        }
        touched.extend(readers);
        touched
    }

    fn insert(&mut self, row: &VerifiedRow) -> bool {
        self.arrivals += 1;
        let (record, receipt) = (row.record(), row.receipt());
        let (id, order) = (record.id(), receipt.order());
        let entry = self.entries.entry(record.scope()).or_default();
        match entry.receipts.get(&id).map(Receipt::order) {
            Some(known) if known <= order => return false,
            Some(known) => entry.digest.remove(&id, &known),
            None => {
                entry.authors.insert(record.author());
            }
        }
        entry.digest.add(&id, &order);
        let fresh = entry.receipts.insert(id, receipt.clone()).is_none();
        let view = entry.view.take();
        let settled_as = match self.sabotage {
            Some(Sabotage::ArrivalOrder) if self.me == 0 => Order { stamp: Stamp(self.arrivals), ..order },
            Some(Sabotage::ForgottenKick) if matches!(record.body(), Body::Kick { .. }) => return true,
            _ => order,
        };
        entry.facts.insert(Arc::clone(record), settled_as);
        if let (Some(View::Group(Some(view))), true, None) = (view, fresh, self.sabotage) {
            self.append(record.scope(), view, &id);
        }
        true
    }

    /// Most rows only add to a view.
    fn append(&mut self, scope: Scope, mut view: Arc<GroupView>, id: &RecordId) {
        let Some(entry) = self.entries.get(&scope) else { return };
        if Arc::make_mut(&mut view).append(&entry.facts, &Known(&self.entries), id)
            && let Some(entry) = self.entries.get_mut(&scope)
        {
            entry.view = Some(View::Group(Some(view)));
        }
    }

    fn load(&mut self, scope: Scope, image: &Image) {
        if let btree_map::Entry::Vacant(free) = self.entries.entry(scope) {
            free.insert(Entry::default());
            self.damaged.extend(image.damaged(&scope));
            for row in image.scope(&scope) {
                self.insert(row);
            }
        }
    }

    /// The scope with its view up to date.
    pub(crate) fn settled(&mut self, scope: Scope, image: &Image) -> Option<&Entry> {
        self.load(scope, image);
        if self.entries.get(&scope).is_some_and(|entry| entry.view.is_none()) {
            let view = match scope {
                Scope::Account(user) => {
                    let facts = &self.entries.get(&scope)?.facts;
                    View::Account(AccountView::of(user, facts).map(Arc::new))
                }
                Scope::Group(group) => {
                    for author in self.entries.get(&scope)?.authors.clone() {
                        self.settled(Scope::Account(author), image);
                    }
                    let facts = &self.entries.get(&scope)?.facts;
                    let mut view = GroupView::of(group, facts, &Known(&self.entries));
                    if let (Some(view), Some(Sabotage::UncheckedAccept)) = (&mut view, self.sabotage) {
                        accept_all(view, facts);
                    }
                    View::Group(view.map(Arc::new))
                }
            };
            self.entries.get_mut(&scope)?.view = Some(view);
        }
        self.entries.get(&scope)
    }

    pub(crate) fn account(&mut self, user: UserId, image: &Image) -> Option<Arc<AccountView>> {
        match self.settled(Scope::Account(user), image)?.view.as_ref()? {
            View::Account(view) => view.clone(),
            View::Group(_) => None,
        }
    }

    pub(crate) fn group(&mut self, group: GroupId, image: &Image) -> Option<Arc<GroupView>> {
        match self.settled(Scope::Group(group), image)?.view.as_ref()? {
            View::Group(view) => view.clone(),
            View::Account(_) => None,
        }
    }

    /// Who has this user name.
    pub(crate) fn user_named(&self, name: &FoldedName, image: &Image) -> Option<Winner> {
        let claims = image.user_claims(name);
        match self.sabotage {
            Some(Sabotage::NameByArrival) => {
                claims.first().map(|claim| Winner { user: claim.user, claim: claim.id })
            }
            _ => settle_user_name(&claims),
        }
    }

    /// Who has this group name, or had it last.
    pub(crate) fn group_named(&mut self, name: &FoldedName, image: &Image) -> Option<Holder> {
        let mut claims = image.group_claims(name);
        for claim in &mut claims {
            claim.ended_by = self.group(claim.genesis.into(), image).and_then(|view| view.ended_by);
        }
        settle_group_name(&claims)
    }
}

/// The deliberate bug of [`Sabotage::UncheckedAccept`]: whoever was accepted by anybody is in.
fn accept_all(view: &mut GroupView, facts: &Facts) {
    if view.ended_by.is_some() {
        return;
    }
    for fact in facts.iter() {
        if let Body::Accept { user, incarnation, .. } = *fact.record.body()
            && view.standing(&user) == (Standing::Requested { incarnation })
        {
            view.members.entry(user).or_insert(Member { incarnation, since: fact.order });
        }
    }
}
