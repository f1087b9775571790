//! A storm over transfers: both sides are killed at random moments, and every byte on the wire is counted.
//!
//! The sharer can be reached only through a [`Proxy`], so whatever the receiver fetches again is seen there. A moment is
//! a number of bytes that have passed, so that it always lies within the transfer, however fast that is.
//!
//! What is promised can be missed, and [`TransferStorm::check_itself`] shows that it would be noticed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use crate::{Client, ClientOptions, DriveError, Proxy, Reply, Tracker, free_addresses, quote};

/// What each transfer carries, bytes.
const SHARE_BYTES: u64 = 8 * 1024 * 1024;
/// How fast the sharer may send, bytes per second: slow enough that beginning anew after a kill costs more than a second.
const RATE: u64 = SHARE_BYTES / 4;
/// Files of a folder; every fourth is empty.
const FOLDER_FILES: u64 = 40;
/// For anything that happens by itself. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(120);
/// Transfers of a kind to which the self-check may come too late. A transfer takes four seconds, it looks after two.
const LATE_MAX: u32 = 5;
/// How often the counter is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
/// How often a command is asked again.
const ASK_PAUSE: Duration = Duration::from_millis(20);

/// What came of one transfer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Processes killed.
    pub kills: u32,
    /// Bytes that went to the receiver, with everything around the content.
    pub bytes: u64,
    /// Those beyond what the same transfer takes when nobody is killed.
    pub in_vain: u64,
    /// What had come was removed. It never is, once all has come.
    pub begun_anew: bool,
}

/// What came of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Transfers.
    pub rounds: u32,
    /// Processes killed, half of them receivers.
    pub kills: u32,
    /// The most bytes that one round fetched in vain.
    pub in_vain_max: u64,
    /// Those of all rounds.
    pub in_vain: u64,
    /// What a second brings.
    pub bytes_per_second: u64,
}

/// Somebody is killed when so many bytes have gone to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kill {
    moment: u64,
    victim: Victim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Sharer,
    Receiver,
    /// The receiver, and all that it has of the transfer is gone when it starts again.
    ReceiverAndPart,
}

/// A tracker, somebody who shares and somebody who fetches; ended when dropped.
pub struct TransferStorm {
    folder: PathBuf,
    dice: Dice,
    sharer: Side,
    receiver: Side,
    /// The sharer's only door, and the receiver's.
    doors: [Proxy; 2],
    _tracker: Tracker,
    /// Bytes of an undisturbed transfer: of a file, of a folder.
    undisturbed: [u64; 2],
}

struct Side {
    name: &'static str,
    options: ClientOptions,
    door: String,
    client: Client,
}

impl Side {
    fn start(name: &'static str, options: ClientOptions, door: &Proxy) -> Result<Self, DriveError> {
        let door = door.address().to_string();
        let client = Client::start_with(name, &options, &["--announce", &door])?;
        Ok(Self { name, options, door, client })
    }

    fn login(&mut self) -> Result<Reply, DriveError> {
        self.client.must(&format!("login {} pw-{}", self.name, self.name))
    }

    /// Started again, logged in.
    fn come_back(&mut self) -> Result<(), DriveError> {
        self.client = Client::start_with(self.name, &self.options, &["--announce", &self.door])?;
        self.login().map(drop)
    }

    /// Asks until the answer is as wanted.
    fn until(&mut self, line: &str, wanted: impl Fn(&Reply) -> bool) -> Result<(), DriveError> {
        let started = Instant::now();
        loop {
            let reply = self.client.ask(line)?;
            if wanted(&reply) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(broken(format!("`{line}` still answers {}", reply.json)));
            }
            pause(ASK_PAUSE);
        }
    }
}

