//! Members who lie, and members who break the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use peerage_types::limits::BLOCK_BYTES;
use peerage_wire::{Bitfield, BlockRef, Message};

use super::raw::{RawPeer, Shown, Tells, listener};
use super::world::{World, soon};
use crate::engine::{RATE_MIN, RateLimits, Rates};

const MIB: usize = 1 << 20;

/// A leecher that knows only a poisoner, who serves some blocks with their first byte changed; once that one has been
/// thrown out, an honest seeder comes.
async fn check(len: usize, tells: Tells, bad: fn(BlockRef) -> bool) {
    let world = World::new();
    let shared = world.share(len);
    let poisoner = world.join(3);
    let (listener, addr) = listener().await;
    let mut leecher = world.member(2).await;
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![poisoner.at(addr)]);

    let peer = soon(RawPeer::accept(&listener, Shown::honest(&poisoner, &shared))).await.unwrap();
    let all = Bitfield::full(shared.metainfo.piece_count());
    let spoil = |block: BlockRef, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[0] ^= u8::from(bad(block));
        Some(bytes)
    };
    soon(peer.serve(&shared, &all, tells, spoil)).await;

    leecher.engine.set_peers(shared.hash(), vec![poisoner.at(addr), seeder.peer()]);
    tokio::select! {
        _ = leecher.completed(&shared) => {}
        _ = listener.accept() => panic!("a banned device was dialled again"),
    }
    let again = RawPeer::connect(
        leecher.engine.local_addr(),
        leecher.person.device,
        Shown::honest(&poisoner, &shared),
    );
    let mut again = again.await.unwrap();
    again.is_admitted().await;
    assert!(!soon(again.drained()).await, "a banned device that comes again is thrown out again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_ends() {
    let world = World::new();
    let shared = world.share(MIB);
    let peer = world.join(3);
    let (listener, addr) = listener().await;
    let person = world.join(2);
    let mut leecher = world.node_with(person, |config| config.ban_first = Duration::from_millis(200)).await;
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![peer.at(addr)]);
    let all = Bitfield::full(shared.metainfo.piece_count());
    let bad = soon(RawPeer::accept(&listener, Shown::honest(&peer, &shared))).await.unwrap();
    soon(bad.serve(&shared, &all, Tells::Truth, |_, bytes| Some(vec![0; bytes.len()]))).await;
    // Its disk was repaired meanwhile.
    let good = soon(RawPeer::accept(&listener, Shown::honest(&peer, &shared))).await.unwrap();
    tokio::select! {
        _ = good.serve(&shared, &all, Tells::Truth, |_, bytes| Some(bytes.to_vec())) => panic!("it was dropped"),
        _ = leecher.completed(&shared) => {}
    }
}

