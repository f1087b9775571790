//! A little language for what happens to a replica, and for what it wants.
//!
//! The replica is origin `A`; its neighbours `1` and `2` have origins `B` and `C`. Records are single lower-case
//! letters; a row is `B1x` (row 1 of B, record x; `B1x'` the same with another stamp), a vector `A2 B1`. Commands are separated by `;`:
//!
//! | command | what happens |
//! |---|---|
//! | `+500` | so many milliseconds pass, then a timeout |
//! | `submit 7 x y` | ticket 7 with records x and y |
//! | `again 7 x` | the same, and the store has x already |
//! | `disk` | everything handed to the disk is on it |
//! | `push 1 B1x B2y` | neighbour 1 pushes; 0 is somebody whom our list does not name |
//! | `acked 1 A2 B1` | neighbour 1 answers the last push with its vector |
//! | `failed 1` | the last push to neighbour 1 did not get through |
//! | `pulled 1 A1` | neighbour 1 pulls with its vector |
//! | `loaded A2y more snapshot` | the store loaded these rows for the last pull, and there are more |
//! | `answered 1 B1x / B1` | neighbour 1 answers a pull with rows and its vector; `/more` when it has more |
//! | `clock 1 -9000` | the same without rows, its clock being so many milliseconds off |
//! | `compare 9` | ticket 9 asks for a comparison; `compare 0 x`: nobody waits, and record x is damaged |
//! | `scrubbed 2` | the own store found two wrong digests, and is at its end |
//! | `looked scopes x1 y2` | it answers; see `told` |
//! | `told 1 root 5` | neighbour 1 answers the last question: also `scopes x5 y6` (records' scopes with digests), `facts A1x B1y`, `rows B1x`, `page B1x / B3`, `page B1x next / B3` (`reborn`: of its next run), `nothing`; `facts B3y!` lies beyond its vector |
//! | `add 3` | the list names one more tracker |
//! | `remove 1` | it does not name this one any more |
//! | `unanswered 1` | a pull did not get through |
//! | `stop` | the process is going to end |
//! | `twin 0 B1y x` | the store found a row whose place record x holds; `placed` when the row's record has another one |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use expect_test::Expect;
use peerage_ledger::{Body, Draft, Origin, Receipt, Record};
use peerage_replica::{
    Ask, BatchId, Config, Digest, ExchangeId, Input, Limits, LogRow, Output, PeerId, Place, Replica, ReplyId,
    Ticket, Told, Twin, Vector, VerifiedRow,
};
use peerage_types::{ClusterId, PublicKey, RecordId, Scope, Stamp, Time, TrackerId, UserId};

const CLUSTER: ClusterId = ClusterId([3; 16]);
const UNIX_MS: u64 = 1_000_000;

/// Runs a script from the first pulls on; what the replica does is written after each command.
#[track_caller]
pub fn check(script: &str, expected: Expect) {
    check_from(&Start::default(), script, expected);
}

/// As [`check`], from a certain start.
#[track_caller]
pub fn check_from(start: &Start, script: &str, expected: Expect) {
    let mut world = World::new(start);
    let mut report = String::new();
    world.drain(&mut report);
    for command in script.split(';').map(str::trim).filter(|c| !c.is_empty()) {
        write!(report, "{command} →").unwrap();
        world.run(command);
        world.drain(&mut report);
    }
    expected.assert_eq(&report);
}

/// What a replica starts from.
pub struct Start {
    pub peers: u32,
    pub vector: &'static str,
    pub limits: Limits,
}

impl Default for Start {
    fn default() -> Self {
        Self { peers: 2, vector: "", limits: Limits::default() }
    }
}

struct World {
    replica: Replica,
    now: Time,
    key: SigningKey,
    records: BTreeMap<char, Arc<Record>>,
    disk: BTreeMap<char, Receipt>,
    staged: Option<BatchId>,
    pushes: BTreeMap<PeerId, BatchId>,
    replies: u64,
    look: ExchangeId,
    asks: BTreeMap<PeerId, ExchangeId>,
}

impl World {
    fn new(start: &Start) -> Self {
        let key = SigningKey::from_bytes(&[1; 32]);
        let config = Config {
            tracker: origin('A').tracker,
            incarnation: origin('A').incarnation,
            peers: (1..=start.peers).map(PeerId).collect(),
            signing_key: key.clone(),
            vector: vector(start.vector.split_whitespace()),
            last_stamp: Stamp::default(),
            limits: start.limits.clone(),
        };
        Self {
            replica: Replica::new(config, Time(0)),
            now: Time(0),
            key,
            records: BTreeMap::new(),
            disk: BTreeMap::new(),
            staged: None,
            pushes: BTreeMap::new(),
            replies: 0,
            look: ExchangeId(0),
            asks: BTreeMap::new(),
        }
    }

