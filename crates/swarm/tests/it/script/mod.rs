//! Small scenes: what each event makes the engine do.

mod choosing;
mod faults;
mod leaving;
mod priorities;
mod standard;
mod stealing;
mod uploads;

use std::fmt::Write;
use std::time::Duration;

use expect_test::Expect;
use peerage_swarm::{Config, Input, Layout, Limits, Output, PeerKey, PeerKind, Priority, Rank, Swarm};
use peerage_types::Time;
use peerage_wire::{Bitfield, BlockRef};

const PIECES: u32 = 6;

/// Six pieces of two blocks, and our shard starts at piece 0: ties go to the lowest piece.
fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config {
        layout: Layout::new(32_768, vec![32_768; PIECES as usize]),
        have: Bitfield::new(PIECES),
        priorities: Vec::new(),
        rank: Some(Rank { rank: 0, of: 1 }),
        seed: 1,
        limits: Limits { depth_max: 4, ..Limits::default() },
    };
    change(&mut config);
    config
}

/// Runs `steps` (separated by `;`) and prints what each one led to.
#[track_caller]
fn check(config: Config, steps: &str, expected: Expect) {
    let (mut now, mut wake_at) = (Time(1000), None);
    let mut swarm = Swarm::new(config, now);
    let mut log = String::new();
    for step in steps.split(';').map(str::trim) {
        let words: Vec<&str> = step.split_whitespace().collect();
        let inputs = match words[..] {
            ["wait", seconds] => {
                now = now.after(Duration::from_secs(seconds.parse().unwrap()));
                if wake_at.is_some_and(|at| at <= now) { vec![Input::Timeout] } else { Vec::new() }
            }
            [who, verb, ref rest @ ..] => inputs(who, verb, rest),
            _ => panic!("`{step}`"),
        };
        write!(log, "{step}:").unwrap();
        for input in inputs {
            if let Err(fault) = swarm.handle(now, input) {
                write!(log, " fault: {fault}").unwrap();
            }
        }
        wake_at = drain(&mut swarm, &mut log);
        swarm.assert_consistent();
        log.push('\n');
    }
    expected.assert_eq(&log);
}

fn inputs(who: &str, verb: &str, rest: &[&str]) -> Vec<Input> {
    let peer = PeerKey(u32::from(who.as_bytes()[0]));
    let pieces = || rest.iter().map(|text| text.parse::<u32>().unwrap());
    let blocks = || rest.iter().map(|text| block(text));
    match verb {
        "joins" => vec![Input::Connected {
            peer,
            kind: PeerKind::Member,
            request_queue: pieces().next().unwrap_or(250),
        }],
        "joins-standard" => vec![Input::Connected { peer, kind: PeerKind::Standard, request_queue: 250 }],
        "leaves" => vec![Input::Gone(peer)],
        "seeds" => {
            let kind = PeerKind::Member;
            let joins = Input::Connected { peer, kind, request_queue: 250 };
            vec![joins, Input::HaveAll(peer), Input::Unchoked(peer)]
        }
        "all" => vec![Input::HaveAll(peer)],
        "none" => vec![Input::HaveNone(peer)],
        "bitfield" => {
            let mut bits = Bitfield::new(PIECES);
            pieces().for_each(|piece| _ = bits.set(piece));
            vec![Input::Bitfield(peer, bits)]
        }
        "gets" => pieces().map(|piece| Input::Have(peer, piece)).collect(),
        "wants-ours" => vec![Input::RemoteInterested(peer, true)],
        "has-enough" => vec![Input::RemoteInterested(peer, false)],
        "asks" => pieces().map(|piece| Input::Asked(peer, piece)).collect(),
        "takes" => pieces().map(|bytes| Input::Uploaded(peer, u64::from(bytes))).collect(),
        "chokes" => vec![Input::Choked(peer)],
        "unchokes" => vec![Input::Unchoked(peer)],
        "suggests" => pieces().map(|piece| Input::Suggest(peer, piece)).collect(),
        "allows" => pieces().map(|piece| Input::AllowedFast(peer, piece)).collect(),
        "sends" => blocks().map(|block| Input::BlockArrived(peer, block)).collect(),
        "rejects" => blocks().map(|block| Input::Rejected(peer, block)).collect(),
        "spoils" => blocks().map(|block| Input::BlockBad(peer, block)).collect(),
        "wants" => vec![Input::SetPriorities(priorities(rest[0]))],
        "done" => pieces().map(Input::PieceDone).collect(),
        "failed" => pieces().map(Input::PieceFailed).collect(),
        _ => panic!("`{verb}`"),
    }
}

/// One letter for each piece: `-`, `l`, `n`, `F`.
fn priorities(text: &str) -> Vec<Priority> {
    let priority = |letter| match letter {
        '-' => Priority::Skip,
        'l' => Priority::Low,
        'n' => Priority::Normal,
        'F' => Priority::First,
        _ => panic!("`{letter}`"),
    };
    text.chars().map(priority).collect()
}

/// `2.1` is the second block of piece 2.
fn block(text: &str) -> BlockRef {
    let (piece, index) = text.split_once('.').unwrap();
    BlockRef { piece: piece.parse().unwrap(), begin: index.parse::<u32>().unwrap() * 16_384, len: 16_384 }
}

fn drain(swarm: &mut Swarm, log: &mut String) -> Option<Time> {
    let name = |peer: PeerKey| char::from_u32(peer.0).unwrap();
    let block = |block: BlockRef| format!("{}.{}", block.piece, block.begin / 16_384);
    loop {
        let text = match swarm.poll() {
            Output::Request(peer, wanted) => format!("{}?{}", name(peer), block(wanted)),
            Output::Cancel(peer, unwanted) => format!("{}!{}", name(peer), block(unwanted)),
            Output::Interested(peer) => format!("{} interested", name(peer)),
            Output::NotInterested(peer) => format!("{} not interested", name(peer)),
            Output::Unchoke(peer) => format!("{} unchoke", name(peer)),
            Output::Choke(peer) => format!("{} choke", name(peer)),
            Output::Suggest(peer, piece) => format!("{} suggest {piece}", name(peer)),
            Output::AllowFast(peer, piece) => format!("{} allow {piece}", name(peer)),
            Output::Have(peer, piece) => format!("{} have {piece}", name(peer)),
            Output::Complete => "complete".to_owned(),
            Output::MayLeave => "may leave".to_owned(),
            Output::WakeAt(at) => return at,
        };
        write!(log, " {text},").unwrap();
    }
}
