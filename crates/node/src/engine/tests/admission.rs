//! Who gets nothing.

use peerage_types::InfoHash;
use peerage_wire::{BlockRef, Handshake, Message};
use tokio::net::TcpStream;

use super::raw::{RawPeer, Shown, is_hung_up};
use super::world::{Person, World, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_nothing() {
    let world = World::new();
    let shared = world.share(100_000);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let (addr, device) = (seeder.engine.local_addr(), seeder.person.device);
    let (member, stranger) = (world.join(2), Person::new(3));

    // They know the address, the device and the info hash.
    let no_cert = Shown { key: &stranger.key, cert: Vec::new(), info_hash: shared.hash() };
    let own_cert = Shown::honest(&stranger, &shared);
    let stolen_cert = Shown { key: &stranger.key, cert: member.cert.clone(), info_hash: shared.hash() };
    let mut broken = member.cert.clone();
    broken[0][50] ^= 1;
    let broken_cert = Shown { key: &member.key, cert: broken, info_hash: shared.hash() };
    let too_many = Shown { key: &member.key, cert: vec![Vec::new(); 1000], info_hash: shared.hash() };
    for shown in [no_cert, own_cert, stolen_cert, broken_cert, too_many] {
        let mut peer = RawPeer::connect(addr, device, shown).await.unwrap();
        assert!(!peer.is_admitted().await, "nothing comes back, not even a handshake");
    }

    // A member who asks for something that is not here learns nothing, either.
    let elsewhere = Shown { info_hash: InfoHash([9; 32]), ..Shown::honest(&member, &shared) };
    let mut peer = RawPeer::connect(addr, device, elsewhere).await.unwrap();
    assert!(!peer.is_admitted().await);

    // Without TLS: a standard client's handshake, garbage, nothing.
    let shake = Handshake::new(shared.metainfo.info_hash_v1().unwrap(), [1; 20]).encode();
    for bytes in [&shake[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]] {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let silent = bytes[0] != 0x16;
        let hung_up = is_hung_up(tcp, bytes).await;
        assert!(hung_up || !silent, "TLS may answer with an alert, nothing else with a word");
    }

    // And a member gets it.
    let mut peer = RawPeer::admitted(addr, device, &member, &shared).await;
    peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
    peer.send(&Message::Request(BlockRef { piece: 0, begin: 0, len: 1000 })).await.unwrap();
    let data = peer.expect(|message| match message {
        Message::Piece { data, .. } => Some(data),
        _ => None,
    });
    assert_eq!(data.await, shared.content[..1000]);
    assert!(seeder.engine.status()[0].peers.len() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_dialled_under_another_name() {
    let world = World::new();
    let shared = world.share(100_000);
    let (mut leecher, seeder) = (world.member(1).await, world.member(2).await);
    seeder.seed(&shared).await;
    leecher.download(&shared).await;
    // The address is another member's: the key does not fit, so nothing is said.
    let other = world.join(3);
    leecher.engine.set_peers(shared.hash(), vec![other.at(seeder.engine.local_addr())]);
    leecher.until(&shared, |_| true).await;
    assert!(leecher.status(&shared).peers.is_empty());
    leecher.meets(&shared, &[&seeder]);
    leecher.completed(&shared).await;
    seeder.until(&shared, |status| status.peers.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kick_ends_live_connections() {
    let world = World::new();
    let shared = world.share(100_000);
    let seeder = world.member(1).await;
    seeder.seed(&shared).await;
    let (addr, device) = (seeder.engine.local_addr(), seeder.person.device);
    let (kicked, stays) = (world.join(2), world.join(3));
    let mut kicked_peer = RawPeer::admitted(addr, device, &kicked, &shared).await;
    let mut stays_peer = RawPeer::admitted(addr, device, &stays, &shared).await;
    kicked_peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
    stays_peer.expect(|message| (message == Message::Unchoke).then_some(())).await;
    world.kick(&kicked);
    seeder.engine.roster_changed(super::world::GROUP);
    assert!(!soon(kicked_peer.drained()).await);
    let again = RawPeer::connect(addr, device, Shown::honest(&kicked, &shared)).await;
    assert!(!again.unwrap().is_admitted().await);
    stays_peer.send(&Message::Request(BlockRef { piece: 0, begin: 0, len: 5 })).await.unwrap();
    stays_peer.expect(|message| matches!(message, Message::Piece { .. }).then_some(())).await;
}
