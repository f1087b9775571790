//! Turns the words of a line into a [`Command`]: everything is typed from here on.

use std::time::Duration;

use peerage_node::client::{
    DownloadOptions, FilePriority, GroupRef, Invite, InviteTerms, LimitChange, Refusal, Unsure, UserRef,
};
use peerage_types::Name;
use peerage_types::limits::INVITE_USES_MAX;
use serde_json::{Map, Value};

use super::spec::Spec;
use super::split::{SplitError, split};
use super::{Command, Part, Password, Sort, rate};

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first word is not known.
    #[error("Unknown command (try help)")]
    Unknown {
        /// What may have been meant.
        close: Option<&'static str>,
    },
    /// Wrong number or form of arguments.
    #[error("{}", .0.usage_line())]
    Usage(&'static Spec),
    /// The quoting is broken.
    #[error("Cannot read this line: {0}")]
    Split(#[from] SplitError),
    /// An argument that is given by name is missing, too much, or of another kind.
    #[error("{0}")]
    Field(String),
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

/// Where `get` puts a file when it is not told.
pub const HERE: &str = ".";

/// The first word of a line, as the user wrote it: how an answer names its command.
pub fn command_word(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Parses a line; `None` for a blank line or a `#` comment.
///
/// # Errors
/// See [`ParseError`].
pub fn parse(line: &str) -> Result<Option<Command>, ParseError> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let words = split(line)?;
    let Some((name, rest)) = words.split_first() else { return Ok(None) };
    let spec = Spec::of_word(name).ok_or_else(|| ParseError::Unknown { close: Spec::close_to(name) })?;
    let words = Words::sort(spec, rest).ok_or(ParseError::Usage(spec))?;
    match name.as_str() {
        "get" => get(spec, words).map(Some),
        _ => command(spec, &words).map(Some),
    }
}

/// `get GROUP FILE... [DESTINATION]`.
fn get(spec: &'static Spec, words: Words<'_>) -> Result<Command, ParseError> {
    let Some((group, rest)) = words.args.split_first() else { return Err(ParseError::Usage(spec)) };
    let (files, destination) = files_and_place(rest);
    let several = files.len() > 1;
    let folder = as_folder(destination);
    let place = if several { folder.as_str() } else { destination };
    let one = |file: &&str| {
        let words = Words { args: vec![*group, *file, place], options: words.options.clone() };
        command(spec, &words)
    };
    let mut commands = files.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    match commands.pop() {
        None => Err(ParseError::Usage(spec)),
        Some(only) if !several => Ok(only),
        Some(last) => {
            commands.push(last);
            Ok(Command::Several(commands))
        }
    }
}

/// What `get` is given behind the group: files, and where they go. The last word is a place when it can be no file's name:
/// a path, or `.` or `..`. Folders of a group are listed with a slash behind their name, so that alone makes no path. A bare
/// word is a file's name: where the group has no such file, nothing is started.
pub fn files_and_place<S: AsRef<str>>(words: &[S]) -> (Vec<&str>, &str) {
    let mut files: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let place = files.last().copied().filter(|last| files.len() > 1 && is_place(last));
    if place.is_some() {
        files.pop();
    }
    (files, place.unwrap_or(HERE))
}

fn is_place(word: &str) -> bool {
    let separator = std::path::is_separator;
    let bare = word.trim_end_matches(separator);
    bare == "." || bare == ".." || word.starts_with(separator) || bare.contains(separator)
}

/// With a separator behind it: a place for several files is a folder.
pub fn as_folder(place: &str) -> String {
    match place.ends_with(std::path::is_separator) {
        true => place.to_owned(),
        false => format!("{place}{}", std::path::MAIN_SEPARATOR),
    }
}

/// Parses arguments and options that are given by name, as the HTTP API takes them: texts and numbers, `true` for a
/// switch, a list for an option that is given several times.
///
/// # Errors
/// See [`ParseError`].
pub fn from_object(spec: &'static Spec, object: &Map<String, Value>) -> Result<Command, ParseError> {
    let text = |name: &str, value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(ParseError::Field(format!("`{name}` must be a text, not {value}"))),
    };
    let known = |name: &String| {
        spec.args.iter().any(|a| a.name == name) || spec.options.iter().any(|o| o.name == name)
    };
    if let Some(name) = object.keys().find(|name| !known(name)) {
        return Err(ParseError::Field(format!("`{}` takes no `{name}`", spec.name)));
    }
    let mut args = Vec::new();
    for arg in spec.args {
        match object.get(arg.name) {
            Some(Value::Null) | None if arg.optional => break,
            Some(Value::Null) | None => {
                return Err(ParseError::Field(format!("`{}` needs `{}`", spec.name, arg.name)));
            }
            Some(value) => args.push(text(arg.name, value)?),
        }
    }
    let mut options = Vec::new();
    for option in spec.options {
        match (object.get(option.name), option.value) {
            (None | Some(Value::Null | Value::Bool(false)), _) => {}
            (Some(Value::Bool(true)), None) => options.push((option.name, None)),
            (Some(Value::Array(values)), Some(_)) => {
                for value in values {
                    options.push((option.name, Some(text(option.name, value)?)));
                }
            }
            (Some(value), _) => options.push((option.name, Some(text(option.name, value)?))),
        }
    }
    let words = Words {
        args: args.iter().map(String::as_str).collect(),
        options: options.iter().map(|(name, value)| (*name, value.as_deref())).collect(),
    };
    command(spec, &words)
}

/// The words behind a command's name.
#[derive(Debug, Default, Clone)]
struct Words<'a> {
    args: Vec<&'a str>,
    /// Name and value, in order; no value for a switch.
    options: Vec<(&'static str, Option<&'a str>)>,
}

