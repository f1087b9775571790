//! Strangers who stall, flood or guess, beside honest people.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use peerage_link::api::{
    BundleRequest, BundleResponse, Empty, ErrorCode, HelloResponse, LoginRequest, LoginResponse, path,
};
use peerage_link::opaque::Login;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::raw::{HALF_HEADER, HALF_HELLO, PREFACE, Raw, ended, request, silence, source, tcp, tls};
use crate::world::{PATIENCE, Person, World, group_of, hello, submit};

/// Stalled connections of each kind.
const STALLED: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn what_stalls_ends_and_keeps_nobody_out() {
    let world = World::new(1).await;
    let (mut handshakes, mut headers) = (Vec::new(), Vec::new());
    for index in 0..STALLED {
        let mut half = tcp(&world, source(1, index)).await;
        if index % 2 == 0 {
            half.write_all(HALF_HELLO).await.unwrap();
        }
        handshakes.push(half);
        let mut half = tls(&world, source(2, index)).await;
        half.write_all(&[PREFACE, HALF_HEADER].concat()).await.unwrap();
        half.flush().await.unwrap();
        headers.push(half);
    }
    for number in 0..20 {
        let conn = world.anonymous(1).await;
        hello(&conn).await;
        let mut person = Person::new(world.cluster());
        submit(&conn, &person.founding(&format!("honest-{number}"))).await.unwrap();
    }
    join_all(handshakes.into_iter().map(ended)).await;
    join_all(headers.into_iter().map(ended)).await;
}

/// Elsewhere all come from the one address that has larger limits.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_of_a_host_that_stalls_make_room() {
    let world = World::new(1).await;
    let host = Ipv4Addr::new(127, 3, 3, 3);
    let mut stalled = Vec::new();
    for _ in 0..80 {
        stalled.push(tcp(&world, host).await);
    }
    // 64 may be unfinished: the first 16 went, though their deadline has not come.
    let newest = stalled.split_off(16);
    join_all(stalled.into_iter().map(ended)).await;
    let mut honest = Raw::connect(&world, host).await;
    honest.call::<HelloResponse>(path::HELLO, &Empty {}).await.unwrap();
    join_all(newest.into_iter().map(ended)).await;
}

