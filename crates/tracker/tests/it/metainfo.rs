use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use peerage_ledger::Body;
use peerage_link::api::{ErrorCode, path};
use peerage_metainfo::{HashJob, Metainfo, hash_path};
use peerage_types::limits::METAINFO_BYTES_MAX;
use peerage_types::{GroupId, MetainfoId};

use crate::world::{Person, World, code, group_of, refusal, submit};

fn metainfo(world: &World, group: GroupId, content: &[u8]) -> Metainfo {
    let file = world.dir.path().join("content.bin");
    std::fs::write(&file, content).unwrap();
    let job = HashJob {
        path: &file,
        name: &"content.bin".parse().unwrap(),
        group,
        progress: &|_| {},
        cancelled: &AtomicBool::new(false),
    };
    hash_path(&job).unwrap().metainfo
}

fn manifest(
    ada: &mut Person,
    group: GroupId,
    metainfo: &Metainfo,
) -> [std::sync::Arc<peerage_ledger::Record>; 2] {
    let body = Body::Manifest {
        name: metainfo.name().clone(),
        size: metainfo.total_bytes(),
        content: metainfo.content_id(),
        info_hash: metainfo.info_hash(),
        info_hash_v1: metainfo.info_hash_v1(),
        metainfo: metainfo.id(),
        metainfo_bytes: u32::try_from(metainfo.bytes().len()).unwrap(),
        piece_length: metainfo.piece_length(),
    };
    let manifest = ada.group(group, body);
    let share = ada.group(group, Body::Share { manifest: manifest.id(), incarnation: 0 });
    [manifest, share]
}

#[tokio::test(flavor = "multi_thread")]
async fn members_put_and_get() {
    let world = World::new(1).await;
    let (mut ada, mut bob, eve) =
        (world.person("ada").await, world.person("bob").await, world.person("eve").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    let torrent = metainfo(&world, group, b"hello, everybody");
    let (at_ada, at_bob, at_eve) =
        (world.session(1, &ada).await, world.session(1, &bob).await, world.session(1, &eve).await);
    let (place, bytes) = (path::metainfo(&torrent.id()), torrent.bytes().clone());

    assert_eq!(code(at_bob.get_bytes(&place, METAINFO_BYTES_MAX).await), ErrorCode::NotFound);
    assert_eq!(code(at_eve.put_bytes(&place, bytes.clone()).await), ErrorCode::NotMember);
    assert_eq!(code(world.anonymous(1).await.put_bytes(&place, bytes.clone()).await), ErrorCode::NotLoggedIn);
    at_ada.put_bytes(&place, bytes.clone()).await.unwrap();
    at_bob.put_bytes(&place, bytes.clone()).await.unwrap();
    assert_eq!(at_bob.get_bytes(&place, METAINFO_BYTES_MAX).await.unwrap(), bytes);
    assert_eq!(code(at_eve.get_bytes(&place, METAINFO_BYTES_MAX).await), ErrorCode::NotMember);
    assert_eq!(code(world.anonymous(1).await.get_bytes(&place, 99).await), ErrorCode::NotLoggedIn);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_metainfo_of_a_group() {
    let world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    let conn = world.session(1, &ada).await;
    let torrent = metainfo(&world, group, b"content");
    let put = |bytes: &[u8], id: String| {
        let (conn, bytes) = (conn.clone(), Bytes::copy_from_slice(bytes));
        async move { refusal(conn.put_bytes(&format!("{}{id}", path::METAINFO_PREFIX), bytes).await) }
    };
    let error = put(torrent.bytes(), "zz".to_owned()).await;
    assert_eq!(error.message, "`zz` is no metainfo id: 64 hexadecimal digits expected");
    let error = put(b"other", torrent.id().to_hex()).await;
    assert!(error.message.starts_with("the content does not belong to this path"), "{error}");
    let error = put(b"garbage", MetainfoId::of(b"garbage").to_hex()).await;
    assert!(error.message.starts_with("not a usable metainfo file"), "{error}");
    let elsewhere = metainfo(&world, GroupId([9; 32]), b"content");
    let error = put(elsewhere.bytes(), elsewhere.id().to_hex()).await;
    assert_eq!(error.code, ErrorCode::NotFound);
    let huge = vec![b'x'; METAINFO_BYTES_MAX + 1];
    let error = put(&huge, MetainfoId::of(&huge).to_hex()).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_fetches_what_another_was_given() {
    let mut world = World::new(2).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    let torrent = metainfo(&world, group, b"on both");
    let place = path::metainfo(&torrent.id());
    let conn = world.session(1, &ada).await;
    conn.put_bytes(&place, torrent.bytes().clone()).await.unwrap();
    submit(&conn, &manifest(&mut ada, group, &torrent)).await.unwrap();

    let second = world.session(2, &ada).await;
    assert_eq!(second.get_bytes(&place, METAINFO_BYTES_MAX).await.unwrap(), torrent.bytes());
    // Asking was enough, even if it had not come by itself.
    drop(conn);
    world.stop(1).await;
    assert_eq!(second.get_bytes(&place, METAINFO_BYTES_MAX).await.unwrap(), torrent.bytes());
}
