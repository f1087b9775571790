//! Turns the words of a line into a [`Command`]: everything is typed from here on.

use std::path::PathBuf;
use std::time::Duration;

use peerage_node::client::{GroupRef, Refusal, UserRef};
use peerage_types::Name;

use super::spec::Spec;
use super::split::{SplitError, split};

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    CreateUser { user: Name, password: Password, code: Option<Password> },
    Login { user: UserRef, password: Password },
    ChangePassword { old: Password, new: Password },
    ClaimName { name: Name, password: Password },
    ListDevices,
    RevokeDevice { device: String, password: Password },
    RecoveryCode { password: Password },
    Recover { user: UserRef, code: Password, password: Password },
    Logout,
    Whoami,
    CreateGroup { group: Name },
    JoinGroup { group: GroupRef },
    LeaveGroup { group: GroupRef },
    ListGroups,
    ListMembers { group: GroupRef },
    ListRequests { group: GroupRef },
    AcceptRequest { group: GroupRef, user: UserRef },
    RejectRequest { group: GroupRef, user: UserRef },
    Kick { group: GroupRef, user: UserRef },
    GrantAdmin { group: GroupRef, user: UserRef },
    RevokeAdmin { group: GroupRef, user: UserRef },
    HandOver { group: GroupRef, user: UserRef },
    CloseGroup { group: GroupRef },
    Audit { group: GroupRef },
    ListFiles { group: GroupRef },
    UploadFile { path: PathBuf, group: GroupRef },
    StopShare { group: GroupRef, file: String },
    DownloadFile { group: GroupRef, file: String, destination: String },
    ShowDownloads,
    ListPeers { group: GroupRef, file: String },
    Wait { what: Option<(GroupRef, String)>, timeout: Option<Duration> },
    Help,
    Exit,
}