/// What is asked for and waits in the queue is not sent any more when its piece turns out to be damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_damaged_piece_is_sent_even_if_it_was_asked_for_before() {
    const DAMAGED: u32 = 6;
    let world = World::new();
    // Pieces of one block.
    let shared = world.share(MIB);
    let seeder = world.member(1).await;
    let all = Rates { up: Some(RATE_MIN), down: None };
    seeder.engine.set_limits(&RateLimits { all, groups: BTreeMap::new() });
    seeder.seed(&shared).await;
    let member = world.join(2);
    let mut peer =
        RawPeer::admitted(seeder.engine.local_addr(), seeder.person.device, &member, &shared).await;
    peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
    for piece in 0..10 {
        peer.send(&Message::Request(BlockRef { piece, begin: 0, len: BLOCK_BYTES })).await.unwrap();
    }
    let (mut sent, mut refused) = (BTreeSet::new(), BTreeSet::new());
    while sent.len() + refused.len() < 10 {
        let answer = |message| match message {
            Message::Piece { piece, .. } => Some((piece, true)),
            Message::Reject(block) => Some((block.piece, false)),
            _ => None,
        };
        let (piece, whole) = peer.expect(answer).await;
        if whole {
            sent.insert(piece)
        } else {
            refused.insert(piece)
        };
        if piece == 0 {
            // Nine wait.
            let torrent = seeder.engine.registry.get(&shared.hash()).unwrap();
            torrent.have.clear(DAMAGED);
            seeder.engine.set_limits(&RateLimits::default());
        }
    }
    assert_eq!(refused, BTreeSet::from([DAMAGED]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_blocks_are_noticed_by_their_leaves() {
    check(40 * MIB, Tells::Truth, |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_blocks_are_noticed_without_leaves() {
    check(40 * MIB, Tells::Nothing, |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_bad_block_is_noticed() {
    check(40 * MIB, Tells::Nothing, |block| block.begin == BLOCK_BYTES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_hashes_are_noticed() {
    check(40 * MIB, Tells::Lies, |_| false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_one_block_need_no_leaves() {
    check(2 * MIB, Tells::Nothing, |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_peer_without_hashes_is_no_offender() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let seeder = world.join(3);
    let (listener, addr) = listener().await;
    let mut leecher = world.member(2).await;
    leecher.download(&shared).await;
    leecher.engine.set_peers(shared.hash(), vec![seeder.at(addr)]);
    let mut asked = BTreeSet::new();
    let serve = async {
        let peer = RawPeer::accept(&listener, Shown::honest(&seeder, &shared)).await.unwrap();
        let all = Bitfield::full(shared.metainfo.piece_count());
        let send = |block: BlockRef, bytes: &[u8]| {
            asked.insert(block);
            Some(bytes.to_vec())
        };
        peer.serve(&shared, &all, Tells::Nothing, send).await
    };
    let sent = tokio::select! {
        sent = serve => sent,
        _ = leecher.completed(&shared) => 0,
    };
    assert_eq!(sent, 0, "the connection lives to the end");
    assert_eq!(asked.len(), shared.leaves.kept().len(), "a standard peer is asked for blocks of 16 KiB");
    assert!(asked.iter().all(|block| block.len == BLOCK_BYTES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_breaks_the_protocol_is_dropped() {
    let world = World::new();
    let shared = world.share(100_000);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let member = world.join(2);
    let pieces = shared.metainfo.piece_count();
    let frame = |len: u32, body: &[u8]| {
        let mut bytes = BytesMut::new();
        bytes.put_u32(len);
        bytes.put_slice(body);
        bytes.freeze()
    };
    let message = |message: Message| {
        let mut bytes = BytesMut::new();
        peerage_wire::encode(&message, &mut bytes);
        bytes.freeze()
    };
    let request = |piece, begin, len| message(Message::Request(BlockRef { piece, begin, len }));
    let offences: Vec<(&str, Bytes)> = vec![
        ("a frame of 2 GiB", frame(0x7fff_ffff, &[])),
        ("a frame of 2 MiB of nothing known", frame(2 << 20, &[99])),
        ("a block longer than allowed", frame(9 + 256 * 1024 + 1, &[7])),
        ("a block without data", frame(9, &[7])),
        (
            "a block nobody asked for",
            message(Message::Piece { piece: 0, begin: 0, data: Bytes::from_static(b"x") }),
        ),
        ("a bitfield that is too long", frame(1 + 1000, &[5])),
        (
            "a bitfield with spare bits",
            message(Message::Bitfield(Bytes::from(vec![255; pieces.div_ceil(8) as usize]))),
        ),
        ("hashes without end", frame(49 + 32 * 1025, &[22])),
        ("a short request", frame(5, &[6, 0, 0, 0, 0])),
        ("a piece that does not exist", message(Message::Have(pieces))),
        ("a request behind the last piece", request(pieces, 0, 1)),
        ("a request across a piece's end", request(0, 1, BLOCK_BYTES)),
        ("a request that overflows", request(0, u32::MAX, 2)),
        ("a request for nothing", request(0, 0, 0)),
        ("a request for too much", request(0, 0, 257 * 1024)),
        ("a reject of nothing", message(Message::Reject(BlockRef { piece: 0, begin: 0, len: 1 }))),
        ("two bitfields", [message(Message::HaveNone), message(Message::HaveNone)].concat().into()),
    ];
    assert!(!pieces.is_multiple_of(8), "there are spare bits");
    for (what, bytes) in offences {
        let addr = seeder.engine.local_addr();
        let mut peer = RawPeer::admitted(addr, seeder.person.device, &member, &shared).await;
        peer.write(&bytes).await.unwrap();
        assert!(!soon(peer.drained()).await, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_but_harmless_messages_are_answered_or_ignored() {
    let world = World::new();
    let shared = world.share(40 * MIB);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let member = world.join(2);
    let mut peer =
        RawPeer::admitted(seeder.engine.local_addr(), seeder.person.device, &member, &shared).await;
    peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
    for odd in [Message::KeepAlive, Message::Unknown { id: 200 }, Message::Interested, Message::Choke] {
        peer.send(&odd).await.unwrap();
    }
    let mut range = crate::engine::hashes::request(&shared.metainfo, 1).unwrap();
    peer.send(&Message::HashRequest(range)).await.unwrap();
    let hashes = peer.expect(|message| match message {
        Message::Hashes { hashes, .. } => Some(hashes),
        _ => None,
    });
    assert_eq!(hashes.await, shared.leaves.kept()[2..4]);
    range.base_layer = 1;
    peer.send(&Message::HashRequest(range)).await.unwrap();
    peer.expect(|message| (message == Message::HashReject(range)).then_some(())).await;
    // Requests that follow one another are answered in order; one may be odd.
    let lens = [1, 16_383, 16_384];
    let mut begin = 0;
    for len in lens {
        peer.send(&Message::Request(BlockRef { piece: 0, begin, len })).await.unwrap();
        begin += len;
    }
    let mut at = 0;
    for len in lens {
        let data = peer.expect(|message| match message {
            Message::Piece { begin, data, .. } => Some((begin as usize, data)),
            _ => None,
        });
        let (begin, data) = data.await;
        assert_eq!((begin, data.len()), (at, len as usize));
        assert_eq!(data, shared.content[at..at + len as usize]);
        at += len as usize;
    }
}