    fn run(&mut self, command: &str) {
        let mut words = command.split_whitespace();
        let verb = words.next().unwrap();
        if let Some(ms) = verb.strip_prefix('+') {
            self.now.0 += ms.parse::<u64>().unwrap();
            return self.handle(Input::Timeout);
        }
        if verb == "stop" {
            return self.handle(Input::Stopping);
        }
        if verb == "disk" {
            let batch = self.staged.take().unwrap_or(BatchId(0));
            return self.handle(Input::Persisted { batch });
        }
        if verb == "loaded" {
            let words: Vec<_> = words.collect();
            let (more, snapshot) = (words.contains(&"more"), words.contains(&"snapshot"));
            let rows = words.iter().filter(|w| !["more", "snapshot"].contains(w));
            let rows = rows.map(|w| self.row(w).row()).collect();
            return self.handle(Input::RowsLoaded { reply: ReplyId(self.replies), rows, more, snapshot });
        }
        if verb == "looked" {
            let told = self.told(&words.collect::<Vec<_>>());
            let told = told.map(|told| told.try_map(|row| Ok::<_, ()>(row.row())).unwrap());
            return self.handle(Input::Looked { exchange: self.look, told });
        }
        let number: u32 = words.next().unwrap().parse().unwrap();
        let (peer, words): (_, Vec<&str>) = (PeerId(number), words.collect());
        let input = match verb {
            "submit" | "again" => {
                let named = words.iter().map(|w| w.chars().next().unwrap());
                let (known, fresh): (Vec<_>, Vec<_>) = named.partition(|_| verb == "again");
                let records = fresh.into_iter().map(|c| self.record(c)).collect();
                let known = known.into_iter().map(|c| self.disk[&c].clone()).collect();
                Input::Submit { ticket: Ticket(number.into()), records, known }
            }
            "push" => {
                let rows = words.iter().map(|w| self.row(w)).collect();
                self.replies += 1;
                Input::PushReceived { from: known(peer), rows, reply: ReplyId(self.replies) }
            }
            "acked" => Input::PushAcked { peer, batch: self.pushes[&peer], vector: vector(words) },
            "failed" => Input::PushFailed { peer, batch: self.pushes[&peer] },
            "pulled" => {
                self.replies += 1;
                Input::PullReceived { from: known(peer), vector: vector(words), reply: ReplyId(self.replies) }
            }
            "answered" => {
                let (before, after) = command.split_once('/').unwrap();
                let rows = before.split_whitespace().skip(2).map(|w| self.row(w)).collect();
                let more = after.starts_with("more");
                let snapshot = after.starts_with("snapshot");
                let after = after.trim_start_matches("more").trim_start_matches("snapshot");
                let vector = vector(after.split_whitespace());
                Input::PullAnswered { peer, rows, more, snapshot, vector, unix_ms: self.unix_ms() }
            }
            "clock" => {
                let unix_ms = self.unix_ms().saturating_add_signed(words[0].parse().unwrap());
                let (rows, vector) = (Vec::new(), Vector::new());
                Input::PullAnswered { peer, rows, more: false, snapshot: false, vector, unix_ms }
            }
            "compare" => Input::CompareNow {
                ticket: Some(Ticket(number.into())).filter(|ticket| ticket.0 > 0),
                damaged: words.iter().map(|w| self.record(w.chars().next().unwrap()).id()).collect(),
            },
            "scrubbed" => Input::Scrubbed { exchange: self.look, found: Some((None, number.into())) },
            "told" => Input::Told { peer, exchange: self.asks[&peer], told: self.told(&words) },
            "twin" => {
                let ours = self.record(words[1].chars().next().unwrap()).id();
                let placed = words.contains(&"placed");
                Input::TwinsKept { twins: vec![Twin { ours, row: self.row(words[0]), placed }] }
            }
            "add" => Input::PeerAdded { peer },
            "remove" => Input::PeerRemoved { peer },
            "unanswered" => Input::PullFailed { peer },
            other => panic!("unknown command `{other}`"),
        };
        self.handle(input);
    }

