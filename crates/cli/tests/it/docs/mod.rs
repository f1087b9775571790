//! What the documentation tells people to type, run as it stands. `text` says how blocks are marked.

mod stage;
mod text;

use std::fs;
use std::path::Path;

use expect_test::expect_file;
use peerage_local::command::SPECS;

use self::stage::Stage;
use self::text::{How, blocks, steps};
use crate::world::assert_same;

/// The file that goes to the other side.
const MOVIE_BYTES: usize = 100 << 20;
/// The story may have so many commands.
const STORY_COMMANDS_MAX: usize = 8;
/// Texts of which each block is run by a test below.
const RUN: [&str; 4] = ["README.md", "docs/guide.md", "docs/api.md", "docs/operators.md"];
/// Blocks that may say why they are not run.
const NOT_RUN_MAX: usize = 3;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"))
}

#[test]
fn every_block_is_run_or_says_why_not() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs =
        docs.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".md"));
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned);
    let mut not_run = 0;
    for name in docs.chain(top) {
        for block in blocks(&read(&name)) {
            match (&*block.language, block.person, block.not_run) {
                ("sh" | "console" | "text", Some(_), None) => {
                    assert!(RUN.contains(&&*name), "{name} is run by no test");
                }
                ("sh" | "console" | "text", None, Some(_)) => not_run += 1,
                // Data and pictures. ARCHITECTURE.md draws with fences of no language.
                ("json", None, None) => {}
                ("", None, None) if name == "ARCHITECTURE.md" => {}
                (language, person, _) => {
                    panic!(
                        "{name}: a block of `{language}` says neither who runs it ({person:?}) nor why nobody does"
                    )
                }
            }
        }
    }
    assert!(not_run <= NOT_RUN_MAX, "{not_run} blocks are not run");
}

/// The guide, and then the API's page, which begins where the guide ends.
#[test]
fn the_guide_works_as_it_stands() {
    let (guide, api) = (read("docs/guide.md"), read("docs/api.md"));
    let mut stage = Stage::new(&["ana", "ben"], &guide);
    let movie = stage.file("ana", "movie.bin");
    let mut content = vec![0; MOVIE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    fs::write(&movie, content).unwrap();
    let more = ["notes.txt", "song.flac"];
    for name in more {
        fs::write(stage.file("ana", name), name).unwrap();
    }

    let (before, story) = guide.split_once("## Five minutes").unwrap();
    let (story, after) = story.split_once("\n## ").unwrap();
    assert!(steps(before).is_empty());
    let story = steps(story);
    assert!((1..=STORY_COMMANDS_MAX).contains(&story.len()), "{} commands", story.len());
    let mut said: Option<String> = None;
    for step in &story {
        let words: Vec<&str> = step.command.split(' ').take(2).collect();
        if let Some(said) = said {
            assert!(said.contains(&words.join(" ")), "nothing led to `{}`:\n{said}", step.command);
        }
        said = Some(stage.run(step));
    }
    assert_same(&movie, &stage.file("ben", "movie.bin"));
    for rest in [after, &api] {
        let rest = steps(rest);
        assert!(!rest.is_empty());
        for step in &rest {
            stage.run(step);
        }
    }
    for name in more {
        assert_same(&stage.file("ana", name), &stage.file("ben", name));
    }
}

#[test]
fn the_readme_works_as_it_stands() {
    let readme = read("README.md");
    let mut stage = Stage::together(&["tracker", "ada", "ben"], &readme);
    let shared = stage.file("ada", "README.md");
    fs::write(&shared, &readme).unwrap();
    let steps = steps(&readme);
    assert!(
        steps.iter().any(|step| step.how == How::Typed) && steps.iter().any(|step| step.how == How::Script)
    );
    for step in &steps {
        stage.run(step);
    }
    stage.close_shells();
    assert_same(&shared, &stage.tmp("README.md"));
}

#[test]
fn running_trackers_works_as_it_stands() {
    let text = read("docs/operators.md");
    let mut stage = Stage::new(&["operator", "other"], &text);
    let steps = steps(&text);
    for part in ["key export", "status", "check", "backup", "restore", "drill"] {
        assert!(steps.iter().any(|step| step.command.contains(part)), "`{part}` is not run");
    }
    for step in &steps {
        stage.run(step);
    }
    let keyring = |person: &str| stage.file(person, "tracker_info.txt.keyring");
    assert!(keyring("other").exists() && keyring("operator").exists());
}

#[test]
fn every_command_is_listed() {
    let mut text = "# Every command\n\nIn the shell as they stand; outside it with `peerage` before them, and passwords asked for. \
                    Made from the program's table: `UPDATE_EXPECT=1 cargo test -p peerage-cli every_command`.\n\n\
                    | command | what it does |\n|---|---|\n"
        .to_owned();
    for spec in SPECS {
        let usage = format!("{} {}", spec.name, spec.usage).trim_end().replace('|', "\\|");
        text.push_str(&format!("| `{usage}` | {} |\n", spec.summary));
    }
    expect_file!["../../../../../docs/commands.md"].assert_eq(&text);
}