impl TransferStorm {
    /// Starts everything in an empty folder, and measures one transfer of each kind that nobody disturbs.
    ///
    /// # Errors
    /// When a process does not do what it is told.
    pub fn start(program: &Path, folder: &Path, seed: u64) -> Result<Self, DriveError> {
        let setup = |source| DriveError::Setup { what: folder.to_owned(), source };
        let addresses = free_addresses(3).map_err(setup)?;
        let list = folder.join("tracker_info.txt");
        fs::write(&list, format!("{}\n", addresses[0])).map_err(setup)?;
        let tracker = Tracker::start(program, &list, 1, &folder.join("tracker"))?;
        let options = |name: &str, listen| ClientOptions {
            program: program.to_owned(),
            listen,
            list: list.clone(),
            data: folder.join(format!("{name}-data")),
        };
        let doors = [Proxy::start(addresses[1]).map_err(setup)?, Proxy::start(addresses[2]).map_err(setup)?];
        let mut sharer = Side::start("ada", options("ada", addresses[1]), &doors[0])?;
        let mut receiver = Side::start("ben", options("ben", addresses[2]), &doors[1])?;
        for side in [&mut sharer, &mut receiver] {
            side.client.must(&format!("create_user {} pw-{}", side.name, side.name))?;
            side.login()?;
        }
        sharer.client.must("create_group lab")?;
        receiver.client.must("join_group lab")?;
        sharer.client.must("accept_request lab ben")?;
        sharer.client.must(&format!("set_limits --up {RATE}"))?;
        let mut storm = Self {
            folder: folder.to_owned(),
            dice: Dice(seed),
            sharer,
            receiver,
            doors,
            _tracker: tracker,
            undisturbed: [0; 2],
        };
        for is_folder in [false, true] {
            let calm = storm.transfer(&format!("calm-{is_folder}"), is_folder, &[])?;
            storm.undisturbed[usize::from(is_folder)] = calm.bytes;
        }
        Ok(storm)
    }

    /// So many transfers, files and folders in turn. In each the receiver and the sharer are killed once.
    ///
    /// # Errors
    /// When content differs, or more than what a second brings was fetched again.
    pub fn run(&mut self, rounds: u32, mut tell: impl FnMut(u32, Round)) -> Result<Figures, DriveError> {
        let mut figures = Figures { bytes_per_second: RATE, ..Figures::default() };
        for number in 1..=rounds {
            let is_folder = number % 2 == 0;
            let mut kills = [Victim::Receiver, Victim::Sharer]
                .map(|victim| Kill { moment: self.dice.below(SHARE_BYTES), victim });
            kills.sort_unstable();
            let round = self.round(&format!("round-{number}"), is_folder, &kills)?;
            tell(number, round);
            figures.rounds += 1;
            figures.kills += round.kills;
            figures.in_vain += round.in_vain;
            figures.in_vain_max = figures.in_vain_max.max(round.in_vain);
            judge(&format!("round {number}"), &kills, round)?;
        }
        Ok(figures)
    }

    /// Two transfers, of a file and of a folder, whose receiver must begin anew: when it is killed at a half, what it has
    /// is removed. Both have to be found wanting. How many bytes each fetched in vain.
    ///
    /// # Errors
    /// When one is let pass: then this storm proves nothing. When a busy machine has all come before it kills, many times.
    pub fn check_itself(&mut self) -> Result<[u64; 2], DriveError> {
        let mut in_vain = [0; 2];
        for is_folder in [false, true] {
            in_vain[usize::from(is_folder)] = self.forgotten(is_folder)?;
        }
        Ok(in_vain)
    }

    fn forgotten(&mut self, is_folder: bool) -> Result<u64, DriveError> {
        let kills = [Kill { moment: SHARE_BYTES / 2, victim: Victim::ReceiverAndPart }];
        for number in 1..=LATE_MAX {
            let name = format!("forgotten-{is_folder}-{number}");
            let round = self.round(&name, is_folder, &kills)?;
            if !round.begun_anew {
                continue;
            }
            if judge(&name, &kills, round).is_ok() {
                return Err(broken(format!("{name} was begun anew, which was not noticed: {round:?}")));
            }
            return Ok(round.in_vain);
        }
        Err(broken(format!("{LATE_MAX} transfers were complete before the receiver was killed at a half")))
    }

    fn round(&mut self, name: &str, is_folder: bool, kills: &[Kill]) -> Result<Round, DriveError> {
        let round = self.transfer(name, is_folder, kills)?;
        let in_vain = round.bytes.saturating_sub(self.undisturbed[usize::from(is_folder)]);
        Ok(Round { in_vain, ..round })
    }