    /// `None` for `nothing`.
    fn told(&mut self, words: &[&str]) -> Option<Told<VerifiedRow>> {
        let (kind, items) = words.split_first().unwrap();
        let letter = |word: &str| word.chars().next().unwrap();
        let digest = |number: &str| Digest([number.parse().unwrap(); 32]);
        Some(match *kind {
            "nothing" => return None,
            "root" => Told::Root(digest(items[0])),
            "scopes" => {
                let scopes = items.iter().map(|w| (self.record(letter(w)).scope(), digest(&w[1..])));
                let mut page: Vec<_> = scopes.collect();
                page.sort_by_key(|(scope, _)| *scope);
                Told::Scopes(page, false)
            }
            "facts" => {
                let facts = items.iter().map(|w| {
                    let row = self.row(w.trim_end_matches('!'));
                    let place = Place { ahead: w.ends_with('!'), ..Place::of(row.receipt()) };
                    (row.record().id(), place)
                });
                let mut page: Vec<_> = facts.collect();
                page.sort_by_key(|(id, _)| *id);
                Told::Facts(page, false)
            }
            "rows" => Told::Rows(items.iter().map(|w| self.row(w)).collect()),
            "page" => {
                let (rows, reached) = items.split_at(items.iter().position(|w| *w == "/").unwrap());
                let next = rows.contains(&"next").then_some(7);
                let run = if rows.contains(&"reborn") { 2 } else { 1 };
                let rows = rows.iter().filter(|w| !["next", "reborn"].contains(w));
                let rows = rows.map(|w| self.row(w)).collect();
                Told::Snapshot { rows, next, vector: vector(reached[1..].iter().copied()), run }
            }
            other => panic!("unknown answer `{other}`"),
        })
    }

    fn asked(&self, ask: &Ask) -> String {
        let named = |id: &RecordId| self.records.iter().find(|(_, r)| r.id() == *id).map_or('?', |(l, _)| *l);
        match ask {
            Ask::Root => "root".to_owned(),
            Ask::Scopes(_) => "scopes".to_owned(),
            Ask::Facts(scope, _) => {
                let letter = self.records.iter().find(|(_, r)| r.scope() == *scope).map_or('?', |(l, _)| *l);
                format!("facts of {letter}")
            }
            Ask::Rows(ids) => format!("rows {}", ids.iter().map(named).collect::<String>()),
            Ask::Snapshot(after) => format!("page {after}"),
            Ask::Compare => "compare".to_owned(),
        }
    }

    fn unix_ms(&self) -> u64 {
        UNIX_MS + self.now.0
    }

    fn handle(&mut self, input: Input) {
        self.replica.handle(self.now, self.unix_ms(), input);
    }

    /// The record that goes by this letter: the genesis of an account of its own.
    fn record(&mut self, letter: char) -> Arc<Record> {
        let made = self.records.entry(letter).or_insert_with(|| {
            let key = SigningKey::from_bytes(&[letter as u8; 32]);
            let identity = PublicKey(key.verifying_key().to_bytes());
            let author = UserId::of_identity(&identity);
            let body = Body::AccountGenesis { identity };
            let scope = Scope::Account(author);
            Arc::new(Record::sign(Draft { cluster: CLUSTER, scope, author, prev: None, body }, &key))
        });
        Arc::clone(made)
    }

    /// `B12x`: row 12 of origin B holds record x.
    fn row(&mut self, text: &str) -> VerifiedRow {
        let other = text.ends_with('\'');
        let letters: Vec<char> = text.trim_end_matches('\'').chars().collect();
        let [from, digits @ .., letter] = letters.as_slice() else { panic!("`{text}` is no row") };
        let seq = digits.iter().collect::<String>().parse().unwrap();
        let record = self.record(*letter);
        let stamp = Stamp::new(UNIX_MS + u64::from(other), seq as u16);
        let receipt = Receipt::sign(origin(*from), seq, stamp, record.id(), &self.key);
        let row = LogRow { receipt, record: record.shared_bytes() };
        VerifiedRow::verify(&row, &CLUSTER, &PublicKey(self.key.verifying_key().to_bytes())).unwrap()
    }

    fn letter(&self, receipt: &Receipt) -> char {
        self.records
            .iter()
            .find(|(_, record)| record.id() == receipt.record)
            .map_or('?', |(letter, _)| *letter)
    }

