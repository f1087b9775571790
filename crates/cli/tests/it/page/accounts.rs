//! Ways into an account: the recovery code, and the code that some trackers ask newcomers for.

use std::fs;
use std::path::Path;

use peerage_drive::Tracker;

use super::no_browser;
use super::person::Person;
use crate::world::{PROGRAM, World};

/// Ana makes a code, loses her password, and comes back with a new one.
#[test]
fn a_recovery_code_sets_a_new_password() {
    if no_browser() {
        return;
    }
    let world = World::with_trackers(1);
    let ana = Person::new(&world, "ana");
    ana.register();
    ana.press("Settings");
    ana.press("New recovery code");
    ana.fill("Password", "not-her-password");
    ana.press("Make a code");
    ana.see("Wrong password");
    ana.fill("Password", "long-password-of-ana");
    ana.press("Make a code");
    ana.see("Write it down and keep it where nobody else looks.");
    ana.pictures("recovery-code");
    let code = ana.script("return document.querySelector('dialog .secret code').textContent");
    let code = code.as_str().unwrap();
    assert!(code.split('-').count() == 8 && code.split('-').all(|part| part.len() == 4), "{code}");
    ana.press("I have it");
    assert!(!ana.text().contains(code), "it is shown once");
    ana.press("Log out");

    ana.see("Welcome");
    ana.fill("User name", "ana");
    ana.press("Forgot your password?");
    let name = ana.script("return document.querySelector('dialog input').value");
    assert_eq!(name, "ana", "what was typed already is taken over");
    // Of the right form, and another one.
    let other: String = code.chars().map(|c| if c == '-' { c } else { 'a' }).collect();
    ana.fill("Recovery code", &other);
    ana.fill("New password", "a-better-password");
    ana.press("Set the password");
    ana.see("This is not a recovery code");
    ana.find("Set the password", "button");
    ana.pictures("recover");
    ana.fill("Recovery code", code);
    ana.press("Set the password");
    ana.see("Password changed");
    ana.fill("Password", "long-password-of-ana");
    ana.press("Log in");
    ana.see("Wrong password");
    ana.fill("Password", "a-better-password");
    ana.press("Log in");
    ana.see("Account id");
    ana.nothing_went_wrong();
}

/// The field for the code comes when the trackers ask for one, and not before.
#[test]
fn a_registration_code_is_asked_for() {
    if no_browser() {
        return;
    }
    let mut world = World::with_trackers(1);
    world.trackers[0].kill();
    let code = world.path("code.txt");
    fs::write(&code, "open-sesame\n").unwrap();
    let more = ["--registration-code", code.to_str().unwrap()];
    let data = world.path("tracker-1");
    world.trackers[0] = Tracker::start_with(Path::new(PROGRAM), &world.list, 1, &data, &more).unwrap();
    let ana = Person::new(&world, "ana");
    ana.fill("User name", "ana");
    ana.fill("Password", "long-password-of-ana");
    assert!(!ana.text().contains("Registration code"), "{}", ana.text());
    ana.press("Create account");
    ana.see("these trackers take new accounts only with a registration code");
    ana.fill("Registration code", "sesame");
    ana.press("Create account");
    ana.see("this registration code is not the one of these trackers");
    ana.pictures("registration-code");
    ana.fill("Registration code", "open-sesame");
    ana.press("Create account");
    ana.see("No groups at this time");
    ana.nothing_went_wrong();
}
