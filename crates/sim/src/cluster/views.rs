//! What must hold of views: equal facts give equal views on every tracker, whatever the order of arrival, and what
//! they say has somebody's word behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use peerage_ledger::{Body, Facts, GroupView, NameTable, Rank, Winner};
use peerage_replica::{Digest, VerifiedRow};
use peerage_types::{FoldedName, GroupId, RecordId, Scope, UserId};

use super::image::Image;
use super::node::Node;
use super::oracle;
use super::serving::{Entry, Known, Serving, View};
use super::{Broken, Rule, Sabotage};

type Winners = BTreeMap<FoldedName, Option<Winner>>;
type Holders = BTreeMap<FoldedName, Option<GroupId>>;

/// Views remembered per scope: as far as trackers lag behind each other.
const REMEMBERED_MAX: usize = 48;

/// Remembers what trackers made of which facts.
#[derive(Debug, Default)]
pub(crate) struct ViewChecks {
    known: BTreeMap<Scope, VecDeque<(u128, View, usize)>>,
    /// What was on disk at which vector.
    roots: BTreeMap<u128, Digest>,
    /// The best claim so far to each name, by tracker and generation of its disk.
    winners: BTreeMap<(usize, u64, FoldedName), Rank>,
    /// Different views that were judged.
    pub(crate) judged: u64,
    /// Views that another tracker had made already of the same facts.
    pub(crate) compared: u64,
}