    fn shown<'a>(&self, receipts: impl Iterator<Item = &'a Receipt>) -> String {
        let rows = receipts.map(|r| format!("{}{}{}", letter_of(&r.origin), r.seq, self.letter(r)));
        rows.collect::<Vec<_>>().join(" ")
    }

    /// One line with everything that the replica wants now.
    fn drain(&mut self, report: &mut String) {
        let mut wishes = Vec::new();
        loop {
            let wish = match self.replica.poll() {
                Output::Persist { batch, rows, .. } => {
                    self.staged = Some(batch);
                    let own = rows.iter().map(VerifiedRow::receipt).filter(|r| r.origin == origin('A'));
                    let sealed: Vec<_> = own.map(Receipt::sealed).collect();
                    assert!(
                        sealed.windows(2).all(|pair| pair[0] == pair[1]),
                        "one commit, several signatures"
                    );
                    for row in &rows {
                        self.disk.insert(self.letter(row.receipt()), row.receipt().clone());
                    }
                    format!("persist [{}]", self.shown(rows.iter().map(VerifiedRow::receipt)))
                }
                Output::Keep { batch, rows } => {
                    self.staged = Some(batch);
                    format!("keep [{}]", self.shown(rows.iter().map(VerifiedRow::receipt)))
                }
                Output::Adopt { batch, vector } => {
                    self.staged = Some(batch);
                    format!("adopt [{}]", shown(&vector))
                }
                Output::Scrub { exchange, .. } => {
                    self.look = exchange;
                    "scrub".to_owned()
                }
                Output::Look { exchange, ask } => {
                    self.look = exchange;
                    format!("look at {}", self.asked(&ask))
                }
                Output::Ask { peer, exchange, ask } => {
                    self.asks.insert(peer, exchange);
                    format!("ask {} {}", peer.0, self.asked(&ask))
                }
                Output::Compared { tickets, corrected, peers } => {
                    let tickets: Vec<_> = tickets.iter().map(|ticket| ticket.0).collect();
                    let peers = peers.iter().map(|c| format!("{} {:?}", c.peer.0, c.outcome));
                    format!(
                        "compared {tickets:?} {corrected} wrong: {}",
                        peers.collect::<Vec<_>>().join(", ")
                    )
                }
                Output::Push { peer, batch, rows } => {
                    self.pushes.insert(peer, batch);
                    format!("push to {} [{}]", peer.0, self.shown(rows.iter().map(|row| &row.receipt)))
                }
                Output::Pull { peer, vector } => format!("pull from {} [{}]", peer.0, shown(&vector)),
                Output::LoadRows { after, .. } => format!("load after [{}]", shown(&after)),
                Output::PushReply { vector, .. } => format!("push reply [{}]", shown(&vector)),
                Output::PullReply { rows, more, snapshot, vector, .. } => format!(
                    "pull reply [{}]{}{} [{}]",
                    self.shown(rows.iter().map(|row| &row.receipt)),
                    if more { " and more" } else { "" },
                    if snapshot { " and a snapshot" } else { "" },
                    shown(&vector)
                ),
                Output::Answer { ticket, durable_on, of, .. } => {
                    format!("answer {}: {durable_on}/{of}", ticket.0)
                }
                Output::Applied { rows } => {
                    format!("applied [{}]", self.shown(rows.iter().map(VerifiedRow::receipt)))
                }
                Output::Suspect { peer } => format!("suspect {}", peer.0),
                Output::Recovered { peer } => format!("recovered {}", peer.0),
                Output::ClockSkew { peer, ms } => format!("clock of {} is off by {ms}", peer.0),
                Output::Equivocation { origin, seq, .. } => {
                    format!("two records for {}{seq}", letter_of(&origin))
                }
                Output::WakeAt(at) => {
                    wishes.push(at.map_or("sleep".to_owned(), |at| format!("wake {}", at.0)));
                    break;
                }
            };
            wishes.push(wish);
        }
        for wish in wishes {
            write!(report, " {wish},").unwrap();
        }
        report.pop();
        report.push('\n');
    }
}

/// Neighbour 0 is a tracker of the cluster that our list does not name.
fn known(peer: PeerId) -> Option<PeerId> {
    Some(peer).filter(|peer| peer.0 > 0)
}

fn origin(letter: char) -> Origin {
    Origin { tracker: TrackerId([letter as u8; 16]), incarnation: 1 }
}

fn letter_of(origin: &Origin) -> char {
    char::from(origin.tracker.0[0])
}

fn vector<'a>(words: impl IntoIterator<Item = &'a str>) -> Vector {
    words.into_iter().map(|w| (origin(w.chars().next().unwrap()), w[1..].parse().unwrap())).collect()
}

fn shown(vector: &Vector) -> String {
    let parts: Vec<_> = vector.iter().map(|(o, seq)| format!("{}{seq}", letter_of(o))).collect();
    parts.join(" ")
}
