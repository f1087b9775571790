//! What a command answered, and its three forms: lines of a pipe, lines of a terminal, one JSON object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use peerage_node::client::Refusal;

use crate::command::ParseError;

/// A command that worked.
#[derive(Debug, Default)]
pub struct Done {
    /// The classroom's reply; with a non-empty listing only JSON shows it.
    pub message: String,
    /// A listing: one line each, and one object each.
    pub items: Option<Vec<Item>>,
    /// Of a listing of which a part was asked for: how long it is.
    pub total: Option<usize>,
    /// What people usually do next; for terminals only.
    pub next: Option<String>,
    /// What whoever gave the command should know although it worked.
    pub note: Option<String>,
    /// The tracker that answered has less than was seen before.
    pub stale: Option<String>,
    /// The shell ends after this.
    pub ends: bool,
}

/// One entry of a listing.
#[derive(Debug)]
pub struct Item {
    /// Its line, as scripts expect it.
    pub line: String,
    /// What a terminal shows after it.
    pub detail: Option<String>,
    /// Its object.
    pub json: Value,
}

impl Item {
    /// An entry whose object is one of [`super::model`].
    pub fn new(line: impl Into<String>, detail: Option<String>, object: &impl Serialize) -> Self {
        // Strings and plain values: nothing in the model has a form that JSON lacks.
        let json = serde_json::to_value(object).unwrap_or_default();
        Self { line: line.into(), detail, json }
    }
}

/// A command that did not work.
#[derive(Debug)]
pub struct Failed {
    /// The reply's first line.
    pub error: String,
    /// Advice, if there is any.
    pub hint: Option<String>,
    /// The tracker that answered has less than was seen before.
    pub stale: bool,
    /// 1 failed, 2 usage, 3 not logged in or not allowed, 4 no tracker reachable.
    pub exit_code: u8,
}

/// What a line led to.
pub type Outcome = Result<Done, Failed>;

impl Done {
    /// A plain reply.
    pub fn say(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A listing with `count` nouns as its message, or `empty` when there is nothing to list.
    pub fn list(items: Vec<Item>, noun: &str, empty: &str) -> Self {
        let message = match items.len() {
            0 => empty.to_owned(),
            1 => format!("1 {noun}"),
            n => format!("{n} {noun}s"),
        };
        Self { message, items: Some(items), ..Self::default() }
    }

    /// Adds what to do next.
    pub fn next(mut self, hint: impl Into<String>) -> Self {
        self.next = Some(hint.into());
        self
    }

    /// Adds something to know, a sentence each.
    pub fn note(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        let all: Vec<String> = self.note.take().into_iter().chain(notes).collect();
        self.note = (!all.is_empty()).then(|| all.join("; "));
        self
    }

    /// What to know and how current it is, as one hint.
    fn hint(&self) -> Option<String> {
        let both: Vec<&str> = [&self.note, &self.stale].into_iter().flatten().map(String::as_str).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }

    /// The lines of the reply, without the hint for terminals.
    fn lines(&self, with_details: bool) -> Vec<String> {
        let line = |item: &Item| match &item.detail {
            Some(detail) if with_details => format!("{}\t{detail}", item.line),
            _ => item.line.clone(),
        };
        match &self.items {
            Some(items) if !items.is_empty() => items.iter().map(line).collect(),
            _ => vec![self.message.clone()],
        }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self {
            error: refusal.to_string(),
            hint: refusal.hint(),
            stale: false,
            exit_code: refusal.exit_code(),
        }
    }
}

impl From<ParseError> for Failed {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Refused(refusal) => refusal.into(),
            ParseError::Unknown { close: Some(close) } => Self {
                error: error.to_string(),
                hint: Some(format!("did you mean `{close}`?")),
                stale: false,
                exit_code: 2,
            },
            error => Self { error: error.to_string(), hint: None, stale: false, exit_code: 2 },
        }
    }
}

/// Adds to the reply that `tracker` said it is behind, if it did.
pub fn note_stale(outcome: &mut Outcome, tracker: Option<String>) {
    let Some(tracker) = tracker else { return };
    let hint = format!(
        "this tracker ({tracker}) has not caught up with what you saw before; the reply may be older, ask again in a \
         moment"
    );
    match outcome {
        Ok(done) => done.stale = Some(hint),
        Err(failed) => {
            failed.stale = true;
            failed.hint = Some(match failed.hint.take() {
                Some(before) => format!("{before}; {hint}"),
                None => hint,
            });
        }
    }
}

/// The reply as lines for a pipe.
pub fn plain(outcome: &Outcome) -> String {
    reply(outcome, false)
}

/// The reply as lines for a person: listings say more about each entry.
pub fn detailed(outcome: &Outcome) -> String {
    reply(outcome, true)
}

