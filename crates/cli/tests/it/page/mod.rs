//! The page in a real browser.

mod person;

use peerage_drive::browser::Browser;

use self::person::Person;
use crate::world::{World, assert_same};

/// Says so when there is no browser on this machine.
fn no_browser() -> bool {
    let missing = !Browser::is_installed();
    if missing {
        println!("skipped: chromedriver is not here; nothing was checked");
    }
    missing
}

/// Markup in every place where a name can stand.
const MARKUP: &str = "<img src=x onerror=\"document.title='broken'\"><b>&amp;'\"`${1}.bin";

/// Two people, two browsers: from accounts to the finished download.
#[test]
fn from_account_to_finished_download() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let (ana, ben) = (Person::new(&world, "ana"), Person::new(&world, "ben"));
    for person in [&ana, &ben] {
        person.fill("User name", person.name);
        person.fill("Password", &format!("long-password-of-{}", person.name));
        if person.name == "ana" {
            person.pictures("account");
        }
        person.press("Create account");
        person.see("No groups at this time");
    }
    ana.fill("New group", "<b>lab</b>");
    ana.press("Create group");
    ana.see("`<b>lab</b>` is not a valid name");
    ana.fill("New group", "lab");
    ana.press("Create group");
    ana.see("No files in the group at this time");

    let file = world.file(MARKUP, 3_000_000);
    ana.fill("Path of a file on this machine", file.to_str().unwrap());
    ana.press("Share");
    ana.see(MARKUP);

    ben.browser.reload().unwrap();
    ben.press("Ask to join");
    ben.see("asked to join");
    ana.go("#/group/lab/requests");
    ana.press("Accept ben");
    ben.go("#/group/lab");
    ben.see(MARKUP);
    ben.fill("Download to", world.folder("got").to_str().unwrap());
    ben.press(&format!("Download {MARKUP}"));
    ben.go("#/downloads");
    ben.see("complete");
    assert_same(&file, &world.path("got").join(MARKUP));
    ben.pictures("downloads");
    ana.pictures("members");
    for person in [&ana, &ben] {
        assert_eq!(person.script("return document.title"), "Peerage");
        person.nothing_went_wrong();
    }
}
