//! Whether a member's port can be reached: only a member hears it, only of where the question comes from, now and then.

use std::net::{Ipv4Addr, SocketAddr};

use peerage_link::api::{Echo, ErrorCode, Reach, ReachRequest, ReachResponse, path};
use peerage_link::http::{CallError, TrackerConn};
use peerage_link::tls::{self, ClientKey};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::raw::Raw;
use crate::world::{Person, World, code, free_port};

async fn ask(conn: &TrackerConn, port: u16) -> Result<ReachResponse, CallError> {
    conn.call(path::REACH, &ReachRequest { port }).await
}

async fn listener(ip: Ipv4Addr) -> (TcpListener, u16) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Listens as this person's device does.
async fn device(person: &Person) -> u16 {
    let (listener, port) = listener(Ipv4Addr::LOCALHOST).await;
    let tls = tls::server_config(&person.device, ClientKey::Required, &[b"peerage-peer/1"]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // It shows no key of its own, so it is no peer.
            assert!(TlsAcceptor::from(tls.clone()).accept(stream).await.is_err());
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_open_closed_silent_or_somebody_elses() {
    let world = World::new(1).await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let (at_ada, stranger) = (world.session(1, &ada).await, world.anonymous(1).await);
    let (port, of_bob) = (device(&ada).await, device(&bob).await);
    assert_eq!(code(ask(&stranger, port).await), ErrorCode::NotLoggedIn);
    assert_eq!(code(ask(&at_ada, 0).await), ErrorCode::BadRequest);
    let answer = ask(&at_ada, port).await.unwrap();
    assert_eq!(answer, ReachResponse { address: format!("127.0.0.1:{port}"), reach: Reach::Device });
    assert_eq!(ask(&at_ada, of_bob).await.unwrap().reach, Reach::Other);
    assert_eq!(ask(&at_ada, free_port()).await.unwrap().reach, Reach::Refused);
    // It takes connections and says nothing. Meanwhile the same device may ask nothing more.
    let (_silent, port) = listener(Ipv4Addr::LOCALHOST).await;
    let (first, second) = tokio::join!(ask(&at_ada, port), ask(&at_ada, port));
    let (answers, refusals): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_ok);
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap().reach).collect::<Vec<_>>(), [Reach::Silent]);
    assert_eq!(refusals.into_iter().map(code).collect::<Vec<_>>(), [ErrorCode::RateLimited]);
    // After five questions a device has to wait, which takes nothing away from others.
    let closed = free_port();
    let mut more = 0;
    let last = loop {
        match ask(&at_ada, closed).await {
            Ok(_) if more < 10 => more += 1,
            last => break last,
        }
    };
    assert_eq!(code(last), ErrorCode::RateLimited);
    assert_eq!(ask(&world.session(1, &bob).await, of_bob).await.unwrap().reach, Reach::Device);
}

/// Only on Linux all of 127/8 belongs to the machine.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_at_the_ports_of_others() {
    let world = World::new(1).await;
    let ada = world.person("ada").await;
    let (other, port) = listener(Ipv4Addr::LOCALHOST).await;
    let here = Ipv4Addr::new(127, 3, 3, 3);
    let mut conn = Raw::connect_as(&world, here, &ada).await;
    let answer: ReachResponse = conn.call(path::REACH, &ReachRequest { port }).await.unwrap();
    let address = SocketAddr::from((here, port)).to_string();
    assert_eq!(answer, ReachResponse { address, reach: Reach::Refused });
    let waits = futures_util::FutureExt::now_or_never(other.accept());
    assert!(waits.is_none(), "somebody else was connected to");
}

/// Many devices behind one address share what one host may ask.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn devices_of_one_host_share_a_limit() {
    let world = World::new(1).await;
    let here = Ipv4Addr::new(127, 3, 3, 4);
    let port = free_port();
    // Each asks no more than a device may, until one is refused: with the 21st question, later on a slow machine.
    let mut answered = 0;
    for number in 0..20 {
        let person = world.person(&format!("person-{number}")).await;
        let mut conn = Raw::connect_as(&world, here, &person).await;
        for _ in 0..5 {
            match conn.call::<ReachResponse>(path::REACH, &ReachRequest { port }).await {
                Ok(_) => answered += 1,
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::RateLimited);
                    return assert!(answered >= 20, "{answered} answered");
                }
            }
        }
    }
    panic!("all {answered} were answered");
}

/// Ports that take connections and say nothing keep places taken: of one host, two.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn one_host_has_two_places() {
    let world = World::new(1).await;
    let here = Ipv4Addr::new(127, 3, 3, 5);
    let (_silent, port) = listener(here).await;
    let question = ReachRequest { port };
    let mut conns = Vec::new();
    for name in ["ada", "bob", "eve"] {
        conns.push(Raw::connect_as(&world, here, &world.person(name).await).await);
    }
    // A slow machine may let one begin when another has ended. Four times are within what a device and a host may ask.
    for _ in 0..4 {
        let asked = conns.iter_mut().map(|conn| conn.call::<ReachResponse>(path::REACH, &question));
        let answers = futures_util::future::join_all(asked).await;
        let (answers, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert!(answers.len() >= 2 && answers.iter().flatten().all(|answer| answer.reach == Reach::Silent));
        if let [Err(refusal)] = &refusals[..] {
            assert_eq!(refusal.code, ErrorCode::RateLimited);
            return;
        }
    }
    panic!("three were under way at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_comes_back_as_it_is() {
    let world = World::new(1).await;
    let conn = world.anonymous(1).await;
    let echo = |len: usize| Echo { bytes: (0..=u8::MAX).cycle().take(len).collect() };
    for len in [0, 4_096, 8_000] {
        assert_eq!(conn.call::<_, Echo>(path::ECHO, &echo(len)).await.unwrap(), echo(len));
    }
    assert_eq!(code(conn.call::<_, Echo>(path::ECHO, &echo(8_200)).await), ErrorCode::TooLarge);
}
