use crate::world::{World, free_port, read, start};

/// Starts what must not start, and returns why.
async fn refused(config: peerage_tracker::TrackerConfig) -> String {
    match start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_keeps_a_tracker_from_starting() {
    let world = World::new(1).await;
    let error = refused(world.config(2)).await;
    assert!(error.contains("has 1 trackers, so there is no number 2"), "{error}");

    let error = refused(world.config(1)).await;
    assert!(error.contains("is in use by another tracker process"), "{error}");

    let mut config = world.config(1);
    config.data = Some(world.dir.path().join("elsewhere"));
    let error = refused(config).await;
    assert!(error.starts_with("127.0.0.1:") && error.contains("is in use by another program"), "{error}");

    let mut config = world.config(1);
    config.data = Some(world.dir.path().join("far"));
    config.listen = Some("192.0.2.1:7000".parse().unwrap());
    let error = refused(config).await;
    assert!(error.starts_with("cannot listen on 192.0.2.1:7000"), "{error}");
}

#[tokio::test]
async fn another_clusters_data_or_pin_is_refused() {
    let mut world = World::new(1).await;
    let key = world.started(1).key;
    assert_eq!(read(&world.started(1).pin_path).trim(), key.to_hex());
    world.stop(1).await;

    let mut other = World::stopped(1);
    let mut config = other.config(1);
    config.data = world.config(1).data;
    let error = refused(config).await;
    assert!(error.contains("belongs to cluster"), "{error}");

    std::fs::write(&other.list, format!("127.0.0.1:{} pin={}\n", free_port(), key.to_hex())).unwrap();
    std::fs::remove_file(peerage_link::list::pin_path(&other.list)).unwrap();
    let error = refused(other.config(1)).await;
    assert!(error.contains("peerage cluster key export"), "{error}");

    // With that cluster's keyring it is one of them.
    let keyring = peerage_link::keyring::keyring_path;
    std::fs::remove_file(keyring(&other.list)).unwrap();
    std::fs::copy(keyring(&world.list), keyring(&other.list)).unwrap();
    other.start(1).await;
    assert_eq!(other.started(1).key, key);
}

#[tokio::test]
async fn a_tracker_keeps_its_id_and_its_records() {
    let mut world = World::new(1).await;
    let tracker = world.started(1).tracker;
    world.person("ada").await;
    world.stop(1).await;
    world.start(1).await;
    assert_eq!(world.started(1).tracker, tracker);
    let conn = world.anonymous(1).await;
    let mut eve = crate::world::Person::new(world.cluster());
    let taken = crate::world::submit(&conn, &eve.founding("ada")).await;
    assert_eq!(crate::world::code(taken), peerage_link::api::ErrorCode::NameTaken);
}
