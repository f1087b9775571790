//! Who descends from whom: the forest that `prev` links make of a scope's records.
//!
//! `prev` names a hash, so there are no cycles; a link to an unknown record, or to another key's, ends the
//! line. One depth-first walk numbers all records so that "is an ancestor of" becomes a comparison, whatever
//! the length of the chains.

use std::collections::BTreeMap;

use peerage_types::RecordId;

use crate::facts::Facts;

/// A record's descendants, itself included, have the places `first..end`.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: u32,
    end: u32,
}

/// The forest of one scope.
#[derive(Debug)]
pub(crate) struct Lineage {
    spans: BTreeMap<RecordId, Span>,
}

/// Some records and all their ancestors.
#[derive(Debug)]
pub(crate) struct Cover {
    places: Vec<u32>,
}

impl Lineage {
    pub(crate) fn of(facts: &Facts) -> Self {
        let ids: Vec<RecordId> = facts.iter().map(|fact| fact.record.id()).collect();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); ids.len()];
        let mut roots = Vec::new();
        for (at, fact) in facts.iter().enumerate() {
            let record = &fact.record;
            let parent = record.prev().and_then(|prev| facts.get(&prev)).filter(|parent| {
                parent.record.signer() == record.signer() && parent.record.author() == record.author()
            });
            match parent.and_then(|parent| ids.binary_search(&parent.record.id()).ok()) {
                Some(parent) => children[parent].push(at),
                None => roots.push(at),
            }
        }
        Self { spans: number(&ids, &children, roots) }
    }

    /// These records and their ancestors; unknown ones contribute nothing.
    pub(crate) fn cover<'a>(&self, heads: impl IntoIterator<Item = &'a RecordId>) -> Cover {
        let mut places: Vec<u32> =
            heads.into_iter().filter_map(|id| self.spans.get(id)).map(|span| span.first).collect();
        places.sort_unstable();
        Cover { places }
    }

    /// Is this record one of the cover's heads, or an ancestor of one?
    pub(crate) fn covers(&self, cover: &Cover, id: &RecordId) -> bool {
        let Some(span) = self.spans.get(id) else { return false };
        let at = cover.places.partition_point(|place| *place < span.first);
        cover.places.get(at).is_some_and(|place| *place < span.end)
    }
}

impl Lineage {
    /// Of these records the ones from which no other of them descends, by place.
    pub(crate) fn leaves(&self, ids: impl IntoIterator<Item = RecordId>) -> Vec<RecordId> {
        let mut found: Vec<(u32, u32, RecordId)> = ids
            .into_iter()
            .filter_map(|id| self.spans.get(&id).map(|span| (span.first, span.end, id)))
            .collect();
        found.sort_unstable();
        let next = found.iter().skip(1).map(|(first, _, _)| *first).chain([u32::MAX]);
        let leaf = |((_, end, id), next): (&(u32, u32, RecordId), u32)| (next >= *end).then_some(*id);
        found.iter().zip(next).filter_map(leaf).collect()
    }
}

/// Depth first without recursion: a chain may have a hundred thousand links.
fn number(ids: &[RecordId], children: &[Vec<usize>], roots: Vec<usize>) -> BTreeMap<RecordId, Span> {
    let mut spans = BTreeMap::new();
    let mut next = 0;
    let mut stack: Vec<(usize, Option<u32>)> = roots.into_iter().map(|root| (root, None)).collect();
    while let Some((at, entered)) = stack.pop() {
        match entered {
            None => {
                stack.push((at, Some(next)));
                stack.extend(children[at].iter().map(|child| (*child, None)));
                next += 1;
            }
            Some(first) => {
                spans.insert(ids[at], Span { first, end: next });
            }
        }
    }
    spans
}
