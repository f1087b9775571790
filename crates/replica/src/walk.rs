//! Two sorted lists that come in pages, walked side by side.

use std::collections::VecDeque;

/// Whose list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<K, V> {
    /// A page is needed, behind this key.
    Page(Side, Option<K>),
    /// A key that at least one side has.
    Key(K, Option<V>, Option<V>),
    /// Both lists are at their end.
    End,
}

/// The walk. Keys ascend on both sides.
#[derive(Debug)]
pub(crate) struct Walk<K, V> {
    ours: List<K, V>,
    theirs: List<K, V>,
}

#[derive(Debug)]
struct List<K, V> {
    page: VecDeque<(K, V)>,
    /// The last key that came.
    after: Option<K>,
    more: bool,
}

impl<K: Copy + Ord, V> Walk<K, V> {
    pub(crate) fn new() -> Self {
        let list = || List { page: VecDeque::new(), after: None, more: true };
        Self { ours: list(), theirs: list() }
    }

    /// Takes a page. False: no list looks like that.
    pub(crate) fn page(&mut self, side: Side, page: Vec<(K, V)>, more: bool) -> bool {
        let list = match side {
            Side::Ours => &mut self.ours,
            Side::Theirs => &mut self.theirs,
        };
        let ascends = page.is_sorted_by(|(a, _), (b, _)| a < b)
            && page.first().is_none_or(|(first, _)| list.after.is_none_or(|after| after < *first));
        if !ascends || (more && page.is_empty()) {
            return false;
        }
        list.after = page.last().map(|(last, _)| *last).or(list.after);
        list.more = more;
        list.page.extend(page);
        true
    }

    pub(crate) fn next(&mut self) -> Next<K, V> {
        for (side, list) in [(Side::Ours, &self.ours), (Side::Theirs, &self.theirs)] {
            if list.page.is_empty() && list.more {
                return Next::Page(side, list.after);
            }
        }
        let (ours, theirs) = (self.ours.first(), self.theirs.first());
        let Some(key) = ours.into_iter().chain(theirs).min() else { return Next::End };
        Next::Key(key, self.ours.take(key), self.theirs.take(key))
    }
}

impl<K: Copy + Ord, V> List<K, V> {
    fn first(&self) -> Option<K> {
        self.page.front().map(|(key, _)| *key)
    }

    fn take(&mut self, key: K) -> Option<V> {
        self.page.pop_front_if(|(first, _)| *first == key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn meets_every_key_once(
            ours: BTreeMap<u8, u8>,
            theirs: BTreeMap<u8, u8>,
            sizes in (1usize..5, 1usize..5),
        ) {
            let mut walk = Walk::new();
            let mut met = Vec::new();
            loop {
                match walk.next() {
                    Next::End => break,
                    Next::Key(key, a, b) => met.push((key, a, b)),
                    Next::Page(side, after) => {
                        let (list, size) = match side {
                            Side::Ours => (&ours, sizes.0),
                            Side::Theirs => (&theirs, sizes.1),
                        };
                        let behind: Vec<_> =
                            list.iter().map(|(k, v)| (*k, *v)).filter(|(k, _)| after.is_none_or(|a| *k > a)).collect();
                        let more = behind.len() > size;
                        prop_assert!(walk.page(side, behind.into_iter().take(size).collect(), more));
                    }
                }
            }
            let keys: std::collections::BTreeSet<u8> = ours.keys().chain(theirs.keys()).copied().collect();
            let expected: Vec<_> =
                keys.into_iter().map(|k| (k, ours.get(&k).copied(), theirs.get(&k).copied())).collect();
            prop_assert_eq!(met, expected);
        }
    }

    #[test]
    fn refuses_pages_that_would_go_in_circles() {
        let mut walk = Walk::new();
        assert!(!walk.page(Side::Ours, vec![(2, ()), (1, ())], false));
        assert!(!walk.page(Side::Ours, vec![], true));
        assert!(walk.page(Side::Ours, vec![(1, ()), (2, ())], true));
        assert!(!walk.page(Side::Ours, vec![(2, ())], false));
    }
}
