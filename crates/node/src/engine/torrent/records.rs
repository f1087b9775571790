//! Members compare what they know of their group and fetch from each other what they lack.
//!
//! What the records mean, and whether they are genuine, the client decides behind [`Records`]; here is who may be
//! asked what and how much at a time. All looking and verifying happens in blocking jobs, one per peer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_swarm::PeerKey;
use peerage_types::{RecordId, Time};
use peerage_wire::{Answer, Ask, Heads, RecordsMessage};

use super::{Msg, Owner};
use crate::engine::api::{EngineEvent, Records, Roster};
use crate::engine::conn::Cmd;

/// Rows collected from one peer before they are looked at: those that belong together come together.
const COLLECTED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A peer whose differing heads led to nothing new is not asked again for so long, and twice as long each further time.
const QUIET: Duration = Duration::from_secs(1);
/// Doubled at most so often: 32 s.
const QUIET_DOUBLINGS_MAX: u32 = 5;

/// How the exchange with one peer stands.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Under which id the peer takes messages of the extension.
    id: u8,
    /// A job that leads to a question or to new knowledge.
    busy: bool,
    /// A question that the peer has not answered.
    asked: Option<Ask>,
    /// What it has answered so far.
    rows: Vec<Bytes>,
    /// Its latest heads, while another comparison is under way or the peer is left in peace.
    waiting: Option<Heads>,
    quiet_until: Time,
    /// Comparisons since the last that brought something new.
    vain: u32,
    /// We are answering it.
    answering: bool,
    /// What it was told last.
    told: Option<Heads>,
}

impl Exchange {
    pub(super) fn new(id: u8, told: Option<Heads>, now: Time) -> Self {
        let (busy, asked, rows, waiting, answering) = (false, None, Vec::new(), None, false);
        Self { id, busy, asked, rows, waiting, quiet_until: now, vain: 0, answering, told }
    }
}

/// What a job has found.
#[derive(Debug)]
pub(in crate::engine) enum Found {
    /// A comparison's question, if there is one.
    Lacking(Option<Ask>),
    /// The answer to the peer's question.
    Answer(Answer),
    /// What the peer's rows brought: something new, nothing new, or forgeries.
    Learned(Result<bool, String>),
}

impl Owner {
    /// A member showed what it knows.
    pub(super) fn compare(&mut self, now: Time, key: PeerKey, heads: Heads) {
        let Some(exchange) = self.exchange(key) else { return };
        if exchange.busy || exchange.asked.is_some() || now < exchange.quiet_until {
            exchange.waiting = Some(heads);
        } else {
            exchange.busy = true;
            self.look_up(key, move |records, group| Found::Lacking(records.lacking(group, &heads)));
        }
    }