fn reply(outcome: &Outcome, with_details: bool) -> String {
    let mut lines = match outcome {
        Ok(done) => done.lines(with_details).join("\n"),
        Err(failed) => failed.error.clone(),
    };
    let hint = match outcome {
        Ok(done) => done.hint(),
        Err(failed) => failed.hint.clone(),
    };
    if let Some(hint) = hint {
        lines.push_str("\nhint: ");
        lines.push_str(&hint);
    }
    lines
}

/// The reply as one JSON object on one line, with the fields that `docs/json.md` describes.
pub fn json(command: &str, outcome: &Outcome) -> String {
    // Strings and plain values: nothing here has a form that JSON lacks.
    serde_json::to_string(&reply_object(command, outcome)).unwrap_or_default()
}

/// The same with what people usually do next, and if `lines`, with what a terminal shows of a listing: for a program
/// that speaks to people.
pub fn shown(command: &str, outcome: &Outcome, lines: bool) -> String {
    let done = outcome.as_ref().ok();
    let listed = done.filter(|_| lines).and_then(|done| done.items.as_ref()).map(|items| {
        let both = |item: &Item| Shown { line: item.line.clone(), detail: item.detail.clone() };
        items.iter().map(both).collect()
    });
    let next = done.and_then(|done| done.next.clone());
    let reply = Reply { lines: listed, next, ..reply_object(command, outcome) };
    serde_json::to_string(&reply).unwrap_or_default()
}

fn reply_object<'a>(command: &'a str, outcome: &'a Outcome) -> Reply<'a> {
    let empty = Reply { command, ..Reply::default() };
    match outcome {
        Ok(done) => Reply {
            ok: true,
            message: Some(&done.message),
            items: done.items.as_ref().map(|items| items.iter().map(|i| &i.json).collect()),
            total: done.total,
            hint: done.hint(),
            stale: done.stale.as_ref().map(|_| true),
            ..empty
        },
        Err(failed) => Reply {
            error: Some(&failed.error),
            hint: failed.hint.clone(),
            stale: failed.stale.then_some(true),
            ..empty
        },
    }
}

/// One line of a listing as a terminal shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Its line, as scripts expect it.
    pub line: String,
    /// What a terminal shows after it.
    pub detail: Option<String>,
}

/// The object, in the order in which people expect its fields.
#[derive(Default, Serialize)]
struct Reply<'a> {
    command: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<&'a Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<Shown>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(command: &str, outcome: &Outcome, expected: Expect) {
        expected.assert_eq(&format!("{}\n{}", plain(outcome), json(command, outcome)));
    }

    fn item(name: &str) -> Item {
        Item { line: name.into(), detail: Some("more".into()), json: serde_json::json!({ "name": name }) }
    }

    #[test]
    fn three_kinds_of_reply() {
        check(
            "create_user",
            &Ok(Done::say("User created!").next("log in")),
            expect![[r#"
                User created!
                {"command":"create_user","ok":true,"message":"User created!"}"#]],
        );
        check(
            "create_user",
            &Ok(Done::say("User created!").note(["weak".to_owned()])),
            expect![[r#"
                User created!
                hint: weak
                {"command":"create_user","ok":true,"message":"User created!","hint":"weak"}"#]],
        );
        check(
            "list_groups",
            &Ok(Done::list(vec![item("g1"), item("g2")], "group", "No groups at this time")),
            expect![[r#"
                g1
                g2
                {"command":"list_groups","ok":true,"message":"2 groups","items":[{"name":"g1"},{"name":"g2"}]}"#]],
        );
        check(
            "list_groups",
            &Ok(Done::list(Vec::new(), "group", "No groups at this time")),
            expect![[r#"
                No groups at this time
                {"command":"list_groups","ok":true,"message":"No groups at this time","items":[]}"#]],
        );
    }

    #[test]
    fn refusals() {
        check(
            "list_groups",
            &Err(Refusal::NotLoggedIn.into()),
            expect![[r#"
                Please login first
                hint: `login <user_id> <passwd>`
                {"command":"list_groups","ok":false,"error":"Please login first","hint":"`login <user_id> <passwd>`"}"#]],
        );
        check(
            "nonsense",
            &Err(ParseError::Unknown { close: None }.into()),
            expect![[r#"
                Unknown command (try help)
                {"command":"nonsense","ok":false,"error":"Unknown command (try help)"}"#]],
        );
        check(
            "logn",
            &Err(ParseError::Unknown { close: Some("login") }.into()),
            expect![[r#"
                Unknown command (try help)
                hint: did you mean `login`?
                {"command":"logn","ok":false,"error":"Unknown command (try help)","hint":"did you mean `login`?"}"#]],
        );
    }
}
