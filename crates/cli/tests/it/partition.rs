//! Trackers that cannot see each other for a while.

use peerage_drive::{Client, ClientOptions, Mesh, free_addresses};
use tempfile::TempDir;

use crate::accounts::told;
use crate::world::{PROGRAM, arg, say, until};

/// Trackers that can be parted, and a folder that goes with them.
pub struct Parted {
    pub mesh: Mesh,
    folder: TempDir,
}

impl Parted {
    pub fn with_trackers(count: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("peerage-it-").tempdir().unwrap();
        let mesh = Mesh::start(PROGRAM.as_ref(), folder.path(), count).unwrap();
        Self { mesh, folder }
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &[u8]) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A shell with a data folder of its own that knows only these trackers.
    pub fn client(&self, name: &str, trackers: &[usize]) -> Client {
        let options = ClientOptions {
            program: PROGRAM.into(),
            listen: free_addresses(1).unwrap()[0],
            list: self.mesh.list_of(trackers).unwrap(),
            data: self.folder.path().join(format!("{name}-data")),
        };
        Client::start(name, &options).unwrap()
    }
}

/// Both sides take writes while they are parted, and each has the other's afterwards.
#[test]
fn both_sides_of_a_partition_go_on_and_agree_afterwards() {
    let world = Parted::with_trackers(2);
    let mut one = world.client("one", &[1]);
    let mut two = world.client("two", &[2]);
    world.mesh.part(&[1]);
    say(&mut one, "create_user ada pw-of-ada", "User created!");
    say(&mut two, "create_user ben pw-of-ben", "User created!");
    say(&mut one, "login ben pw-of-ben", "User does not exist");
    say(&mut two, "login ada pw-of-ada", "User does not exist");
    world.mesh.heal();
    until(&mut one, "login ben pw-of-ben", "ben is known to tracker 1", |r| r.ok());
    until(&mut two, "login ada pw-of-ada", "ada is known to tracker 2", |r| r.ok());
}

/// The tracker that took what the device wrote last cannot tell the others.
#[test]
fn a_revocation_notes_what_a_parted_tracker_acknowledged() {
    let mut world = Parted::with_trackers(2);
    let mut desk = world.client("desk", &[1, 2]);
    let mut laptop = world.client("laptop", &[2]);
    let mut ada = world.client("ada", &[2]);
    say(&mut desk, "create_user ben pw-of-ben", "User created!");
    say(&mut desk, "login ben pw-of-ben", "Logged in successfully");
    until(&mut laptop, "login ben pw-of-ben", "ben is known to tracker 2", |r| r.ok());
    say(&mut ada, "create_user ada pw-of-ada", "User created!");
    say(&mut ada, "login ada pw-of-ada", "Logged in successfully");
    say(&mut laptop, "create_group attic", "Group created successfully");
    until(&mut desk, "list_groups", "tracker 1 knows the group", |r| r.column("group") == ["attic"]);
    let devices = desk.must("list_devices").unwrap();
    let other = devices.items().iter().find(|device| device["this"] == false).unwrap();
    let revoke = format!("revoke_device {} pw-of-ben", other["tag"].as_str().unwrap());

    world.mesh.part(&[1]);
    say(&mut ada, "join_group attic", "Join request sent");
    say(&mut laptop, "accept_request attic ada", "User accepted");
    // While the tracker that has it is away nobody can know.
    world.mesh.tracker(2).kill();
    let reply = desk.ask(&revoke).unwrap();
    let text = reply.text();
    assert!(text.starts_with("Cannot see all that this device wrote: "), "{}", reply.json);
    assert!(reply.json.to_string().contains("--force"), "{}", reply.json);
    world.mesh.tracker(2).restart().unwrap();
    say(&mut desk, &revoke, "Device removed");
    world.mesh.heal();
    until(&mut desk, "list_members attic", "what the laptop did last counts", |r| {
        r.column("user") == ["ben", "ada"]
    });
}

/// A stolen device can be put out although a tracker is away; what only that one acknowledged is the price.
#[test]
fn a_stolen_device_is_revoked_although_a_tracker_is_away() {
    let mut world = Parted::with_trackers(2);
    let mut desk = world.client("desk", &[1, 2]);
    let mut laptop = world.client("laptop", &[1, 2]);
    say(&mut desk, "create_user ben pw-of-ben", "User created!");
    say(&mut desk, "login ben pw-of-ben", "Logged in successfully");
    say(&mut laptop, "login ben pw-of-ben", "Logged in successfully");
    let devices = desk.must("list_devices").unwrap();
    let other = devices.items().iter().find(|device| device["this"] == false).unwrap();
    let revoke = format!("revoke_device {} pw-of-ben", other["tag"].as_str().unwrap());
    world.mesh.tracker(2).kill();
    let reply = desk.ask(&revoke).unwrap();
    assert!(reply.text().starts_with("Cannot see all that this device wrote: "), "{}", reply.json);
    say(&mut desk, &format!("{revoke} --force"), "Device removed");
    until(&mut laptop, "list_groups", "the laptop is put out", |r| !r.ok());
}

/// A tracker acknowledged it alone, its disk died, and meanwhile its author was put out of the group: nobody will ever
/// take it, and it is not sent for ever.
#[test]
fn what_a_lost_disk_acknowledged_and_all_refuse_is_given_up() {
    let mut world = Parted::with_trackers(2);
    let mut ben = world.client("ben", &[2]);
    let mut ada = world.client("ada", &[1, 2]);
    say(&mut ben, "create_user ben pw-of-ben", "User created!");
    say(&mut ben, "login ben pw-of-ben", "Logged in successfully");
    say(&mut ben, "create_group lab", "Group created successfully");
    say(&mut ada, "create_user ada pw-of-ada", "User created!");
    say(&mut ada, "login ada pw-of-ada", "Logged in successfully");
    until(&mut ada, "join_group lab", "tracker 1 knows the group", |r| r.ok());
    until(&mut ben, "accept_request lab ada", "tracker 2 knows the request", |r| r.ok());
    let notes = world.file("notes.txt", b"seen by tracker 1 only");
    until(&mut ada, "list_members lab", "tracker 1 knows the answer", |r| r.column("user") == ["ben", "ada"]);

    world.mesh.part(&[1]);
    say(&mut ada, &format!("upload_file {} lab", arg(&notes)), "File shared successfully");
    say(&mut ben, "kick lab ada", "User removed");
    world.mesh.tracker(1).kill();
    std::fs::remove_dir_all(world.path("tracker-1")).unwrap();
    world.mesh.tracker(1).restart().unwrap();
    world.mesh.heal();
    told(&ada, "a tracker acknowledged `upload_file notes.txt` and lost it, and all trackers refuse it now");
    let said = ada.stderr();
    let kept = said.split('`').find(|part| part.ends_with("outbox.refused")).unwrap();
    assert!(std::fs::metadata(kept).unwrap().len() > 100, "{said}");
    // Nothing waits any more, and it is said once.
    until(&mut ada, "whoami", "nothing waits", |_| {
        !std::path::Path::new(kept).with_file_name("outbox").exists()
    });
    assert_eq!(ada.stderr().matches("a tracker acknowledged").count(), 1, "{}", ada.stderr());
}
