//! The page in a real browser.

mod accounts;
mod person;
mod trouble;
mod views;

use std::fs;

use peerage_drive::browser::Browser;
use serde_json::json;

use self::person::{Person, until};
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

/// Ana and Ben, with accounts, each before a browser of their own.
fn two_people(world: &World) -> (Person, Person) {
    let (ana, ben) = (Person::new(world, "ana"), Person::new(world, "ben"));
    ana.register();
    ben.register();
    (ana, ben)
}

/// From accounts to the finished download, with names full of markup.
#[test]
fn from_account_to_finished_download() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let (ana, ben) = two_people(&world);
    ana.press("New group");
    ana.fill("Name of the group", "<b>lab</b>");
    ana.press("Create group");
    ana.see("`<b>lab</b>` is not a valid name");
    ana.pictures("refused");
    ana.fill("Name of the group", "lab");
    ana.press("Create group");
    ana.see("No files in the group at this time");

    // Somebody asks, and is seen to ask without any reload.
    ben.browser.reload().unwrap();
    ben.press("Ask to join lab");
    ben.see("asked to join");
    ana.see("Requests (1)");
    ana.press("Requests (1)");
    ana.pictures("requests");
    ana.press("Accept ben");
    ana.see("No join requests at this time");
    ben.see("You are a member of lab now");
    ben.press("lab");
    ben.see("No files in the group at this time");

    // Shared by leading through folders; it appears on the other side by itself.
    let film = world.folder("home/films");
    fs::rename(world.file("film", 3_000_000), film.join(MARKUP)).unwrap();
    ana.press("Files");
    ana.press("Share");
    ana.press("films folder");
    ana.see(MARKUP);
    ana.pictures("share");
    ana.press(&format!("{MARKUP} 2.86 MiB"));
    ana.press("Share");
    ana.see("Shared. Members fetch it from this machine.");
    ana.see("only you are online");
    ben.see(MARKUP);
    ben.pictures("files");
    // Everything is reached with the keyboard alone, in the order in which it is seen.
    assert_eq!(
        ben.tab_order(),
        [
            "Skip to content",
            "Peerage",
            "Groups",
            "Downloads",
            "Notices 1",
            "Settings",
            "Log out",
            "Groups",
            "Leave",
            "Invite",
            "Share",
            "Files",
            "Members (2)",
            "Find a file",
            "Order",
            &format!("Download {MARKUP}"),
        ]
    );
    ben.press(&format!("Download {MARKUP}"));
    ben.fill("Download to", world.folder("got").to_str().unwrap());
    ben.pictures("download-start");
    ben.press("Start");
    ben.go("#/downloads");
    ben.see("from ana");
    assert_same(&film.join(MARKUP), &world.path("got").join(MARKUP));
    ben.pictures("downloads");
    ben.press(MARKUP);
    ben.see("from ana");
    ben.pictures("download");
    ben.press("Remove from the list");
    ben.see("No downloads at this time");
    ben.go("#/notices");
    ben.see("is complete");
    ben.pictures("notices");

    // Roles, the invite, and what ends.
    ana.go("#/group/lab/members");
    ana.press("Manage ben");
    ana.pictures("member");
    ana.press("Make admin");
    ana.see("admin");
    ben.see("You are an admin of lab now");
    ana.pictures("members");
    ana.press("Invite");
    ana.find("The same line as a picture for a camera", "svg");
    ana.press("Make the line");
    ana.see("Whoever has this line comes straight in");
    ana.see("0 of 1 person in");
    ana.pictures("invite");
    let line = ana.script("return document.querySelector('dialog textarea').value");
    assert!(line.as_str().unwrap().starts_with("peerage:"), "{line}");
    ana.press("Withdraw the invite of ana");
    ana.see("withdrawn");
    ana.press("Close");
    ana.press("Settings");
    ana.see("Peers connect to");
    ana.press("Change the limits of everything together");
    ana.fill("Send at most, MiB/s", "2.5");
    ana.pictures("limits");
    ana.press("Save");
    ana.see("Receiving without a limit · sending at most 2.50 MiB/s");
    ana.pictures("settings");
    for person in [&ana, &ben] {
        let title = person.script("return document.title");
        assert!(title.as_str().unwrap().ends_with("Peerage"), "{title}");
        person.nothing_went_wrong();
    }
}