/// They answer pings and take nothing, with all the places that a host may have.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answers_makes_room_and_is_closed() {
    let world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let mut listening = world.session(1, &ada).await.events(path::EVENTS).await.unwrap();
    let host = Ipv4Addr::new(127, 8, 8, 8);
    let (mut answers, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..256 {
        let (mut deaf, end) = Raw::deaf(&world, host).await;
        let body = Full::new(bytes::Bytes::from(minicbor::to_vec(Empty {}).unwrap()));
        let hello = request(path::HELLO).body(body.map_err(|never| match never {}).boxed()).unwrap();
        // The head of the answer comes, its body cannot.
        answers.push((timeout(PATIENCE, deaf.0.send_request(hello)).await.unwrap().unwrap(), deaf));
        ends.push(end);
    }
    let mut refused = 0;
    let mut again = tokio::time::interval(Duration::from_millis(500));
    timeout(PATIENCE, async {
        while Raw::connect(&world, host).await.call::<HelloResponse>(path::HELLO, &Empty {}).await.is_err() {
            refused += 1;
            again.tick().await;
        }
    })
    .await
    .expect("they hold all places of their host");
    assert!(refused > 0, "there was room all the time");
    timeout(2 * PATIENCE, join_all(ends)).await.expect("they stay for ever");
    // Who listens, and is told nothing all the while, stays.
    let mut bob = world.person("bob").await;
    group_of(&world, 1, &mut ada, &mut [&mut bob]).await;
    timeout(PATIENCE, listening.next()).await.unwrap().expect("the listener was closed too");
    drop(answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_end_the_connection() {
    let world = World::new(1).await;
    let mut flood = Raw::connect(&world, source(4, 0)).await;
    let mut given_up = 0;
    while flood.0.ready().await.is_ok() {
        let sent = flood.0.send_request(request(path::BUNDLE).body(silence()).unwrap());
        // Long enough to be on its way, then reset.
        let _ = timeout(Duration::from_millis(2), sent).await;
        given_up += 1;
        assert!(given_up < 5_000, "nobody stops a flood of resets");
    }
    hello(&world.anonymous(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_refused() {
    let world = World::new(1).await;
    let mut conn = Raw::connect(&world, source(4, 1)).await;
    let body = Full::new(bytes::Bytes::new()).map_err(|never| match never {}).boxed();
    let huge = request(path::HELLO).header("x-huge", "x".repeat(200 * 1024)).body(body).unwrap();
    let answer = conn.0.send_request(huge).await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status() == 431), "{answer:?}");
    // One header block in ever more CONTINUATION frames (RFC 9113, 6.10) of 1 KiB each.
    let mut endless = tls(&world, source(4, 2)).await;
    endless.write_all(&[PREFACE, HALF_HEADER].concat()).await.unwrap();
    let mut frame = b"\0\x04\0\x09\0\0\0\0\x01".to_vec();
    frame.extend([0x83; 1024]);
    let mut sent = 0;
    while endless.write_all(&frame).await.is_ok() && endless.flush().await.is_ok() {
        sent += 1;
        assert!(sent < 100_000, "nobody stops an endless header");
    }
    hello(&world.anonymous(1).await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_limited_per_host_and_elsewhere_goes_on() {
    let world = World::new(1).await;
    let mut farm = Raw::connect(&world, Ipv4Addr::new(127, 5, 5, 5)).await;
    let mut made = 0;
    let refused = loop {
        let records = Person::new(world.cluster()).founding(&format!("sybil-{made}"));
        let bundle = BundleRequest::new(records.iter().map(|record| record.bytes()));
        match farm.call::<BundleResponse>(path::BUNDLE, &bundle).await {
            Ok(_) => made += 1,
            Err(refused) => break refused,
        }
        assert!(made < 500, "nobody stops a farm of accounts");
    };
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.hint.is_some_and(|hint| hint.starts_with("try again in ")), "says for how long");
    assert!(made >= 100, "a school's first lesson fits: {made}");
    let mut elsewhere = Raw::connect(&world, Ipv4Addr::new(127, 5, 5, 6)).await;
    let records = Person::new(world.cluster()).founding("honest");
    let bundle = BundleRequest::new(records.iter().map(|record| record.bytes()));
    elsewhere.call::<BundleResponse>(path::BUNDLE, &bundle).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_and_locks_nobody_out() {
    let world = World::new(1).await;
    world.person("ada").await;
    let (_, request) = Login::start("a guess").unwrap();
    let request = LoginRequest { name: "ada".parse().unwrap(), request };
    let guess = async |from: Ipv4Addr, times: usize| {
        let mut conn = Raw::connect(&world, from).await;
        let mut refused = 0;
        for _ in 0..times {
            match conn.call::<LoginResponse>(path::OPAQUE_LOGIN, &request).await {
                Err(error) if error.code == ErrorCode::RateLimited => refused += 1,
                // The dummy password was looked at.
                Err(error) if error.code == ErrorCode::BadRequest => {}
                Ok(_) => panic!("a dummy password works"),
                Err(error) => panic!("{error}"),
            }
        }
        refused
    };
    // One host alone, then enough of them to use up what strangers share.
    assert!(guess(source(6, 0), 40).await > 0, "one host guesses as fast as it likes");
    for index in 1..20 {
        guess(source(6, index), 30).await;
    }
    assert!(guess(source(6, 20), 30).await >= 20, "many hosts guess as fast as they like");
    // The owner, where nobody has seen them.
    assert_eq!(guess(source(7, 0), 5).await, 0, "strangers lock the owner out");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_one_connection_are_answered() {
    let world = World::new(1).await;
    let conn = Raw::connect(&world, source(10, 0)).await;
    let ask = async |mut conn: Raw| conn.call::<HelloResponse>(path::HELLO, &Empty {}).await;
    let answers = join_all((0..2_000).map(|_| ask(Raw(conn.0.clone())))).await;
    assert!(answers.iter().all(Result::is_ok));
}

/// 300 requests at once, of which none ever ends, on a connection that does not keep to the limit that it was told.
#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limit_are_refused() {
    let world = World::new(1).await;
    let mut greedy = tls(&world, source(10, 1)).await;
    let mut bytes = PREFACE.to_vec();
    for stream in 0..300_u32 {
        // `:method POST`, `:scheme https`, `:path` and `:authority` as literals (RFC 7541, 6.1 and 6.2.2).
        let block = [b"\x83\x87\x04\x09/v1/hello".as_slice(), b"\x01\x07tracker"].concat();
        bytes.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 4]);
        bytes.extend((2 * stream + 1).to_be_bytes());
        bytes.extend(block);
    }
    greedy.write_all(&bytes).await.unwrap();
    greedy.flush().await.unwrap();
    // Each stream beyond the 128 is reset, before anything of it was looked at.
    let mut refused = 0;
    let mut head = [0; 9];
    let all = async {
        while refused < 300 - 128 {
            greedy.read_exact(&mut head).await.unwrap();
            let mut rest = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            greedy.read_exact(&mut rest).await.unwrap();
            // RST_STREAM with REFUSED_STREAM (RFC 9113, 6.4 and 7).
            refused += usize::from(head[3] == 3 && rest == [0, 0, 0, 7]);
        }
    };
    timeout(PATIENCE, all).await.expect("nobody refuses streams beyond the limit");
    hello(&world.anonymous(1).await).await;
}