/// A password or recovery code on its way: never printed.
#[derive(PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first word is not known.
    #[error("Unknown command (try help)")]
    Unknown,
    /// Wrong number or form of arguments.
    #[error("{}", .0.usage_line())]
    Usage(&'static Spec),
    /// The quoting is broken.
    #[error("Cannot read this line: {0}")]
    Split(#[from] SplitError),
    /// A name that cannot exist: answered as the command itself would.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}

/// The first word of a line, as the user wrote it: how an answer names its command.
pub fn command_word(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Parses a line; `None` for a blank line or a `#` comment.
pub fn parse(line: &str) -> Result<Option<Command>, ParseError> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let words = split(line)?;
    let Some((name, args)) = words.split_first() else { return Ok(None) };
    let spec = Spec::find(name).ok_or(ParseError::Unknown)?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    command(spec, &args).map(Some)
}

fn command(spec: &'static Spec, args: &[&str]) -> Result<Command, ParseError> {
    let group = |text: &str| text.parse::<GroupRef>().map_err(|_| Refusal::GroupUnknown);
    let user = |text: &str, otherwise: Refusal| text.parse::<UserRef>().map_err(|_| otherwise);
    let new_name = |text: &str| text.parse::<Name>().map_err(Refusal::from);
    let secret = |text: &str| Password(text.to_owned());
    Ok(match (spec.name, args) {
        ("create_user", [u, p]) => {
            Command::CreateUser { user: new_name(u)?, password: secret(p), code: None }
        }
        ("create_user", [u, p, code]) => {
            Command::CreateUser { user: new_name(u)?, password: secret(p), code: Some(secret(code)) }
        }
        ("login", [u, p]) => Command::Login { user: user(u, Refusal::UserUnknown)?, password: secret(p) },
        ("change_password", [old, new]) => Command::ChangePassword { old: secret(old), new: secret(new) },
        ("claim_name", [n, p]) => Command::ClaimName { name: new_name(n)?, password: secret(p) },
        ("list_devices", []) => Command::ListDevices,
        ("revoke_device", [d, p]) => Command::RevokeDevice { device: (*d).into(), password: secret(p) },
        ("recovery_code", [p]) => Command::RecoveryCode { password: secret(p) },
        ("recover", [u, c, p]) => {
            let user = user(u, Refusal::UserUnknown)?;
            Command::Recover { user, code: secret(c), password: secret(p) }
        }
        ("logout", []) => Command::Logout,
        ("whoami", []) => Command::Whoami,
        ("create_group", [g]) => Command::CreateGroup { group: new_name(g)? },
        ("join_group", [g]) => Command::JoinGroup { group: group(g)? },
        ("leave_group", [g]) => Command::LeaveGroup { group: group(g)? },
        ("list_groups", []) => Command::ListGroups,
        ("list_members", [g]) => Command::ListMembers { group: group(g)? },
        ("list_requests", [g]) => Command::ListRequests { group: group(g)? },
        ("accept_request", [g, u]) => {
            Command::AcceptRequest { group: group(g)?, user: user(u, Refusal::NotRequested)? }
        }
        ("reject_request", [g, u]) => {
            Command::RejectRequest { group: group(g)?, user: user(u, Refusal::NotRequested)? }
        }
        ("kick", [g, u]) => Command::Kick { group: group(g)?, user: user(u, Refusal::NotInGroup)? },
        ("grant_admin", [g, u]) => {
            Command::GrantAdmin { group: group(g)?, user: user(u, Refusal::NotInGroup)? }
        }
        ("revoke_admin", [g, u]) => {
            Command::RevokeAdmin { group: group(g)?, user: user(u, Refusal::NotInGroup)? }
        }
        ("hand_over", [g, u]) => Command::HandOver { group: group(g)?, user: user(u, Refusal::NotInGroup)? },
        ("close_group", [g]) => Command::CloseGroup { group: group(g)? },
        ("audit", [g]) => Command::Audit { group: group(g)? },
        ("list_files", [g]) => Command::ListFiles { group: group(g)? },
        ("upload_file", [p, g]) => Command::UploadFile { path: p.into(), group: group(g)? },
        ("stop_share", [g, f]) => Command::StopShare { group: group(g)?, file: (*f).into() },
        ("download_file", [g, f, d]) => {
            Command::DownloadFile { group: group(g)?, file: (*f).into(), destination: (*d).into() }
        }
        ("show_downloads", []) => Command::ShowDownloads,
        ("list_peers", [g, f]) => Command::ListPeers { group: group(g)?, file: (*f).into() },
        ("wait", args) => {
            let (what, timeout) = wait_args(args).ok_or(ParseError::Usage(spec))?;
            let what = what.map(|[g, f]| group(g).map(|g| (g, f.to_owned()))).transpose()?;
            Command::Wait { what, timeout }
        }
        ("help", _) => Command::Help,
        ("exit", []) => Command::Exit,
        _ => return Err(ParseError::Usage(spec)),
    })
}

/// `[<group> <file>] [--timeout SECONDS]`; the option may stand anywhere, also as `--timeout=SECONDS`.
fn wait_args<'a>(args: &[&'a str]) -> Option<(Option<[&'a str; 2]>, Option<Duration>)> {
    let mut timeout = None;
    let mut rest = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let seconds = match (*arg, arg.strip_prefix("--timeout=")) {
            ("--timeout", _) => Some(*args.next()?),
            (_, given) => given,
        };
        match seconds {
            Some(text) => {
                let seconds: f64 = text.parse().ok()?;
                timeout = Some(Duration::try_from_secs_f64(seconds).ok()?);
            }
            None => rest.push(*arg),
        }
    }
    match rest[..] {
        [] => Some((None, timeout)),
        [group, file] => Some((Some([group, file]), timeout)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Expect) {
        expected.assert_eq(&match parse(line) {
            Ok(Some(command)) => format!("{command:?}"),
            Ok(None) => "nothing".into(),
            Err(e) => format!("error: {e}"),
        });
    }

    #[test]
    fn lines() {
        check("", expect!["nothing"]);
        check("   # a comment", expect!["nothing"]);
        check("login ada secret", expect![[r#"Login { user: UserRef("ada"), password: Password(…) }"#]]);
        check(
            "login Ada#K3EMFEQB secret",
            expect![[r#"Login { user: UserRef("Ada#k3emfeqb"), password: Password(…) }"#]],
        );
        check(
            "recover ada AAAA-BBBB new",
            expect![[r#"Recover { user: UserRef("ada"), code: Password(…), password: Password(…) }"#]],
        );
        check(
            "revoke_device k3em pw",
            expect![[r#"RevokeDevice { device: "k3em", password: Password(…) }"#]],
        );
        check(
            "claim_name a/b pw",
            expect!["error: `a/b` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"],
        );
        check("change_password x", expect!["error: Usage: change_password <old_passwd> <new_passwd>"]);
        check("login ada", expect!["error: Usage: login <user_id> <passwd>"]);
        check("login a/b x", expect!["error: User does not exist"]);
        check(
            "create_user a/b x",
            expect!["error: `a/b` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"],
        );
        check("frobnicate", expect!["error: Unknown command (try help)"]);
        check("join_group a/b", expect!["error: No such group"]);
        check("accept_request g a/b", expect!["error: This user has not asked to join the group"]);
        check("quit", expect!["Exit"]);
        check("exit now", expect!["error: Usage: exit"]);
        check("logout 'x", expect!["error: Cannot read this line: the quote ' is not closed"]);
        check(
            r#"download_file g "my file.txt" /tmp/x"#,
            expect![[r#"DownloadFile { group: GroupRef("g"), file: "my file.txt", destination: "/tmp/x" }"#]],
        );
    }

    #[test]
    fn waiting() {
        check("wait", expect!["Wait { what: None, timeout: None }"]);
        check("wait --timeout 2.5", expect!["Wait { what: None, timeout: Some(2.5s) }"]);
        check(
            "wait g f.txt --timeout=9",
            expect![[r#"Wait { what: Some((GroupRef("g"), "f.txt")), timeout: Some(9s) }"#]],
        );
        check("wait g", expect!["error: Usage: wait [<group_id> <file_name>] [--timeout SECONDS]"]);
        check(
            "wait --timeout soon",
            expect!["error: Usage: wait [<group_id> <file_name>] [--timeout SECONDS]"],
        );
        check(
            "wait --timeout -1",
            expect!["error: Usage: wait [<group_id> <file_name>] [--timeout SECONDS]"],
        );
    }
}