impl<'a> Words<'a> {
    /// `--name VALUE`, `--name=VALUE` and `--name` are options of a command that has any; `--` ends them. `None`: an
    /// option that it does not have, or without its value.
    fn sort(spec: &'static Spec, words: &'a [String]) -> Option<Self> {
        let mut sorted = Self::default();
        let mut words = words.iter().map(String::as_str);
        let mut options_end = spec.options.is_empty();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--").filter(|_| !options_end) else {
                sorted.args.push(word);
                continue;
            };
            if option.is_empty() {
                options_end = true;
                continue;
            }
            let (name, given) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            let option = spec.options.iter().find(|o| o.name == name)?;
            let value = match (option.value, given) {
                (None, None) => None,
                (None, Some(_)) => return None,
                (Some(_), given) => Some(given.or_else(|| words.next())?),
            };
            sorted.options.push((option.name, value));
        }
        Some(sorted)
    }

    /// Whether a switch was given.
    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    /// All values that were given for an option.
    fn values(&self, name: &str) -> Vec<String> {
        let given = self.options.iter().filter(|(option, _)| *option == name);
        given.filter_map(|(_, value)| value.map(str::to_owned)).collect()
    }

    /// The last value that was given for an option.
    fn value(&self, name: &str) -> Option<&'a str> {
        self.options.iter().rev().find(|(option, _)| *option == name).and_then(|(_, value)| *value)
    }
}

/// Longest that an invite may let people in, in seconds: a year.
const INVITE_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// What a pre-approved invite allows: a week and one account, if nothing else is said.
fn terms(words: &Words<'_>) -> Result<Option<InviteTerms>, ParseError> {
    let (expires, uses) = (words.value("expires"), words.value("uses"));
    if !words.has("pre-approved") {
        return match (expires, uses) {
            (None, None) => Ok(None),
            _ => Err(ParseError::Field(
                "--expires and --uses need --pre-approved: a plain invite lets nobody in, you decide about each request"
                    .to_owned(),
            )),
        };
    }
    let expires = expires.unwrap_or("7d");
    let seconds = seconds(expires).filter(|seconds| (1..=INVITE_SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        ParseError::Field(format!("--expires takes 1s to 366d (s, m, h, d or w), not `{expires}`"))
    })?;
    let uses = uses.unwrap_or("1");
    let number = uses.parse().ok().filter(|uses| (1..=INVITE_USES_MAX).contains(uses));
    let uses = number
        .ok_or_else(|| ParseError::Field(format!("--uses takes 1 to {INVITE_USES_MAX}, not `{uses}`")))?;
    Ok(Some(InviteTerms { expires: Duration::from_secs(seconds), uses }))
}

/// `90s`, `30m`, `12h`, `7d` or `2w`.
fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit)
}