/// The scan for what somebody cannot read, reach or be told finds what is planted.
#[test]
fn the_scan_finds_faults() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let ana = Person::new(&world, "ana");
    ana.find("User name", "input");
    let faults = |plant: &str| {
        ana.script(plant);
        let found = ana.script(include_str!("audit.js"));
        ana.browser.reload().unwrap();
        ana.find("User name", "input");
        found["faults"].to_string()
    };
    assert_eq!(faults(""), "[]");
    for (plant, fault) in [
        ("document.querySelector('main p').style.color = 'rgb(150, 150, 150)'", "contrast 2."),
        ("document.querySelector('input').style.borderColor = 'rgb(230, 230, 230)'", "the edge of a field"),
        ("document.querySelector('h1').outerHTML = '<h3>Welcome</h3>'", "a heading of level 3"),
        ("document.querySelector('main button').style.outline = 'none'", "the focus is not seen"),
        ("document.querySelector('main button').style.cssText = 'height: 9px; min-height: 0'", "large"),
        ("document.documentElement.removeAttribute('lang')", "no language"),
        ("document.querySelector('.bar').ariaHidden = 'true'", "hidden from screen readers"),
    ] {
        let found = faults(plant);
        assert!(found.contains(fault), "{plant}: {found}");
    }
}

/// A dropped file is found in the home folder, and shared where it lies.
#[test]
fn a_dropped_file_is_shared_where_it_lies() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let ana = Person::new(&world, "ana");
    ana.pictures("account");
    ana.fill("User name", "ana");
    ana.fill("Password", "long-password");
    ana.press("Create account");
    ana.press("New group");
    ana.fill("Name of the group", "lab");
    ana.press("Create group");
    ana.see("No files in the group at this time");
    let deep = world.folder("home/some/where");
    fs::rename(world.file("dropped.bin", 5_000), deep.join("dropped.bin")).unwrap();
    let modified = fs::metadata(deep.join("dropped.bin")).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    // What a browser makes of a file that is dropped: name, size and time, and no path.
    ana.browser
        .script(
            "const data = new DataTransfer();
             data.items.add(new File([new Uint8Array(5000)], 'dropped.bin', { lastModified: arguments[0] }));
             const event = (kind) => new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
             document.body.dispatchEvent(event('dragover'));
             document.body.dispatchEvent(event('drop'));",
            &[json!(u64::try_from(modified).unwrap())],
        )
        .unwrap();
    let place = deep.join("dropped.bin");
    ana.see(place.to_str().unwrap());
    ana.pictures("dropped");
    ana.press(&format!("Share {}", place.display()));
    ana.see("only you are online");
    let files = ana.node.call(&["list_files", "lab"], "");
    assert_eq!(String::from_utf8(files.stdout).unwrap(), "dropped.bin\n");
    ana.nothing_went_wrong();
    assert!(until(|| ana.text().contains("1 file")));
}

/// Of a folder some files are chosen; a slow download is watched, paused, resumed and cancelled.
#[test]
fn a_slow_download_is_watched() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let (ana, ben) = two_people(&world);
    ana.node.must(&["create_group", "lab"], "");
    ben.node.must(&["join_group", "lab"], "");
    ana.node.must(&["accept_request", "lab", "ben"], "");
    ana.node.must(&["set_limits", "--up", "1M"], "");
    let album = world.folder("home/album");
    let live = world.folder("home/album/live");
    fs::rename(world.file("one.bin", 60_000_000), live.join("one.bin")).unwrap();
    fs::rename(world.file("two.bin", 4_000_000), live.join("two.bin")).unwrap();
    fs::rename(world.file("three.bin", 2_000_000), album.join("three.bin")).unwrap();
    ana.node.must(&["share", album.to_str().unwrap(), "lab"], "");

    let got = world.folder("got");
    ben.go("#/group/lab/files");
    ben.press("Download album");
    ben.see("live/two.bin");
    ben.fill("Find in this folder", "two");
    ben.press("None of these");
    ben.see("2 files of 3, 59.1 MiB");
    ben.fill("Find in this folder", "b");
    ben.fill("Download to", got.to_str().unwrap());
    ben.pictures("choose");
    ben.press("Start");
    ben.go("#/downloads");
    ben.press("album");
    ben.see("from 1 peer, 2 of 3 files");
    // What comes first, last and not at all, seen from both sides.
    ben.choose("Order of three.bin", "First");
    ben.see_in_terminal(&["list_folder", "lab", "album"], "three.bin", "high");
    ben.choose("Order of live/two.bin", "Last");
    ben.see_in_terminal(&["list_folder", "lab", "album"], "live/two.bin", "low");
    ben.choose("Order of live/two.bin", "Leave out");
    ben.see("1 of all left out");
    let moments = "return (document.querySelector('.curve').getAttribute('d') ?? '').split('L').length";
    assert!(until(|| ben.script(moments).as_u64() > Some(6)), "the graph does not grow");
    let missing = "return document.querySelectorAll('.pieces .none[d*=M]').length + document.querySelectorAll('.pieces .all[d*=M]').length";
    assert!(until(|| ben.script(missing) == json!(2)), "the map shows both what is here and what is missing");
    ben.pictures("download-running");
    ben.press("Pause album");
    ben.see("Paused");
    ben.press("Resume album");
    ben.see("from 1 peer");
    ben.press("Cancel");
    ben.press("Cancel the download");
    ben.see("No downloads at this time");
    assert!(until(|| fs::read_dir(&got).unwrap().next().is_none()), "something of it is left");
    ben.nothing_went_wrong();
}
