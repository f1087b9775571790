//! Trackers that cannot see each other for a while.

use peerage_drive::{Client, ClientOptions, Mesh, free_addresses};
use tempfile::TempDir;

use crate::world::{PROGRAM, say, until};

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
