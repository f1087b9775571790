//! Hints in the words of whoever reads them. They are written in the shell's words, with commands between backticks or
//! at the beginning; here, and nowhere else, they become what is typed outside the shell, and placeholders become what is
//! known.

use super::{Done, Failed, Outcome};
use crate::command::{Command, Spec, quote};

/// What is never typed behind a command outside the shell, where it is asked for.
const SECRETS: [&str; 4] = [" <passwd>", " <old_passwd>", " <new_passwd>", " <recovery_code>"];

/// A reply with its hints as they are typed outside the shell.
pub fn outside_shell(outcome: Outcome) -> Outcome {
    let outside = |text: Option<String>| text.map(|text| as_subcommands(&text));
    match outcome {
        Ok(done) => Ok(Done { next: outside(done.next), note: outside(done.note), ..done }),
        Err(failed) => Err(Failed { hint: outside(failed.hint), ..failed }),
    }
}

/// A hint as it is typed outside the shell: commands of the shell are subcommands there, and ask for passwords.
pub fn as_subcommands(hint: &str) -> String {
    let lines: Vec<String> = hint.split('\n').map(line).collect();
    lines.join("\n")
}

fn line(text: &str) -> String {
    let (label, text) = text.strip_prefix("hint: ").map_or(("", text), |text| ("hint: ", text));
    let mut said = label.to_owned();
    // Odd parts are between backticks.
    for (index, part) in text.split('`').enumerate() {
        if index > 0 {
            said.push('`');
        }
        match index % 2 == 1 || index == 0 {
            true => said.push_str(&command(part)),
            false => said.push_str(part),
        }
    }
    said
}

fn command(part: &str) -> String {
    let word = part.split([' ', ';', ',']).next().unwrap_or_default();
    match Spec::find(word) {
        Some(spec) if spec.is_remote() => {
            let part = SECRETS.iter().fold(part.to_owned(), |part, secret| part.replace(secret, ""));
            format!("peerage {part}")
        }
        Some(spec) if spec.name == "exit" => "peerage down".to_owned(),
        _ => part.to_owned(),
    }
}

/// What is known when a command was given, for the placeholders of its hints.
#[derive(Debug, Default)]
pub(crate) struct Known(Vec<(&'static str, String)>);

impl Known {
    pub(crate) fn of(command: &Command) -> Self {
        let group = command.group().map(|group| ("<group_id>", group));
        let file = command.file().map(|file| ("<file_name>", quote(&file)));
        let user = command.user().map(|user| ("<user_id>", user));
        Self([group, file, user].into_iter().flatten().collect())
    }

    /// Puts in what is known.
    pub(crate) fn fill(&self, outcome: &mut Outcome) {
        let hints = match outcome {
            Ok(done) => [&mut done.next, &mut done.note],
            Err(failed) => [&mut failed.hint, &mut None],
        };
        for hint in hints.into_iter().flatten() {
            for (placeholder, known) in &self.0 {
                // Who is to log in is not whom the command was about.
                if *placeholder != "<user_id>" || !hint.contains("`login <user_id>") || self.is_login() {
                    *hint = hint.replace(placeholder, known);
                }
            }
        }
    }

    fn is_login(&self) -> bool {
        self.0.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse;

    #[test]
    fn shell_words_become_subcommands() {
        let check = |hint: &str, expected: &str| assert_eq!(as_subcommands(hint), expected);
        check("login ada <passwd>", "peerage login ada");
        check("`login <user_id> <passwd>`, or `exit`", "`peerage login <user_id>`, or `peerage down`");
        check(
            "try again, or `recover ada <recovery_code> <new_passwd>`; nobody else can",
            "try again, or `peerage recover ada`; nobody else can",
        );
        check(
            "send it; they run `peerage up <invite>`, or `join <invite>`",
            "send it; they run `peerage up <invite>`, or `peerage join <invite>`",
        );
        check("leave `--only` out, there is `login.txt`", "leave `--only` out, there is `login.txt`");
        check("resumed 1 share\nhint: not shared: x", "resumed 1 share\nhint: not shared: x");
        check("to `/tmp/x`; `wait` returns", "to `/tmp/x`; `peerage wait` returns");
        check("the login failed", "the login failed");
    }

    #[test]
    fn placeholders_become_what_is_known() {
        #[track_caller]
        fn check(line: &str, hint: &str, expected: &str) {
            let known = Known::of(&parse(line).unwrap().unwrap());
            let failed =
                Failed { error: String::new(), hint: Some(hint.to_owned()), stale: false, exit_code: 1 };
            let mut outcome = Err(failed);
            known.fill(&mut outcome);
            assert_eq!(outcome.unwrap_err().hint.unwrap(), expected);
        }
        check("join_group lab", "ask: `join_group <group_id>`", "ask: `join_group lab`");
        check("kick lab ben", "`revoke_admin <group_id> <user_id>`", "`revoke_admin lab ben`");
        check("kick lab ben", "`login <user_id> <passwd>`", "`login <user_id> <passwd>`");
        check("login ada x", "`create_user <user_id> <passwd>`", "`create_user ada <passwd>`");
        check("create_user ada x", "`login <user_id> <passwd>`", "`login ada <passwd>`");
        check(
            "pause_download lab 'a b'",
            "`resume_download <group_id> <file_name>`",
            r#"`resume_download lab "a b"`"#,
        );
        check("list_groups", "`join_group <group_id>`", "`join_group <group_id>`");
    }
}
