//! The signatures of bundles that come at the same time are checked together, for a third of the time each.
//!
//! Requests hand in what they have decoded and wait. One task takes all that has queued up, asks `ledger` about it in
//! one go and answers each: in whose company a record is checked makes no difference to the answer. Whoever sends wrong
//! signatures makes a batch cost about twice as much, for which the rate limits of bundles account.

use std::sync::{Mutex, MutexGuard, PoisonError};

use peerage_ledger::{CheckedKey, KeyCache, Record, RecordFault, SignatureCheck, Unverified};
use peerage_types::PublicKey;
use tokio::sync::{mpsc, oneshot};

use crate::limits::{KEYS_CACHED_MAX, VERIFIED_TOGETHER_MAX, VERIFIER_QUEUE_MAX};

type Verdicts = Vec<Result<Record, RecordFault>>;

/// The records of one request.
pub(crate) struct Job {
    records: Vec<Unverified>,
    answer: oneshot::Sender<Verdicts>,
}

/// Reaches the task from anywhere.
#[derive(Debug)]
pub(crate) struct Verifier {
    jobs: mpsc::Sender<Job>,
    /// Whoever writes writes again.
    keys: Mutex<KeyCache>,
}

impl Verifier {
    /// The handle, and the end that [`run`] needs.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, inbox) = mpsc::channel(VERIFIER_QUEUE_MAX);
        (Self { jobs, keys: Mutex::new(KeyCache::new(KEYS_CACHED_MAX)) }, inbox)
    }

    /// As [`CheckedKey::new`], from memory if it can be.
    pub(crate) fn key(&self, key: &PublicKey) -> Option<CheckedKey> {
        if let Some(known) = self.keys().known(key) {
            return Some(known);
        }
        // Without the lock: whoever comes with keys that nobody knows keeps no others waiting.
        let fresh = CheckedKey::new(key)?;
        self.keys().keep(fresh);
        Some(fresh)
    }

    fn keys(&self) -> MutexGuard<'_, KeyCache> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One answer per record, in their order. None: the tracker is stopping.
    pub(crate) async fn verify(&self, records: Vec<Unverified>) -> Option<Verdicts> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { records, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// Runs until no handle is left.
pub(crate) async fn run(mut inbox: mpsc::Receiver<Job>) {
    while let Some(first) = inbox.recv().await {
        // Requests that are ready to be read now hand in theirs first.
        tokio::task::yield_now().await;
        let mut count = first.records.len();
        let mut jobs = vec![first];
        while count < VERIFIED_TOGETHER_MAX
            && let Ok(job) = inbox.try_recv()
        {
            count += job.records.len();
            jobs.push(job);
        }
        judge(jobs);
    }
}

fn judge(jobs: Vec<Job>) {
    let checks: Vec<_> = jobs.iter().flat_map(|job| job.records.iter().map(Unverified::check)).collect();
    let mut verdicts = SignatureCheck::all(&checks).into_iter();
    for Job { records, answer } in jobs {
        let judged = records.into_iter().zip(verdicts.by_ref()).map(|(record, right)| record.judged(right));
        // Who asked may have gone away meanwhile.
        let _ = answer.send(judged.collect());
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use peerage_ledger::{Body, Draft};
    use peerage_types::{ClusterId, GroupId, Scope, UserId};

    use super::*;

    const CLUSTER: ClusterId = ClusterId([7; ClusterId::LEN]);

    fn record(seed: u8, wrong: bool) -> Unverified {
        let draft = Draft {
            cluster: CLUSTER,
            scope: Scope::Group(GroupId([1; 32])),
            author: UserId([seed; 32]),
            prev: None,
            body: Body::JoinRequest { incarnation: 0 },
        };
        let mut bytes = Record::sign(draft, &SigningKey::from_bytes(&[seed; 32])).bytes().to_vec();
        if wrong {
            // The lowest bits of `s`, which stays a number below the order.
            let s = bytes.len() - 32;
            bytes[s] ^= 1;
        }
        Unverified::decode(&bytes, &CLUSTER).unwrap()
    }

    /// Each request learns about its own records, whatever else is in the batch.
    #[tokio::test]
    async fn a_wrong_signature_spoils_nobody_elses_record() {
        let (verifier, inbox) = Verifier::new();
        let task = tokio::spawn(run(inbox));
        let asked: Vec<Vec<(u8, bool)>> = vec![
            vec![(1, false)],
            vec![(2, true)],
            vec![(3, false), (4, true), (5, false)],
            vec![],
            vec![(1, false), (1, true)],
        ];
        let answers = asked.iter().map(|records| {
            verifier.verify(records.iter().map(|(seed, wrong)| record(*seed, *wrong)).collect())
        });
        let answers = futures_util::future::join_all(answers).await;
        for (asked, answer) in asked.iter().zip(answers) {
            let answer = answer.unwrap();
            assert_eq!(answer.len(), asked.len());
            for ((seed, wrong), verdict) in asked.iter().zip(answer) {
                let key = SigningKey::from_bytes(&[*seed; 32]).verifying_key().to_bytes();
                match verdict {
                    Ok(record) => assert!(!wrong && record.signer().0 == key),
                    Err(fault) => {
                        let signer = PublicKey(key);
                        assert!(*wrong && fault == RecordFault::BadSignature { signer });
                    }
                }
            }
        }
        drop(verifier);
        task.await.unwrap();
    }
}