    /// Comparisons that had to wait. Driven by the owner's tick.
    pub(super) fn compare_later(&mut self, now: Time) {
        let waits = |exchange: &Exchange| exchange.waiting.is_some() && exchange.quiet_until <= now;
        let of_peers = self.peers.iter().filter(|(_, peer)| peer.exchange.as_ref().is_some_and(waits));
        let keys: Vec<PeerKey> = of_peers.map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.compare_waiting(now, key));
    }

    /// Our own knowledge may have changed: whoever is connected hears of it.
    pub(super) fn tell_heads(&mut self) {
        let shared = Arc::clone(&self.shared);
        let records = shared.engine.roster.records();
        let Some(heads) = records.and_then(|records| records.heads(&shared.group)) else { return };
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            let Some(exchange) = self.exchange(key).filter(|e| e.told.as_ref() != Some(&heads)) else {
                continue;
            };
            exchange.told = Some(heads.clone());
            self.send_records(key, &RecordsMessage::Heads(heads.clone()));
        }
    }

    /// A message of the extension.
    pub(super) fn take_records(&mut self, now: Time, key: PeerKey, payload: &[u8]) {
        let message = match RecordsMessage::decode(payload) {
            Ok(message) => message,
            Err(error) => return self.disconnect(now, key, &error),
        };
        let Some(exchange) = self.exchange(key) else {
            return self.disconnect(now, key, &"it uses an extension that it did not name");
        };
        match message {
            RecordsMessage::Heads(heads) => self.compare(now, key, heads),
            RecordsMessage::Ask(_) if exchange.answering => {
                self.disconnect(now, key, &"it asks for records before the last question is answered");
            }
            RecordsMessage::Ask(ask) => {
                exchange.answering = true;
                self.look_up(key, move |records, group| Found::Answer(records.answer(group, &ask)));
            }
            RecordsMessage::Answer(answer) => self.take_answer(now, key, answer),
        }
    }

    fn take_answer(&mut self, now: Time, key: PeerKey, answer: Answer) {
        let Some(exchange) = self.exchange(key) else { return };
        let Some(ask) = exchange.asked.take() else {
            return self.disconnect(now, key, &"it answered a question about records that was not asked");
        };
        let backwards = |through: &RecordId| ask.after.is_some_and(|after| *through <= after);
        if answer.through.as_ref().is_some_and(backwards) {
            return self.disconnect(now, key, &"its records go round in circles");
        }
        let next = answer.through.or(ask.until);
        exchange.rows.push(answer.rows);
        exchange.busy = true;
        let full = exchange.rows.iter().map(Bytes::len).sum::<usize>() >= COLLECTED_BYTES_MAX;
        match next {
            Some(after) if !full => {
                self.look_up(key, move |records, group| Found::Lacking(records.ask_after(group, after)));
            }
            // What is left comes with the next comparison.
            _ => self.learn(key),
        }
    }

    fn learn(&mut self, key: PeerKey) {
        let Some(exchange) = self.exchange(key) else { return };
        let rows = std::mem::take(&mut exchange.rows);
        self.look_up(key, move |records, group| Found::Learned(records.learn(group, &rows)));
    }

    /// A job has ended.
    pub(super) fn found(&mut self, now: Time, key: PeerKey, found: Found) {
        let group = self.shared.group;
        let Some(exchange) = self.exchange(key) else { return };
        match found {
            Found::Lacking(Some(ask)) => {
                exchange.busy = false;
                exchange.asked = Some(ask.clone());
                self.send_records(key, &RecordsMessage::Ask(ask));
            }
            Found::Lacking(None) if exchange.rows.is_empty() => {
                exchange.busy = false;
                self.compare_waiting(now, key);
            }
            Found::Lacking(None) => self.learn(key),
            Found::Answer(answer) => {
                exchange.answering = false;
                self.send_records(key, &RecordsMessage::Answer(answer));
            }
            Found::Learned(Err(why)) => self.disconnect(now, key, &why),
            Found::Learned(Ok(new)) => {
                exchange.busy = false;
                exchange.vain = if new { 0 } else { exchange.vain + 1 };
                if new {
                    self.shared.engine.emit(EngineEvent::Learned { group });
                    self.roster_changed(now);
                } else {
                    let doublings = (exchange.vain - 1).min(QUIET_DOUBLINGS_MAX);
                    exchange.quiet_until = now.after(QUIET * 2u32.pow(doublings));
                }
                self.compare_waiting(now, key);
            }
        }
        self.send_commands();
    }

    fn compare_waiting(&mut self, now: Time, key: PeerKey) {
        if let Some(heads) = self.exchange(key).and_then(|exchange| exchange.waiting.take()) {
            self.compare(now, key, heads);
        }
    }

    fn exchange(&mut self, key: PeerKey) -> Option<&mut Exchange> {
        self.peers.get_mut(&key)?.exchange.as_mut()
    }

    fn send_records(&mut self, key: PeerKey, message: &RecordsMessage) {
        if let Some(id) = self.exchange(key).map(|exchange| exchange.id) {
            self.command(key, Cmd::Records { id, payload: message.encode() });
        }
    }

    /// Looks something up where it holds up nobody; the result comes back as a message.
    fn look_up(
        &self,
        key: PeerKey,
        job: impl FnOnce(&dyn Records, &peerage_types::GroupId) -> Found + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        let roster: Arc<dyn Roster> = Arc::clone(&shared.engine.roster);
        tokio::task::spawn_blocking(move || {
            if let Some(records) = roster.records() {
                let found = job(records, &shared.group);
                shared.tell(Msg::Found(key, found));
            }
        });
    }
}
