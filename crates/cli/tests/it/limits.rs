//! Rate limits: set, shown, kept.

use crate::world::{World, arg, assert_same, say, until};

#[test]
fn limits_are_shown_kept_and_held() {
    let mut world = World::with_trackers(1);
    let (mut ada, [mut ben]) = world.group("ada", ["ben"]);
    let film = world.file("film.bin", 6 * 1024 * 1024);
    say(&mut ada, &format!("upload_file {} lab", arg(&film)), "File shared successfully");
    until(&mut ben, "list_files lab", "the file is listed", |r| !r.items().is_empty());

    let refused = ben.ask("set_limits --down 5").unwrap();
    assert!(refused.text().starts_with("`--down 5` is too low: at least 16K"), "{}", refused.json);
    say(&mut ben, "set_limits nowhere --down 1M", "No such group");
    let set = say(&mut ben, "set_limits --down 1M", "Limits set");
    assert_eq!(set.items()[0]["down"], 1 << 20);
    say(&mut ben, "set_limits lab --up 2M --down 500K", "Limits set");
    say(&mut ben, "set_limits lab --down none", "Limits set");
    let options = world.options("ben");
    ben.kill();

    let mut ben = peerage_drive::Client::start("ben", &options).unwrap();
    say(&mut ben, "login ben pw-ben", "Logged in successfully");
    let shown = ben.must("show_limits").unwrap();
    assert_eq!(
        serde_json::to_string(shown.items()).unwrap(),
        r#"[{"down":1048576,"group":null,"up":null},{"down":null,"group":"lab","up":2097152}]"#
    );
    let to = world.folder("to");
    say(&mut ben, &format!("download_file lab film.bin {}", arg(&to)), "Download started");
    let started = std::time::Instant::now();
    until(&mut ben, "show_downloads", "a third has come", |r| {
        r.items()[0]["percent"].as_f64().is_some_and(|percent| percent > 33.0)
    });
    let seconds = started.elapsed().as_secs_f64();
    assert!(seconds > 1.4, "2 MiB came in {seconds} s, at 1 MiB/s");
    say(&mut ben, "set_limits --down none", "Limits set");
    ben.must("wait lab film.bin --timeout 60").unwrap();
    assert_same(&film, &to.join("film.bin"));
}
