//! Members whom nobody can connect to.

use peerage_drive::{Client, free_addresses};

use crate::world::{World, arg, assert_same, say};

#[test]
fn a_sharer_behind_a_closed_port_is_asked_to_dial() {
    let mut world = World::with_trackers(1);
    let (mut owner, []) = world.group("ada", []);
    // Where bob says he is, nobody listens.
    let nowhere = free_addresses(1).unwrap()[0].to_string();
    let mut bob = Client::start_with("bob", &world.options("bob"), &["--announce", &nowhere]).unwrap();
    say(&mut bob, "create_user bob pw-bob", "User created!");
    say(&mut bob, "login bob pw-bob", "Logged in successfully");
    say(&mut bob, "join_group lab", "Join request sent");
    say(&mut owner, "accept_request lab bob", "User accepted");
    let file = world.file("song.bin", 3_000_000);
    bob.must(&format!("upload_file {} lab", arg(&file))).unwrap();
    let folder = world.folder("copies");
    owner.must(&format!("download_file lab song.bin {}", arg(&folder))).unwrap();
    owner.must("wait lab song.bin --timeout 60").unwrap();
    assert_same(&file, &folder.join("song.bin"));
}