    /// Shares something new and fetches it, with these kills in their order. What is in vain is not known here.
    fn transfer(&mut self, name: &str, is_folder: bool, kills: &[Kill]) -> Result<Round, DriveError> {
        let shared = self.folder.join("from").join(name);
        let place = self.folder.join("to").join(name);
        let part = self.folder.join("to").join(format!("{name}.part"));
        self.make(&shared, is_folder)
            .and_then(|()| fs::create_dir_all(self.folder.join("to")))
            .map_err(|source| DriveError::Setup { what: shared.clone(), source })?;
        self.sharer.client.must(&format!("upload_file {} lab", arg(&shared)))?;
        self.receiver.until("list_files lab", |reply| {
            reply.items().iter().any(|file| file["name"] == name && file["sharers_online"] == 1)
        })?;
        let before = self.passed();
        let mut round = Round::default();
        let to = arg(&self.folder.join("to"));
        self.receiver.client.must(&format!("download_file lab {name} {to}"))?;
        for Kill { moment, victim } in kills {
            let started = Instant::now();
            while self.passed() - before < *moment {
                if started.elapsed() > PATIENCE {
                    return Err(broken(format!(
                        "{name}: {} bytes and no more have come",
                        self.passed() - before
                    )));
                }
                pause(LOOK_PAUSE);
            }
            round.kills += 1;
            round.begun_anew |= self.kill(*victim, &part)?;
        }
        self.receiver.client.must(&format!("wait lab {name} --timeout {}", PATIENCE.as_secs()))?;
        round.bytes = self.passed() - before;
        compare(&shared, &place)?;
        if part.symlink_metadata().is_ok() {
            return Err(broken(format!("`{}` was left", part.display())));
        }
        for side in [&mut self.receiver, &mut self.sharer] {
            side.until(&format!("stop_share lab {name}"), Reply::ok)?;
        }
        remove(&shared)?;
        remove(&place)?;
        Ok(round)
    }

    /// And starts it again. Tells whether something was removed that had come.
    fn kill(&mut self, victim: Victim, part: &Path) -> Result<bool, DriveError> {
        let side = if victim == Victim::Sharer { &mut self.sharer } else { &mut self.receiver };
        side.client.kill();
        let removes = victim == Victim::ReceiverAndPart && part.symlink_metadata().is_ok();
        if removes {
            remove(part)?;
        }
        side.come_back()?;
        Ok(removes)
    }

    /// Bytes that have gone to the receiver, whoever called whom.
    fn passed(&self) -> u64 {
        self.doors[0].bytes_from_target() + self.doors[1].bytes_to_target()
    }

    fn make(&mut self, path: &Path, is_folder: bool) -> io::Result<()> {
        if !is_folder {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            return fs::write(path, self.dice.bytes(SHARE_BYTES));
        }
        for file in 0..FOLDER_FILES {
            let inner = path.join(format!("part {}", file % 3));
            fs::create_dir_all(&inner)?;
            let full = FOLDER_FILES - FOLDER_FILES.div_ceil(4);
            let len = if file % 4 == 0 { 0 } else { SHARE_BYTES / full };
            fs::write(inner.join(format!("{file}.bin")), self.dice.bytes(len))?;
        }
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        bytes
    }
}

/// What is promised: no more is fetched again than what a second brings.
fn judge(what: &str, kills: &[Kill], round: Round) -> Result<(), DriveError> {
    if round.in_vain <= RATE {
        return Ok(());
    }
    let in_vain = round.in_vain;
    Err(broken(format!("{what} ({kills:?}) fetched {in_vain} bytes in vain; a second brings {RATE}")))
}

/// A file or a folder.
fn remove(path: &Path) -> Result<(), DriveError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|source| DriveError::Setup { what: path.to_owned(), source })
}

/// Every file below `left` is the same below `right`.
fn compare(left: &Path, right: &Path) -> Result<(), DriveError> {
    let setup = |source| DriveError::Setup { what: right.to_owned(), source };
    if !left.is_dir() {
        let same = fs::read(left).map_err(setup)? == fs::read(right).map_err(setup)?;
        return if same { Ok(()) } else { Err(broken(format!("`{}` has other content", right.display()))) };
    }
    for entry in fs::read_dir(left).map_err(setup)? {
        let name = entry.map_err(setup)?.file_name();
        compare(&left.join(&name), &right.join(&name))?;
    }
    Ok(())
}

fn broken(what: String) -> DriveError {
    DriveError::Broken(what)
}

fn arg(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

fn pause(length: Duration) {
    let (never, elapsed): (Sender<()>, _) = channel();
    // Nobody sends.
    let _ = elapsed.recv_timeout(length);
    drop(never);
}
