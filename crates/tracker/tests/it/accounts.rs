use futures_util::future::join_all;
use peerage_ledger::{Body, Record};
use peerage_link::api::{
    AccountRequest, AccountResponse, AnnounceItem, AnnounceRequest, AnnounceResponse, DeviceHeadsRequest,
    DeviceHeadsResponse, Empty, ErrorCode, Event, GroupPresenceRequest, GroupPresenceResponse, LoginRequest,
    LoginResponse, RecoveryRequest, RecoveryResponse, RegisterRequest, RegisterResponse, SignedRow,
    SwarmState, UserNamesRequest, UserNamesResponse, VouchRequest, path,
};
use peerage_link::opaque::{Login, Registration};
use peerage_link::vault;

use peerage_types::InfoHash;

use crate::world::{PATIENCE, Person, World, code, group_of, public, refusal, start, submit, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn register_and_log_in_on_another_device() {
    let world = World::new(1).await;
    let conn = world.anonymous(1).await;
    let mut ada = Person::new(world.cluster());

    let (registration, request) = Registration::start("correct horse").unwrap();
    let answer: RegisterResponse = conn
        .call(path::OPAQUE_REGISTER, &RegisterRequest { user: ada.user, request, code: None })
        .await
        .unwrap();
    let (password_file, export_key) = registration.finish(&answer.response).unwrap();
    let sealed = vault::seal(&export_key, &ada.identity, &ada.user).unwrap();
    let device = public(&ada.device);
    let records = [
        ada.account(Body::AccountGenesis { identity: public(&ada.identity) }),
        ada.account(Body::UserNameClaim { name: "Ada".parse().unwrap() }),
        ada.account(Body::AuthRecord {
            opaque_key: answer.opaque_key,
            password_file,
            vault: sealed.clone(),
            previous: None,
        }),
        ada.account(Body::DeviceCert { device, label: "laptop".to_owned() }),
    ];
    let stored = submit(&conn, &records).await.unwrap();
    assert_eq!((stored.durable_on, stored.of), (1, 1));

    let (login, request) = Login::start("correct horse").unwrap();
    let request = LoginRequest { name: "aDA".to_owned(), request };
    let answer: LoginResponse = conn.call(path::OPAQUE_LOGIN, &request).await.unwrap();
    assert_eq!(answer.user, ada.user);
    assert_eq!(answer.vault, sealed);
    let export_key = login.finish(&answer.response).unwrap();
    let identity = vault::open(&export_key, &answer.vault, &ada.user).unwrap();
    assert_eq!(identity.to_bytes(), ada.identity.to_bytes());
    let kinds: Vec<Record> =
        answer.account.iter().map(|row| Record::decode(&row.record, &world.cluster()).unwrap()).collect();
    assert_eq!(kinds.len(), 3);
    assert!(kinds.iter().all(|record| !matches!(record.body(), Body::AuthRecord { .. })));
    assert!(answer.account.iter().all(|row| row.receipt.verify(&world.started(1).key)));

    let (login, request) = Login::start("wrong horse").unwrap();
    let request = LoginRequest { name: "ada".to_owned(), request };
    let answer: LoginResponse = conn.call(path::OPAQUE_LOGIN, &request).await.unwrap();
    assert!(login.finish(&answer.response).is_err());

    let (_, request) = Login::start("x").unwrap();
    let request = LoginRequest { name: "eve".to_owned(), request };
    assert_eq!(code(conn.call::<_, LoginResponse>(path::OPAQUE_LOGIN, &request).await), ErrorCode::NotFound);

    let session = world.session(1, &ada).await;
    let rows: AccountResponse =
        session.call(path::ACCOUNT, &AccountRequest { user: ada.user }).await.unwrap();
    assert_eq!(rows.rows.len(), 3);
    let names = UserNamesRequest { names: vec!["ADA".parse().unwrap(), "eve".parse().unwrap()] };
    let users: UserNamesResponse = conn.call(path::USER_NAMES, &names).await.unwrap();
    assert_eq!(users.users, [Some(ada.user), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_to_exactly_one_of_many() {
    let world = World::new(1).await;
    let conn = world.anonymous(1).await;
    let mut people: Vec<Person> = (0..20).map(|_| Person::new(world.cluster())).collect();
    let bundles: Vec<_> = people.iter_mut().map(|person| person.founding("ada")).collect();
    let results = join_all(bundles.iter().map(|records| submit(&conn, records))).await;
    let taken = results.into_iter().filter(|result| {
        matches!(result, Err(peerage_link::http::CallError::Refused(e)) if e.code == ErrorCode::NameTaken)
    });
    assert_eq!(taken.count(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_atomic_and_may_be_sent_again() {
    let world = World::new(1).await;
    let conn = world.anonymous(1).await;
    world.person("ada").await;
    let mut eve = Person::new(world.cluster());

    let taken = eve.founding("ADA");
    let error = refusal(submit(&conn, &taken).await);
    assert_eq!(error.code, ErrorCode::NameTaken);
    assert_eq!(error.message, "the name `ADA` is taken");
    // Nothing of it was kept: the genesis alone is still new.
    assert_eq!(code(submit(&conn, &taken[2..3]).await), ErrorCode::Missing);

    let good = Person::new(world.cluster()).founding("bob");
    let first = submit(&conn, &good).await.unwrap();
    let again = submit(&conn, &good).await.unwrap();
    assert_eq!(first.stamp, again.stamp);
    let vector = crate::world::hello(&conn).await.vector;
    assert_eq!(vector.iter().map(|(_, seq)| seq).sum::<u64>(), 8, "a record was logged twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_a_session_from_its_certificate_to_its_revocation() {
    let world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let mut eve = world.person("eve").await;
    let request = AccountRequest { user: ada.user };
    let conn = world.session(1, &ada).await;
    assert!(conn.call::<_, AccountResponse>(path::ACCOUNT, &request).await.is_ok());
    // Somebody else's account, and somebody else's claim to the device.
    let other = world.session(1, &eve).await;
    assert_eq!(
        code(other.call::<_, AccountResponse>(path::ACCOUNT, &request).await),
        ErrorCode::NotCertified
    );
    let theft = eve.account(Body::DeviceCert { device: public(&ada.device), label: "mine".to_owned() });
    submit(&other, &[theft]).await.unwrap();
    assert!(conn.call::<_, AccountResponse>(path::ACCOUNT, &request).await.is_ok());

    let anonymous = world.anonymous(1).await;
    assert_eq!(
        code(anonymous.call::<_, AccountResponse>(path::ACCOUNT, &request).await),
        ErrorCode::NotLoggedIn
    );
    let revoke = ada.account(Body::DeviceRevoke { device: public(&ada.device), heads: Vec::new() });
    submit(&anonymous, &[revoke]).await.unwrap();
    let after = conn.call::<_, AccountResponse>(path::ACCOUNT, &request).await;
    assert!(after.is_err(), "a revoked device still reads its old account");
}

/// Two trackers took the same name from two people who could not know of each other.
#[tokio::test(flavor = "multi_thread")]
async fn who_lost_a_name_logs_in_with_a_tag_and_is_told() {
    let mut world = World::new(2).await;
    world.stop(2).await;
    let first = world.person("ada").await;
    world.stop(1).await;
    world.start(2).await;
    let second = world.person("ada").await;
    let mut told = world.session(2, &second).await.events(path::EVENTS).await.unwrap();
    world.start(1).await;
    wait_for(&mut told, |event| *event == Event::Account).await;

    let conn = world.anonymous(2).await;
    let ask = async |name: String| {
        let (_, request) = Login::start("x").unwrap();
        conn.call::<_, LoginResponse>(path::OPAQUE_LOGIN, &LoginRequest { name, request }).await
    };
    // The password files of these people are dummies, so that the tracker calls them damaged; what it knows
    // about names shows in the recovery route.
    assert_eq!(code(ask("ada".to_owned()).await), ErrorCode::BadRequest);
    assert_eq!(code(ask("ada#aaaaaaaa".to_owned()).await), ErrorCode::NotFound);
    for (name, user) in [
        ("ADA".to_owned(), first.user),
        (format!("ada#{}", first.user.tag()), first.user),
        (format!("Ada#{}", second.user.tag()), second.user),
    ] {
        let request = RecoveryRequest { name };
        let answer: RecoveryResponse = conn.call(path::RECOVERY, &request).await.unwrap();
        assert_eq!((answer.user, answer.vault), (user, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_gone_everywhere_at_once() {
    let world = World::new(2).await;
    let mut ada = world.person("ada").await;
    let mut ben = world.person("ben").await;
    let group = group_of(&world, 1, &mut ada, &mut [&mut ben]).await;
    let desk = std::mem::replace(&mut ada.device, Person::new(world.cluster()).device);
    let label = "second".to_owned();
    let cert = ada.account(Body::DeviceCert { device: public(&ada.device), label });
    submit(&world.anonymous(1).await, &[cert]).await.unwrap();

    // The desk is online with something, and both trackers know it.
    let item = AnnounceItem {
        group,
        info_hash: InfoHash([7; 32]),
        state: SwarmState::Seeding,
        percent: 100,
        addresses: vec!["127.0.0.1:9".to_owned()],
        want: 0,
    };
    let old = world.connect(2, Some(&desk)).await;
    let request = AnnounceRequest { items: vec![item], said: 1 };
    let _: AnnounceResponse = old.call(path::ANNOUNCE, &request).await.unwrap();
    let of_ben = world.session(1, &ben).await;
    let online = async || {
        let request = GroupPresenceRequest { group };
        let answer: GroupPresenceResponse = of_ben.call(path::PRESENCE, &request).await.unwrap();
        answer.files.iter().map(|file| file.seeders).sum::<u32>()
    };
    while online().await == 0 {
        tokio::task::yield_now().await;
    }
    let mut stream = old.events(path::EVENTS).await.unwrap();
    let mut told = of_ben.events(path::EVENTS).await.unwrap();

    // Where it wrote, it says itself.
    let session = world.session(1, &ada).await;
    let request = DeviceHeadsRequest { device: public(&desk), after: None };
    let answer: DeviceHeadsResponse = session.call(path::ACCOUNT_HEADS, &request).await.unwrap();
    let heads: Vec<Record> =
        answer.rows.iter().map(|row| Record::decode(&row.record, &world.cluster()).unwrap()).collect();
    assert!(heads.iter().all(|record| record.signer() == public(&desk)));
    let heads = heads.iter().map(Record::id).collect();
    let revoke = ada.account(Body::DeviceRevoke { device: public(&desk), heads });
    submit(&world.anonymous(1).await, &[revoke]).await.unwrap();

    wait_for(&mut told, |event| *event == Event::Roster { group }).await;
    while online().await > 0 {
        tokio::task::yield_now().await;
    }
    // Its stream ends, and so does everything else, on the tracker that did not take the record itself.
    let ended = async { while stream.next().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream goes on");
    let request = AccountRequest { user: ada.user };
    assert_eq!(code(old.call::<_, AccountResponse>(path::ACCOUNT, &request).await), ErrorCode::DeviceRevoked);
    // What it did stays: Ben is a member still.
    let snapshot = crate::world::snapshot(&of_ben, group).await.unwrap();
    assert!(snapshot.rows.len() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_registration_code_only_who_knows_it_creates_accounts() {
    let mut world = World::stopped(1);
    let mut config = world.config(1);
    let file = world.dir.path().join("code.txt");
    config.registration_code = Some(file.clone());
    let missing = start(config.clone()).await.err().unwrap().to_string();
    assert!(missing.starts_with("the registration code cannot be read from"), "{missing}");
    std::fs::write(&file, "open sesame\n").unwrap();
    world.trackers[0] = Some(start(config).await.unwrap());

    let conn = world.anonymous(1).await;
    let mut ada = Person::new(world.cluster());
    let register = async |code: Option<&str>| {
        let (_, request) = Registration::start("correct horse").unwrap();
        let request = RegisterRequest { user: ada.user, request, code: code.map(str::to_owned) };
        conn.call::<_, RegisterResponse>(path::OPAQUE_REGISTER, &request).await
    };
    for wrong in [None, Some(""), Some("open")] {
        assert_eq!(code(register(wrong).await), ErrorCode::RegistrationCode, "{wrong:?}");
    }
    let mut eve = Person::new(world.cluster());
    // Whoever leaves out the first half gets no further.
    assert_eq!(code(submit(&conn, &eve.founding("eve")).await), ErrorCode::RegistrationCode);
    register(Some("open sesame")).await.unwrap();
    submit(&conn, &ada.founding("ada")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_device_wrote_is_told_in_pages() {
    let world = World::new(1).await;
    let mut ada = world.person("ada").await;
    let session = world.session(1, &ada).await;
    let mut groups = std::collections::BTreeSet::new();
    for n in 0..70 {
        let (group, genesis) = ada.found(&format!("lab-{n}"), None);
        submit(&session, &[genesis]).await.unwrap();
        groups.insert(group);
    }
    let (mut shown, mut after, mut pages) = (std::collections::BTreeSet::new(), None, 0);
    loop {
        let request = DeviceHeadsRequest { device: public(&ada.device), after };
        let page: DeviceHeadsResponse = session.call(path::ACCOUNT_HEADS, &request).await.unwrap();
        shown.extend(page.rows.iter().map(|row| {
            let record = Record::decode(&row.record, &world.cluster()).unwrap();
            peerage_types::GroupId::from(record.id())
        }));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((shown, pages), (groups, 3));
}

/// A backup from before somebody came was restored: that they had been accepted shows the receipt, not the code.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_cluster_accepted_before_needs_no_code_again() {
    let mut world = World::stopped(1);
    let mut config = world.config(1);
    let file = world.dir.path().join("code.txt");
    std::fs::write(&file, "open sesame").unwrap();
    world.start(1).await;
    let mut ada = Person::new(world.cluster());
    let founding = ada.founding("ada");
    submit(&world.anonymous(1).await, &founding).await.unwrap();
    let request = AccountRequest { user: ada.user };
    let shown: AccountResponse = world.session(1, &ada).await.call(path::ACCOUNT, &request).await.unwrap();
    let genesis = shown.rows.into_iter().find(|row| row.receipt.record == founding[0].id()).unwrap();

    world.stop(1).await;
    std::fs::remove_dir_all(config.data.as_ref().unwrap()).unwrap();
    config.registration_code = Some(file);
    world.trackers[0] = Some(start(config).await.unwrap());
    let conn = world.anonymous(1).await;
    let vouch = async |row: &SignedRow| {
        let request = VouchRequest { accounts: vec![row.clone()] };
        conn.call::<_, Empty>(path::VOUCH, &request).await
    };
    assert_eq!(code(submit(&conn, &founding).await), ErrorCode::RegistrationCode);
    // Of somebody else, with that receipt; or with one that was tampered with.
    let eve = Person::new(world.cluster()).founding("eve");
    let stolen = SignedRow { record: eve[0].bytes().to_vec(), ..genesis.clone() };
    assert_eq!(code(vouch(&stolen).await), ErrorCode::BadRequest);
    let mut tampered = genesis.clone();
    tampered.receipt.seq += 1;
    assert_eq!(code(vouch(&tampered).await), ErrorCode::BadRequest);
    assert_eq!(code(submit(&conn, &founding).await), ErrorCode::RegistrationCode);
    vouch(&genesis).await.unwrap();
    submit(&conn, &founding).await.unwrap();
    assert_eq!(code(submit(&conn, &eve).await), ErrorCode::RegistrationCode);
}