impl ViewChecks {
    /// Rows became durable on a tracker and changed these scopes.
    pub(crate) fn applied<'s>(
        &mut self,
        at: usize,
        serving: &mut Serving,
        image: &Image,
        touched: impl IntoIterator<Item = &'s Scope>,
    ) -> Result<(), Broken> {
        for scope in touched {
            self.scope(at, serving, image, scope)?;
        }
        Ok(())
    }

    /// A disk has changed: equal vectors mean equal facts, unless it holds some rows beyond its vector, or disks were
    /// harmed.
    pub(crate) fn disk(&mut self, at: usize, image: &Image, harmed: bool) -> Result<(), Broken> {
        if harmed || image.is_ahead() {
            return Ok(());
        }
        let known = *self.roots.entry(image.vector_sum()).or_insert(image.root());
        match known == image.root() {
            true => Ok(()),
            false => Rule::EqualViews.broken(format!(
                "tracker {at} holds {:?} at a vector at which another held {known:?}",
                image.root()
            )),
        }
    }

    fn scope(
        &mut self,
        at: usize,
        serving: &mut Serving,
        image: &Image,
        scope: &Scope,
    ) -> Result<(), Broken> {
        serving.settled(*scope, image);
        let entries = serving.entries();
        let Some(entry) = entries.get(scope) else { return Ok(()) };
        let Some(view) = &entry.view else { return Ok(()) };
        let key = key(entries, scope, entry);
        let known = self.known.entry(*scope).or_default();
        match known.iter().find(|(same, _, _)| *same == key) {
            Some((_, same, by)) => {
                self.compared += u64::from(*by != at);
                if same != view {
                    return Rule::EqualViews.broken(format!(
                        "trackers {by} and {at} make two things of the same facts in {scope:?}:\n{same:?}\n{view:?}"
                    ));
                }
                Ok(())
            }
            None => {
                known.push_back((key, view.clone(), at));
                if known.len() > REMEMBERED_MAX {
                    known.pop_front();
                }
                self.judged += 1;
                judge(view, &true_facts(serving.sabotage(), entry, image, scope), &Known(entries))
            }
        }
    }

    /// Rows with claims to names became durable.
    pub(crate) fn names(
        &mut self,
        at: usize,
        generation: u64,
        serving: &mut Serving,
        image: &Image,
        rows: &[VerifiedRow],
    ) -> Result<(), Broken> {
        for row in rows {
            match row.record().body() {
                Body::UserNameClaim { name } => {
                    self.user_name(at, generation, serving, image, &name.folded())?;
                }
                Body::GroupGenesis { name, .. } => group_name(at, serving, image, &name.folded())?,
                Body::Close { .. } | Body::Handover { .. } => {
                    if let Scope::Group(group) = row.record().scope()
                        && let Some(view) = serving.group(group, image)
                    {
                        group_name(at, serving, image, &view.name.folded())?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn user_name(
        &mut self,
        at: usize,
        generation: u64,
        serving: &Serving,
        image: &Image,
        name: &FoldedName,
    ) -> Result<(), Broken> {
        let claims = image.user_claims(name);
        let Some(first) = oracle::first_claim(&claims) else { return Ok(()) };
        let expected = Some(Winner { user: first.user, claim: first.id });
        let winner = serving.user_named(name, image);
        if winner != expected {
            return Rule::OneWinner.broken(format!(
                "tracker {at} gives `{}` to {winner:?}, the first claim is {first:?}",
                name.as_str()
            ));
        }
        // A claim that lost stays lost: the best rank only ever improves.
        let rank = oracle::rank(first);
        let best = self.winners.entry((at, generation, name.clone())).or_insert(rank);
        if rank > *best {
            return Rule::OneWinner.broken(format!("tracker {at} promoted {first:?} to `{}`", name.as_str()));
        }
        *best = rank;
        Ok(())
    }
}

/// After healing: one winner for each name, the same on every tracker, and names come out alike when all claims are
/// told to the ledger's table backwards.
pub(crate) fn names_agree(nodes: &mut [Node]) -> Result<(), Broken> {
    let mut agreed: Option<(Winners, Holders)> = None;
    for (at, node) in nodes.iter_mut().enumerate() {
        let image = node.disk.image();
        let Some(run) = &mut node.run else { continue };
        let mut users: Winners =
            image.user_names().map(|name| (name.clone(), run.serving.user_named(name, image))).collect();
        // A claim that is gone for good leaves its name behind.
        users.retain(|_, winner| winner.is_some());
        let mut groups = Holders::new();
        for name in image.group_names() {
            group_name(at, &mut run.serving, image, name)?;
            if let Some(holder) = run.serving.group_named(name, image) {
                groups.insert(name.clone(), Some(holder.group));
            }
        }
        let mut table = NameTable::new();
        for row in image.scopes().flat_map(|scope| image.scope(scope)).collect::<Vec<_>>().into_iter().rev() {
            if let Body::UserNameClaim { name } = row.record().body() {
                let (order, id, user) = (row.receipt().order(), row.record().id(), row.record().author());
                table.claim_user(name, peerage_ledger::Claim { order, id, user });
            }
        }
        if let Some((name, _)) = users.iter().find(|(name, winner)| table.user(name) != **winner) {
            return Rule::OneWinner.broken(format!("the table gives `{}` to another", name.as_str()));
        }
        let ours = (users, groups);
        match &agreed {
            None => agreed = Some(ours),
            Some(first) if *first == ours => {}
            Some(first) => {
                return Rule::OneWinner.broken(format!("tracker {at} says {ours:?}, tracker 0 {first:?}"));
            }
        }
    }
    Ok(())
}

fn group_name(at: usize, serving: &mut Serving, image: &Image, name: &FoldedName) -> Result<(), Broken> {
    let mut claims = image.group_claims(name);
    for claim in &mut claims {
        claim.ended_by = serving.group(claim.genesis.into(), image).and_then(|view| view.ended_by);
    }
    let (expected, holder) = (oracle::holder(&claims), serving.group_named(name, image));
    match holder.map(|holder| holder.group) == expected {
        true => Ok(()),
        false => Rule::OneWinner
            .broken(format!("tracker {at} gives `{}` to {holder:?}, expected {expected:?}", name.as_str())),
    }
}

fn judge(view: &View, facts: &Facts, accounts: &Known<'_>) -> Result<(), Broken> {
    match view {
        View::Account(Some(view)) => oracle::account(view, facts),
        View::Group(Some(view)) => oracle::group(view, facts, accounts),
        View::Account(None) | View::Group(None) => Ok(()),
    }
}

/// What is really known of a scope, whatever the tracker settled its view from.
fn true_facts(sabotage: Option<Sabotage>, entry: &Entry, image: &Image, scope: &Scope) -> Facts {
    if !matches!(sabotage, Some(Sabotage::ForgottenKick | Sabotage::ArrivalOrder)) {
        return entry.facts.clone();
    }
    let known = image.scope(scope).filter_map(|row| {
        let receipt = entry.receipts.get(&row.record().id())?;
        Some((Arc::clone(row.record()), receipt.order()))
    });
    known.collect()
}

/// Equal exactly when the scope's facts, and those of all accounts that a group's view reads, are equal.
fn key(entries: &BTreeMap<Scope, Entry>, scope: &Scope, entry: &Entry) -> u128 {
    let own = fold(&entry.digest);
    match scope {
        Scope::Account(_) => own,
        Scope::Group(_) => entry.authors.iter().fold(own, |sum, author| {
            let account = entries.get(&Scope::Account(*author)).map_or(0, |entry| fold(&entry.digest));
            sum.wrapping_add(account.wrapping_mul(3))
        }),
    }
}

fn fold(digest: &Digest) -> u128 {
    digest.0.chunks(16).fold(0, |sum, part| {
        let mut bytes = [0; 16];
        bytes[..part.len()].copy_from_slice(part);
        sum ^ u128::from_le_bytes(bytes)
    })
}

/// After healing: what can never have had authority leaves no mark on a group.
pub(crate) fn without_effect(
    serving: &mut Serving,
    image: &Image,
    group: GroupId,
    strangers: &BTreeSet<UserId>,
    forged: impl Fn(&RecordId) -> bool,
) -> Result<u64, Broken> {
    let Some(with) = serving.group(group, image) else { return Ok(0) };
    let entries = serving.entries();
    let Some(entry) = entries.get(&Scope::Group(group)) else { return Ok(0) };
    let total = entry.facts.len();
    let kept: Facts = entry
        .facts
        .iter()
        .filter(|fact| !forged(&fact.record.id()))
        .map(|fact| (Arc::clone(&fact.record), fact.order))
        .collect();
    let taken_out = (total - kept.len()) as u64;
    let without = GroupView::of(group, &kept, &Known(entries));
    // Whether a stranger's own request stands may hang on the chain that the forged records are part of.
    let effect = |view: &GroupView| {
        let mut requests = view.requests.clone();
        requests.retain(|request| !strangers.contains(&request.user));
        let people = (view.members.clone(), view.admins.clone(), requests);
        (view.owner, view.epoch, view.ended_by, people, view.files.clone())
    };
    match without.as_ref().map(effect) == Some(effect(&with)) {
        true => Ok(taken_out),
        false => Rule::Authority
            .broken(format!("{group:?} looks different without what strangers did:\n{with:?}\n{without:?}")),
    }
}