fn command(spec: &'static Spec, words: &Words<'_>) -> Result<Command, ParseError> {
    let group = |text: &str| text.parse::<GroupRef>().map_err(|_| Refusal::GroupUnknown);
    let user = |text: &str, otherwise: Refusal| text.parse::<UserRef>().map_err(|_| otherwise);
    let new_name = |text: &str| text.parse::<Name>().map_err(Refusal::from);
    let secret = |text: &str| Password(text.to_owned());
    // Folders are listed with a slash behind their name.
    let file = |text: &str| text.trim_end_matches('/').to_owned();
    Ok(match (spec.name, &words.args[..]) {
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
        ("revoke_device", [d, p]) => {
            let unsure = if words.has("force") { Unsure::GoOn } else { Unsure::Refuse };
            Command::RevokeDevice { device: (*d).into(), password: secret(p), unsure }
        }
        ("recovery_code", [p]) => Command::RecoveryCode { password: secret(p) },
        ("recover", [u, c, p]) => {
            let user = user(u, Refusal::UserUnknown)?;
            Command::Recover { user, code: secret(c), password: secret(p) }
        }
        ("logout", []) => Command::Logout,
        ("whoami", []) => Command::Whoami,
        ("check_port", []) => Command::CheckPort,
        ("create_group", [g]) => Command::CreateGroup { group: new_name(g)? },
        ("join_group", [g]) => Command::JoinGroup { group: group(g)? },
        ("invite", [g]) => Command::Invite { group: group(g)?, terms: terms(words)? },
        ("invites", [g]) => Command::Invites { group: group(g)? },
        ("withdraw_invite", [g, id]) => Command::WithdrawInvite { group: group(g)?, invite: (*id).into() },
        ("join", [i]) => join(spec, words, i.parse().map_err(Refusal::NoInvite)?)?,
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
        ("list_files", [g]) => Command::ListFiles { group: group(g)?, part: part(spec, words)? },
        ("list_folder", [g, f]) => Command::ListFolder { group: group(g)?, file: file(f) },
        ("upload_file", [p, g]) => Command::UploadFile { path: p.into(), group: group(g)? },
        ("stop_share", [g, f]) => Command::StopShare { group: group(g)?, file: file(f) },
        ("download_file", [g, f, d]) => {
            let options = DownloadOptions {
                only: words.values("only"),
                into_existing: words.has("into-existing"),
                preview: words.has("preview"),
                leave: words.has("leave"),
            };
            Command::DownloadFile { group: group(g)?, file: file(f), destination: (*d).into(), options }
        }
        ("pause_download", [g, f]) => Command::PauseDownload { group: group(g)?, file: file(f) },
        ("resume_download", [g, f]) => Command::ResumeDownload { group: group(g)?, file: file(f) },
        ("cancel_download", [g, f]) => Command::CancelDownload { group: group(g)?, file: file(f) },
        ("set_priority", [g, f, p]) => {
            let priority = match *p {
                "high" => FilePriority::High,
                "normal" => FilePriority::Normal,
                "low" => FilePriority::Low,
                "skip" => FilePriority::Skip,
                other => {
                    let why = format!("`{other}` is no priority: give high, normal, low or skip");
                    return Err(ParseError::Field(why));
                }
            };
            Command::SetPriority { group: group(g)?, file: file(f), priority, only: words.values("only") }
        }
        ("scrub", [g, f]) => Command::Scrub { group: group(g)?, file: file(f) },
        ("set_limits", of @ ([] | [_])) => {
            let rate = |option: &str| words.value(option).map(|text| rate::parse(option, text));
            let (down, up) = (rate("down").transpose(), rate("up").transpose());
            let change =
                LimitChange { down: down.map_err(ParseError::Field)?, up: up.map_err(ParseError::Field)? };
            if change == LimitChange::default() {
                return Err(ParseError::Usage(spec));
            }
            Command::SetLimits { group: of.first().map(|g| group(g)).transpose()?, change }
        }
        ("show_limits", []) => Command::ShowLimits,
        ("forget_download", [g, f]) => Command::ForgetDownload { group: group(g)?, file: file(f) },
        ("show_download", [g, f]) => Command::ShowDownload { group: group(g)?, file: file(f) },
        ("show_downloads", []) => Command::ShowDownloads,
        ("list_peers", [g, f]) => Command::ListPeers { group: group(g)?, file: file(f) },
        ("wait", what @ ([] | [_, _])) => {
            let what = match what {
                [g, f] => Some((group(g)?, file(f))),
                _ => None,
            };
            Command::Wait { what, timeout: timeout(spec, words)? }
        }
        ("help", _) => Command::Help,
        ("exit", []) => Command::Exit,
        _ => return Err(ParseError::Usage(spec)),
    })
}

fn join(spec: &'static Spec, words: &Words<'_>, invite: Invite) -> Result<Command, ParseError> {
    match (words.has("wait"), timeout(spec, words)?) {
        (true, timeout) => Ok(Command::JoinAndWait { invite, timeout }),
        (false, None) => Ok(Command::Join { invite }),
        (false, Some(_)) => {
            Err(ParseError::Field("--timeout needs --wait: `join` alone waits for nobody".to_owned()))
        }
    }
}

/// How long is waited at most.
fn timeout(spec: &'static Spec, words: &Words<'_>) -> Result<Option<Duration>, ParseError> {
    let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
    words.value("timeout").map(|text| seconds(text).ok_or(ParseError::Usage(spec))).transpose()
}

/// Which part of a listing is asked for.
fn part(spec: &'static Spec, words: &Words<'_>) -> Result<Part, ParseError> {
    let number = |name: &str| {
        words.value(name).map(|text| text.parse::<usize>().map_err(|_| ParseError::Usage(spec))).transpose()
    };
    let sort = match words.value("sort") {
        None => Sort::Listed,
        Some("name") => Sort::Name,
        Some("size") => Sort::Size,
        Some("sharers") => Sort::Sharers,
        Some(_) => return Err(ParseError::Usage(spec)),
    };
    Ok(Part {
        search: words.value("search").unwrap_or_default().to_lowercase(),
        sort,
        reverse: words.has("reverse"),
        from: number("from")?.unwrap_or(0),
        limit: number("limit")?,
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
