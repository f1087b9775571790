//! Completion: commands, then groups, files of the group, and paths, as the command's arguments ask for.

use std::sync::Arc;

use peerage_node::client::Node;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use peerage_local::command::{Kind, SHORT_NAMES, SPECS, Spec, quote, split};

/// What the line editor asks while somebody types.
pub struct ShellHelper {
    names: Box<dyn Names>,
    paths: FilenameCompleter,
}

/// Where names come from: what is known without asking a tracker.
trait Names: Send + Sync {
    fn groups(&self) -> Vec<String>;
    fn files(&self, group: &str) -> Vec<String>;
    fn users(&self, group: &str) -> Vec<String>;
    fn devices(&self) -> Vec<String>;
}

impl Names for Arc<Node> {
    fn groups(&self) -> Vec<String> {
        self.known_groups()
    }

    fn files(&self, group: &str) -> Vec<String> {
        self.known_files(group)
    }

    fn users(&self, group: &str) -> Vec<String> {
        self.known_users(group)
    }

    fn devices(&self) -> Vec<String> {
        self.known_devices()
    }
}

impl ShellHelper {
    /// A helper that completes with what `node` knows.
    pub fn new(node: Arc<Node>) -> Self {
        Self { names: Box::new(node), paths: FilenameCompleter::new() }
    }
}

impl Completer for ShellHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..pos).unwrap_or(line);
        match candidates(self.names.as_ref(), typed) {
            Candidates::Words(start, words) => {
                let pair = |w: String| Pair { replacement: format!("{} ", quote(&w)), display: w };
                Ok((start, words.into_iter().map(pair).collect()))
            }
            Candidates::Path => {
                let (start, mut paths) = self.paths.complete_path(line, pos)?;
                // A folder may go on, a file is a whole word.
                if let [only] = paths.as_mut_slice()
                    && !only.replacement.ends_with(['/', '"', '\''])
                {
                    only.replacement.push(' ');
                }
                Ok((start, paths))
            }
        }
    }
}

impl Hinter for ShellHelper {
    type Hint = String;
}
impl Highlighter for ShellHelper {}
impl Validator for ShellHelper {}
impl Helper for ShellHelper {}

enum Candidates {
    /// Replace from this byte on by one of these.
    Words(usize, Vec<String>),
    /// The file system knows.
    Path,
}

fn candidates(names: &dyn Names, typed: &str) -> Candidates {
    let start = last_word_start(typed);
    let before = split(&typed[..start]).unwrap_or_default();
    let partial = typed[start..].trim_start_matches(['"', '\'']).replace('\\', "");
    let all = match before.split_first() {
        None => {
            let short = SHORT_NAMES.iter().map(|(short, _)| *short);
            SPECS.iter().map(|s| s.name).chain(short).map(str::to_owned).collect()
        }
        Some((command, args)) => {
            match Spec::of_word(command).and_then(|s| s.args.get(args.len())).map(|a| a.kind) {
                Some(Kind::Path) => return Candidates::Path,
                Some(Kind::Group) => names.groups(),
                Some(Kind::Device) => names.devices(),
                Some(Kind::Priority) => ["high", "normal", "low", "skip"].map(str::to_owned).to_vec(),
                Some(Kind::File) => args.first().map(|g| names.files(g)).unwrap_or_default(),
                Some(Kind::User) => args.first().map(|g| names.users(g)).unwrap_or_default(),
                _ => Vec::new(),
            }
        }
    };
    Candidates::Words(start, all.into_iter().filter(|w| w.starts_with(&partial)).collect())
}

/// Where the word that is being typed begins.
fn last_word_start(typed: &str) -> usize {
    let (mut start, mut quote, mut escaped) = (0, None, false);
    for (at, c) in typed.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(open), c) if open == c => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => start = at + c.len_utf8(),
            _ => {}
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    struct Fixed;

    impl Names for Fixed {
        fn groups(&self) -> Vec<String> {
            vec!["films".into(), "fonts".into()]
        }

        fn files(&self, group: &str) -> Vec<String> {
            vec![format!("{group} one.mkv"), "two.mkv".into()]
        }

        fn users(&self, _: &str) -> Vec<String> {
            vec!["ada".into()]
        }

        fn devices(&self) -> Vec<String> {
            vec!["k3emfeqb".into()]
        }
    }

    #[track_caller]
    fn check(typed: &str, expected: Expect) {
        expected.assert_eq(&match candidates(&Fixed, typed) {
            Candidates::Words(start, words) => format!("{start} {}", words.join("|")),
            Candidates::Path => "path".into(),
        });
    }

    #[test]
    fn completes_by_argument() {
        check(
            "list_",
            expect![
                "0 list_devices|list_groups|list_members|list_requests|list_files|list_folder|list_peers"
            ],
        );
        check("join_group f", expect!["11 films|fonts"]);
        check("stop_share films ", expect!["17 films one.mkv|two.mkv"]);
        check("stop_share films \"films o", expect!["17 films one.mkv"]);
        check("kick films a", expect!["11 ada"]);
        check("revoke_device k", expect!["14 k3emfeqb"]);
        check("upload_file x", expect!["path"]);
        check("upload_file my\\ file.txt fo", expect!["25 fonts"]);
        check("login ada se", expect!["10 "]);
        check("nonsense x", expect!["9 "]);
    }
}
