//! `peerage get` and `peerage download_file`: starts downloads, and waits for them.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::Context as _;
use peerage_local::client::{Progress, Remote, RemoteError, Reply};
use peerage_local::command::Spec;
use peerage_local::reply::{Failed, as_subcommands, json};
use peerage_node::client::Refusal;
use peerage_types::FileName;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::member::{Call, no_longer_waiting, print};
use crate::progress::Bars;
use crate::signals;

/// Starts one after another if the group lists them all, then waits for all together if that was asked for. What one of them
/// is refused keeps none of the others; the first refusal, in the order of the names, decides how the program ends.
pub async fn run(remote: &Remote, call: &Call) -> anyhow::Result<ExitCode> {
    let work = async {
        if let Some(refused) = not_listed(remote, call).await? {
            print(&refused, call.json);
            return Ok(ExitCode::from(refused.exit_code));
        }
        let Begun { waited, mut exit_code } = begin(remote, call).await?;
        if call.wait && !waited.is_empty() {
            let ended = wait(remote, call, &waited).await?;
            exit_code = if exit_code == 0 { ended } else { exit_code };
        }
        Ok(ExitCode::from(exit_code))
    };
    match signals::or_interrupted(work).await {
        Some(result) => result,
        None => Ok(no_longer_waiting()),
    }
}

/// The refusal when one of several names is no file of the group: the last may have been meant as a folder.
async fn not_listed(remote: &Remote, call: &Call) -> anyhow::Result<Option<Reply>> {
    if call.files.len() < 2 {
        return Ok(None);
    }
    let spec = Spec::find("list_files").context("list_files is a command")?;
    let group = call.args.get("group").and_then(Value::as_str).unwrap_or_default();
    // With a limit nobody is asked who is online, if that was heard a moment ago.
    let args: Map<String, Value> =
        [("group".to_owned(), group.into()), ("limit".to_owned(), u32::MAX.into())].into_iter().collect();
    let listed = remote.command(spec, &args, false).await?;
    let object: Value = serde_json::from_str(&listed.text).context("the node's list of files")?;
    if !listed.ok {
        return Ok(Some(as_of(call.spec, listed, object)));
    }
    let items = object["items"].as_array();
    let names: BTreeSet<&str> =
        items.into_iter().flatten().filter_map(|item| item["name"].as_str()).collect();
    let is_listed = |name: &str| {
        names.contains(name) || FileName::normalized(name).is_ok_and(|name| names.contains(name.as_str()))
    };
    let Some(refusal) = Refusal::unless_listed(&call.files, is_listed) else { return Ok(None) };
    let mut failed = Failed::from(refusal);
    failed.hint = failed.hint.map(|hint| hint.replace("<group_id>", group));
    let (error, hint, exit_code) = (Some(failed.error.clone()), failed.hint.clone(), failed.exit_code);
    let text = json(call.spec.name, &Err(failed));
    Ok(Some(Reply { ok: false, text, error, hint, next: None, exit_code, ..listed }))
}

/// Another command's refusal, as this one's.
fn as_of(spec: &Spec, refused: Reply, mut object: Value) -> Reply {
    object["command"] = spec.name.into();
    Reply { text: object.to_string(), ..refused }
}

/// What became of the beginnings.
struct Begun {
    /// Files whose download has begun.
    waited: Vec<String>,
    exit_code: u8,
}

async fn begin(remote: &Remote, call: &Call) -> anyhow::Result<Begun> {
    let mut begun = Begun { waited: Vec::new(), exit_code: 0 };
    for file in &call.files {
        let mut args = call.args.clone();
        args.insert("file".to_owned(), file.as_str().into());
        let reply = remote.command(call.spec, &args, !call.json).await?;
        tell(call, file, &reply);
        match reply.ok {
            true => begun.waited.push(started(&reply).unwrap_or_else(|| file.clone())),
            false if begun.exit_code == 0 => begun.exit_code = reply.exit_code,
            false => {}
        }
    }
    if call.files.len() > 1 && !begun.waited.is_empty() && !call.wait && !call.json {
        eprintln!("hint: `peerage wait` shows progress and returns when all are complete");
    }
    Ok(begun)
}

/// The file's name as the group has it: it may have been given in another Unicode form.
fn started(reply: &Reply) -> Option<String> {
    let object: Value = serde_json::from_str(&reply.text).ok()?;
    object.pointer("/items/0/name")?.as_str().map(str::to_owned)
}

/// One reply of several says which file it is about.
fn tell(call: &Call, file: &str, reply: &Reply) {
    if call.json || call.files.len() == 1 {
        return print(reply, call.json);
    }
    match &reply.error {
        None => println!("{}: {file}", reply.message),
        Some(error) => eprintln!("error: {file}: {error}"),
    }
    if let Some(hint) = &reply.hint {
        eprintln!("hint: {}", as_subcommands(hint));
    }
}

/// Waits for all at once, with bars on a terminal. Objects come in the order of the names, lines as soon as they are true.
async fn wait(remote: &Remote, call: &Call, files: &[String]) -> anyhow::Result<u8> {
    let spec = Spec::find("wait").context("wait is a command")?;
    let group = call.args.get("group").and_then(Value::as_str).unwrap_or_default();
    let mut waits = JoinSet::new();
    for (index, file) in files.iter().enumerate() {
        let args: Map<String, Value> =
            [("group".to_owned(), group.into()), ("file".to_owned(), file.as_str().into())]
                .into_iter()
                .collect();
        let (remote, lines) = (remote.clone(), !call.json);
        waits.spawn(async move { (index, remote.command(spec, &args, lines).await) });
    }
    let draws = !call.json && io::stderr().is_terminal();
    let mut events = if draws { Some(remote.events().await?) } else { None };
    let mut bars = Bars::of(group, files);
    let mut replies: Vec<Option<Reply>> = files.iter().map(|_| None).collect();
    loop {
        let progress = async {
            match &mut events {
                Some(events) => events.progress().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = waits.join_next() => {
                let Some(ended) = ended else { break };
                let (index, reply): (usize, Result<Reply, RemoteError>) = ended?;
                let reply = reply?;
                if !call.json {
                    bars.aside(|| tell(call, &files[index], &reply));
                }
                replies[index] = Some(reply);
            },
            progress = progress => match progress {
                Ok(Some(Progress::Downloads(all))) => bars.downloads(&all),
                Ok(Some(Progress::Hashing(_))) => {}
                // The replies say why.
                Ok(None) | Err(_) => events = None,
            },
        }
    }
    drop(bars);
    let replies: Vec<Reply> = replies.into_iter().flatten().collect();
    if call.json {
        replies.iter().for_each(|reply| print(reply, true));
    }
    Ok(replies.iter().map(|reply| reply.exit_code).find(|code| *code != 0).unwrap_or(0))
}
