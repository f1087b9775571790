use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use peerage_ledger::Body;
use peerage_link::api::{ApiError, ErrorCode, path};
use peerage_metainfo::{HashJob, Metainfo, hash_path};
use peerage_types::limits::{ACCOUNT_METAINFO_BYTES_MAX, METAINFO_BYTES_MAX};
use peerage_types::{GroupId, MetainfoId};
use tokio::time::timeout;

use crate::raw::{Raw, silence, source};
use crate::world::{PATIENCE, Person, World, code, group_of, refusal, submit};

fn metainfo(world: &World, group: GroupId, content: &[u8]) -> Metainfo {
    let file = world.dir.path().join("content.bin");
    std::fs::write(&file, content).unwrap();
    let job = HashJob {
        path: &file,
        name: &"content.bin".parse().unwrap(),
        group,
        found: &|_| {},
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
        folder_files: None,
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
    let to = path::metainfo_of(&group, &torrent.id());

    assert_eq!(code(at_bob.get_bytes(&place, METAINFO_BYTES_MAX).await), ErrorCode::NotFound);
    assert_eq!(code(at_eve.put_bytes(&to, bytes.clone()).await), ErrorCode::NotMember);
    assert_eq!(code(world.anonymous(1).await.put_bytes(&to, bytes.clone()).await), ErrorCode::NotLoggedIn);
    at_ada.put_bytes(&to, bytes.clone()).await.unwrap();
    at_bob.put_bytes(&to, bytes.clone()).await.unwrap();
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
    let put_to = |bytes: &[u8], group: String, id: String| {
        let (conn, bytes) = (conn.clone(), Bytes::copy_from_slice(bytes));
        async move { refusal(conn.put_bytes(&format!("{}{group}/{id}", path::METAINFO_PREFIX), bytes).await) }
    };
    let put = |bytes: &[u8], id: String| put_to(bytes, group.to_hex(), id);
    let error = put(torrent.bytes(), "zz".to_owned()).await;
    assert_eq!(error.message, "`zz` is no metainfo id: 64 hexadecimal digits expected");
    let error = put_to(torrent.bytes(), "zz".to_owned(), torrent.id().to_hex()).await;
    assert_eq!(error.message, "`zz` is no group id: 64 hexadecimal digits expected");
    let error = put(b"other", torrent.id().to_hex()).await;
    assert!(error.message.starts_with("the content does not belong to this path"), "{error}");
    let error = put(b"garbage", MetainfoId::of(b"garbage").to_hex()).await;
    assert!(error.message.starts_with("not a usable metainfo file"), "{error}");
    let elsewhere = metainfo(&world, GroupId([9; 32]), b"content");
    let error = put(elsewhere.bytes(), elsewhere.id().to_hex()).await;
    assert_eq!(error.message, format!("a metainfo file of group {}, not {group}", GroupId([9; 32])));
    let error = put_to(elsewhere.bytes(), GroupId([9; 32]).to_hex(), elsewhere.id().to_hex()).await;
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
    conn.put_bytes(&path::metainfo_of(&group, &torrent.id()), torrent.bytes().clone()).await.unwrap();
    submit(&conn, &manifest(&mut ada, group, &torrent)).await.unwrap();

    let second = world.session(2, &ada).await;
    assert_eq!(second.get_bytes(&place, METAINFO_BYTES_MAX).await.unwrap(), torrent.bytes());
    // Asking was enough, even if it had not come by itself.
    drop(conn);
    world.stop(1).await;
    assert_eq!(second.get_bytes(&place, METAINFO_BYTES_MAX).await.unwrap(), torrent.bytes());
}

/// A PUT whose content never comes: the answer, as far as there is one before that.
async fn stalled_put(conn: &mut Raw, group: GroupId, bytes: usize) -> Option<(u16, ApiError)> {
    let put = Request::put(format!("https://tracker{}", path::metainfo_of(&group, &MetainfoId([8; 32]))))
        .header("content-length", bytes)
        .body(silence())
        .unwrap();
    // Twice as long as a request waits for room.
    let answer = timeout(Duration::from_secs(3), conn.0.send_request(put)).await.ok()?.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Some((status, minicbor::decode(&body).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_uploads_of_one_account_stop_nobody_else() {
    let world = World::new(1).await;
    let (mut ada, mut bob, eve) =
        (world.person("ada").await, world.person("bob").await, world.person("eve").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    // Who may not upload is told before anything of it has come, and so is who wants to upload too much.
    let mut at_eve = Raw::connect_as(&world, source(9, 0), &eve).await;
    let (status, error) = stalled_put(&mut at_eve, group, METAINFO_BYTES_MAX).await.unwrap();
    assert_eq!((status, error.code), (403, ErrorCode::NotMember));
    let mut at_bob = Raw::connect_as(&world, source(9, 1), &bob).await;
    let (status, error) = stalled_put(&mut at_bob, group, METAINFO_BYTES_MAX + 1).await.unwrap();
    assert_eq!((status, error.code), (413, ErrorCode::TooLarge), "{error}");
    // As many as there were places for everybody, from one account that sends nothing.
    let mut stalled = Vec::new();
    for n in 0..8 {
        stalled.push((Raw::connect_as(&world, source(9, 2 + n), &bob).await, n));
    }
    let answers =
        join_all(stalled.iter_mut().map(|(conn, _)| stalled_put(conn, group, METAINFO_BYTES_MAX))).await;
    let refused: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(refused.len(), 6, "two may be under way");
    assert!(refused.iter().all(|(_, error)| error.code == ErrorCode::TooMany), "{refused:?}");
    let torrent = metainfo(&world, group, b"all the while");
    let to = path::metainfo_of(&group, &torrent.id());
    world.session(1, &ada).await.put_bytes(&to, torrent.bytes().clone()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_keep_so_much() {
    let mut world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let group = group_of(&world, 1, &mut ada, &mut []).await;
    world.stop(1).await;
    // All but a kilobyte is in use: what that is does not matter.
    let database = world.dir.path().join("data-1").join("tracker.db-metainfo");
    let kept = i64::try_from(ACCOUNT_METAINFO_BYTES_MAX).unwrap() - 1_000;
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute(
            "INSERT INTO metainfo (id, user, size, bytes) VALUES (?1, ?2, ?3, x'00')",
            ([5u8; 32], ada.user.0, kept),
        )
        .unwrap();
    world.start(1).await;
    let conn = world.session(1, &ada).await;
    let torrent = metainfo(&world, group, &vec![7; 1024 * 1024]);
    assert!(torrent.bytes().len() > 1_000, "{}", torrent.bytes().len());
    let to = path::metainfo_of(&group, &torrent.id());
    let error = refusal(conn.put_bytes(&to, torrent.bytes().clone()).await);
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.contains("would exceed 268435456"), "{error}");
    let small = metainfo(&world, group, b"small");
    conn.put_bytes(&path::metainfo_of(&group, &small.id()), small.bytes().clone()).await.unwrap();
}

/// The head of the answer; its body may not come.
async fn get(conn: &mut Raw, place: &str) -> Response<Incoming> {
    let nothing = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
    let request = Request::get(format!("https://tracker{place}")).body(nothing).unwrap();
    timeout(PATIENCE, conn.0.send_request(request)).await.unwrap().unwrap()
}

/// Members who ask for files and take nothing of them: each file counts as on its way until it is taken or given up.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_a_file_holds_only_room_of_their_own() {
    let mut world = World::new(1).await;
    let (mut ada, mut bob) = (world.person("ada").await, world.person("bob").await);
    let group = group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    let torrent = metainfo(&world, group, b"as large as can be");
    let to = path::metainfo_of(&group, &torrent.id());
    world.session(1, &ada).await.put_bytes(&to, torrent.bytes().clone()).await.unwrap();
    // Room is made for what the file is said to have.
    world.stop(1).await;
    let largest = i64::try_from(METAINFO_BYTES_MAX).unwrap();
    rusqlite::Connection::open(world.dir.path().join("data-1").join("tracker.db-metainfo"))
        .unwrap()
        .execute("UPDATE metainfo SET size = ?1", [largest])
        .unwrap();
    world.start(1).await;

    let place = path::metainfo(&torrent.id());
    let mut taking = Vec::new();
    for n in 0..2 {
        let mut conn = Raw::deaf_as(&world, source(11, n), &bob).await;
        let answer = get(&mut conn, &place).await;
        assert_eq!(answer.status(), 200);
        taking.push((conn, answer));
    }
    let mut third = Raw::connect_as(&world, source(11, 2), &bob).await;
    let error = get(&mut third, &place).await.into_body().collect().await.unwrap().to_bytes();
    let error: ApiError = minicbor::decode(&error).unwrap();
    assert_eq!(error.code, ErrorCode::TooMany, "{error}");
    let at_bob = world.session(1, &bob).await;
    let at_ada = world.session(1, &ada).await;
    assert_eq!(at_ada.get_bytes(&place, METAINFO_BYTES_MAX).await.unwrap(), torrent.bytes());
    // Whoever gives up gives the room back.
    drop(taking);
    let again = async { while at_bob.get_bytes(&place, METAINFO_BYTES_MAX).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("the room never came back");
}
