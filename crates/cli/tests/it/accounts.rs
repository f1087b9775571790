//! One person: several devices, a new password, a lost one, and a name that somebody else had first.

use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use peerage_drive::Client;

use crate::partition::Parted;
use crate::world::{PATIENCE, World, arg, assert_same, say, until};

const FILM_BYTES: usize = 192 * 1024 * 1024;

/// Waits until the shell has said this on standard error by itself.
#[track_caller]
pub fn told(client: &Client, text: &str) {
    let started = Instant::now();
    let (_never, pause) = channel::<()>();
    while !client.stderr().contains(text) {
        assert!(started.elapsed() < PATIENCE, "`{text}` was never said:\n{}", client.stderr());
        let _timed_out = pause.recv_timeout(Duration::from_millis(20));
    }
}

fn hint(reply: &peerage_drive::Reply) -> String {
    reply.json["hint"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_name_that_two_people_took_has_one_holder_and_both_go_on() {
    let world = Parted::with_trackers(2);
    let (mut one, mut two) = (world.client("one", &[1]), world.client("two", &[2]));
    world.mesh.part(&[1]);
    for (client, password) in [(&mut one, "password-of-one"), (&mut two, "password-of-two")] {
        say(client, &format!("create_user ada {password}"), "User created!");
        say(client, &format!("login ada {password}"), "Logged in successfully");
        say(client, "whoami", "ada");
    }
    world.mesh.heal();
    // The later one is told at once, the other one is not bothered.
    told(&two, "another account claimed `ada` first; you are now `ada#");
    let me = two.must("whoami").unwrap();
    let tagged = me.text().to_owned();
    assert!(tagged.starts_with("ada#") && hint(&me).contains("claim_name"), "{}", me.json);
    assert!(me.items()[0]["notes"][0].as_str().unwrap().contains(&tagged), "{}", me.json);
    assert!(one.must("whoami").unwrap().text() == "ada" && !one.stderr().contains("another account claimed"));

    // Whoever knows the password learns what it is called now: where it was made, and anywhere else.
    say(&mut two, "logout", "Logged out successfully");
    let mut elsewhere = world.client("elsewhere", &[1]);
    for client in [&mut two, &mut elsewhere] {
        let reply = client.ask("login ada password-of-two").unwrap();
        let text = reply.text();
        assert!(text.starts_with("The name `ada` belongs to another account since 20"), "{}", reply.json);
        assert!(text.ends_with(&format!("yours is `{tagged}` now")) && hint(&reply).contains(&tagged));
        // Neither's password: on the machine that knows the name for the other account that is what it says.
        let reply = client.ask("login ada password-of-three").unwrap();
        assert!(!reply.ok() && reply.json.to_string().contains(&tagged), "{}", reply.json);
    }
    until(&mut elsewhere, &format!("login {tagged} password-of-two"), "the account is there", |r| r.ok());
    let reply = say(&mut two, &format!("login {tagged} password-of-two"), "Logged in successfully");
    assert!(hint(&reply).contains("another account claimed `ada` first"), "{}", reply.json);

    // They can work together.
    say(&mut one, "create_group lab", "Group created successfully");
    until(&mut two, "join_group lab", "the group is known to tracker 2", |r| r.ok());
    until(&mut one, "list_requests lab", "the request is seen", |r| r.column("user") == [tagged.as_str()]);
    say(&mut one, &format!("accept_request lab {tagged}"), "User accepted");
    let note = world.path("note.bin");
    std::fs::write(&note, vec![7; 300_000]).unwrap();
    say(&mut one, &format!("upload_file {} lab", arg(&note)), "File shared successfully");
    until(&mut two, "list_files lab", "the file is listed", |r| !r.items().is_empty());
    let copy = world.path("copy.bin");
    until(&mut two, &format!("download_file lab note.bin {}", arg(&copy)), "somebody shares", |r| r.ok());
    two.must("wait lab note.bin --timeout 60").unwrap();
    assert_same(&note, &copy);

    // And the second one can have another name of its own.
    say(&mut two, "claim_name ada password-of-two", "This name is taken");
    say(&mut two, "claim_name Lovelace wrong-password", "Wrong password");
    say(&mut two, "claim_name Lovelace password-of-two", "Name claimed");
    say(&mut two, "whoami", "Lovelace");
    until(&mut one, "list_members lab", "the new name is seen", |r| r.column("user") == ["ada", "Lovelace"]);
    say(&mut two, "logout", "Logged out successfully");
    say(&mut two, "login lovelace password-of-two", "Logged in successfully");
}

#[test]
fn a_new_password_counts_on_every_tracker() {
    let mut world = World::with_trackers(2);
    let mut ada = world.member("ada");
    let mut laptop = world.client("laptop");
    say(&mut laptop, "login ada pw-ada", "Logged in successfully");
    world.trackers[1].kill();
    say(&mut ada, "change_password wrong-one a-new-password", "Wrong password");
    let weak = say(&mut ada, "change_password pw-ada short", "Password changed");
    assert!(hint(&weak).contains("shorter than 8 characters"), "{}", weak.json);
    let strong = say(&mut ada, "change_password short a-new-password", "Password changed");
    assert_eq!(hint(&strong), "");
    told(&laptop, "the password of this account was changed on another device");

    // Through the tracker that was down.
    world.trackers[1].restart().unwrap();
    let mut options = world.options("observer");
    options.list = world.list_of(2);
    let mut observer = Client::start("observer", &options).unwrap();
    until(&mut observer, "login ada a-new-password", "the change has arrived", |r| r.ok());
    say(&mut observer, "logout", "Logged out successfully");
    world.trackers[0].kill();
    for old in ["pw-ada", "short"] {
        say(&mut observer, &format!("login ada {old}"), "Wrong password");
    }
    // The key on the laptop's disk does not hang on the password.
    say(&mut laptop, "create_group lab", "Group created successfully");
    let devices = laptop.must("list_devices").unwrap().items().len();
    say(&mut laptop, "logout", "Logged out successfully");
    say(&mut laptop, "login ada a-new-password", "Logged in successfully");
    assert_eq!(laptop.must("list_devices").unwrap().items().len(), devices);
}

#[test]
fn of_two_password_changes_at_once_the_first_counts() {
    let world = Parted::with_trackers(2);
    let mut desk = world.client("desk", &[1]);
    let mut laptop = world.client("laptop", &[2]);
    say(&mut desk, "create_user ada first-password", "User created!");
    say(&mut desk, "login ada first-password", "Logged in successfully");
    until(&mut laptop, "login ada first-password", "the account is known to tracker 2", |r| r.ok());
    world.mesh.part(&[1]);
    say(&mut desk, "change_password first-password desk-password", "Password changed");
    say(&mut laptop, "change_password first-password laptop-password", "Password changed");
    world.mesh.heal();
    told(&laptop, "password change superseded");
    let me = laptop.must("whoami").unwrap();
    assert!(hint(&me).contains("password change superseded"), "{}", me.json);
    say(&mut laptop, "logout", "Logged out successfully");
    say(
        &mut laptop,
        "login ada laptop-password",
        "Password change superseded: another device changed the password first",
    );
    let reply = say(&mut laptop, "login ada desk-password", "Logged in successfully");
    assert!(hint(&reply).contains("password change superseded"), "{}", reply.json);
    // Said once.
    say(&mut laptop, "logout", "Logged out successfully");
    let reply = say(&mut laptop, "login ada desk-password", "Logged in successfully");
    assert_eq!(hint(&reply), "");
    assert!(!desk.stderr().contains("superseded"), "{}", desk.stderr());
}

#[test]
fn a_device_that_is_removed_while_it_downloads_gets_nothing_more() {
    let mut world = World::with_trackers(2);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let mut laptop = world.client("laptop");
    say(&mut laptop, "login ben pw-ben", "Logged in successfully");
    told(&ben, "a new device logged in");
    let devices = ben.must("list_devices").unwrap();
    assert_eq!(devices.items().len(), 2, "{}", devices.json);
    let of = |this: bool| {
        let device = devices.items().iter().find(|d| d["this"] == this).unwrap();
        assert!(device["since_unix_ms"].as_u64() > Some(1_700_000_000_000), "{device}");
        device["tag"].as_str().unwrap().to_owned()
    };
    say(&mut ben, &format!("revoke_device {} pw-ben", of(true)), "This is the device you are using");
    say(&mut ben, "revoke_device nothing pw-ben", "No such device");
    let remove = format!("revoke_device {}", &of(false)[..6]);
    say(&mut ben, &format!("{remove} wrong-one"), "Wrong password");

    // What it did before stays: ben's laptop owns a group with a member.
    say(&mut laptop, "create_group attic", "Group created successfully");
    until(&mut ada, "join_group attic", "the group is known", |r| r.ok());
    until(&mut laptop, "accept_request attic ada", "the request is known", |r| r.ok());

    let film = world.file("film.bin", FILM_BYTES);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    let to = world.folder("to");
    until(&mut laptop, &format!("download_file lab film.bin {}", arg(&to)), "the film is shared", |r| r.ok());
    let connected = |r: &peerage_drive::Reply| r.items().iter().any(|peer| peer["connected"] == true);
    until(&mut ada, "list_peers lab film.bin", "the laptop is connected", connected);
    signal("STOP", &laptop);
    say(&mut ben, &format!("{remove} pw-ben"), "Device removed");
    until(&mut ada, "list_peers lab film.bin", "the laptop is put out", |r| !connected(r));
    signal("CONT", &laptop);
    told(&laptop, "this device was removed from the account ben");
    say(&mut laptop, "list_files lab", "Please login first");
    assert!(!to.join("film.bin").exists(), "all of it was served");

    let devices = ben.must("list_devices").unwrap();
    let removed = devices.items().iter().filter(|d| d["removed"] == true);
    assert_eq!(removed.map(|d| d["tag"].as_str().unwrap()).collect::<Vec<_>>(), [of(false)]);
    say(&mut ben, &format!("{remove} pw-ben"), "This device was removed before");
    until(&mut ben, "list_members attic", "what the laptop did counts", |r| {
        r.column("user") == ["ben", "ada"]
    });
    // Logging in again makes it a new device, which may go on.
    say(&mut laptop, "login ben pw-ben", "Logged in successfully");
    laptop.must("wait lab film.bin --timeout 120").unwrap();
    assert_same(&film, &to.join("film.bin"));
    assert_eq!(ben.must("list_devices").unwrap().items().len(), 3);
}

fn signal(name: &str, client: &Client) {
    let status = Command::new("kill").args([format!("-{name}"), client.pid().to_string()]).status().unwrap();
    assert!(status.success(), "SIG{name}");
}

#[test]
fn a_recovery_code_opens_an_account_whose_password_is_lost() {
    let mut world = World::with_trackers(2);
    let mut ada = world.member("ada");
    say(&mut ada, "create_group lab", "Group created successfully");
    let mut fresh = world.client("fresh");
    let any = "7777-7777-7777-7777-7777-7777-7777-7777";
    let reply = fresh.ask(&format!("recover ada {any} new-password")).unwrap();
    assert!(reply.text().starts_with("This is not a recovery code: a letter or digit"), "{}", reply.json);
    say(&mut ada, "recovery_code wrong-one", "Wrong password");
    let mut code = || {
        let reply = say(&mut ada, "recovery_code pw-ada", "Recovery code created");
        reply.items()[0]["code"].as_str().unwrap().to_owned()
    };
    let (old, new) = (code(), code());
    assert!(old.len() == 39 && old != new, "{old}");

    say(&mut fresh, &format!("recover nobody {new} new-password"), "User does not exist");
    until(&mut fresh, &format!("recover ada {old} new-password"), "the code is known", |r| {
        r.text() == "Wrong recovery code"
    });
    let slip = new.replace(|c: char| c != '-', "7");
    assert!(!fresh.ask(&format!("recover ada {slip} new-password")).unwrap().ok());
    let sloppy = new.to_lowercase().replace('0', "o");
    say(&mut fresh, &format!("recover ADA {sloppy} new-password"), "Password changed");
    say(&mut fresh, "login ada pw-ada", "Wrong password");
    say(&mut fresh, "login ada new-password", "Logged in successfully");
    until(&mut fresh, "list_members lab", "it is the same account", |r| r.column("user") == ["ada"]);
    told(&ada, "the password of this account was changed on another device");

    say(&mut ada, "create_user ben bens-password", "User created!");
    say(&mut ada, &format!("recover ben {new} x-password"), "This account has no recovery code");
}
