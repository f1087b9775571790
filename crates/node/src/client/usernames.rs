//! Who has which user name, as the trackers say. Only for showing: nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_link::api::{NAMES_MAX, UserNamesRequest, UserNamesResponse, path};
use peerage_types::{FoldedName, Name, UserId};

use super::trackers::Trackers;

/// After a partition has healed a name may turn out to be somebody else's.
const FRESH_FOR: Duration = Duration::from_secs(120);

/// Names and their holders, learnt as needed.
#[derive(Debug, Default)]
pub struct UserNames(Mutex<BTreeMap<FoldedName, (UserId, Instant)>>);

impl UserNames {
    /// Does `user` hold this name? While nobody has said otherwise, yes.
    pub fn holds(&self, name: &Name, user: &UserId) -> bool {
        self.lock().get(&name.folded()).is_none_or(|(holder, _)| holder == user)
    }

    /// Asks about those that are unknown or were asked about long ago. Without an answer nothing changes.
    pub async fn learn(&self, trackers: &Trackers, names: impl Iterator<Item = Name>) {
        let unknown: Vec<Name> = {
            let known = self.lock();
            let fresh = |n: &Name| known.get(&n.folded()).is_some_and(|(_, at)| at.elapsed() < FRESH_FOR);
            names.filter(|n| !fresh(n)).collect::<BTreeSet<_>>().into_iter().collect()
        };
        self.learn_again(trackers, unknown.into_iter()).await;
    }

    /// Asks about all of these, also about those that are known.
    pub async fn learn_again(&self, trackers: &Trackers, names: impl Iterator<Item = Name>) {
        let names: Vec<Name> = names.collect();
        for names in names.chunks(NAMES_MAX) {
            let request = UserNamesRequest { names: names.to_vec() };
            match trackers.call::<_, UserNamesResponse>(path::USER_NAMES, &request).await {
                Ok(answer) => self.note(names.iter().zip(answer.users)),
                Err(error) => {
                    tracing::debug!(%error, "user names stay as they are");
                    return;
                }
            }
        }
    }

    fn note<'a>(&self, answers: impl Iterator<Item = (&'a Name, Option<UserId>)>) {
        let mut known = self.lock();
        let found = answers.filter_map(|(name, user)| Some((name.folded(), (user?, Instant::now()))));
        known.extend(found);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FoldedName, (UserId, Instant)>> {
        // Single inserts leave the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_counts_once_it_is_known() {
        let names = UserNames::default();
        let name: Name = "Ada".parse().unwrap();
        let (a, b) = (UserId([1; 32]), UserId([2; 32]));
        assert!(names.holds(&name, &a) && names.holds(&name, &b));
        names.note([(&name, Some(a))].into_iter());
        let other_spelling: Name = "aDA".parse().unwrap();
        assert!(names.holds(&other_spelling, &a) && !names.holds(&name, &b));
    }
}
