//! The shell's commands as subcommands, through the running node.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use peerage_local::client::{Progress, Remote, Reply};
use peerage_local::command::{Kind, Spec};
use peerage_local::reply::as_subcommands;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Map, Value};

use super::remote;
use super::secrets::{self, Secrets};
pub use super::subcommands::{Call, subcommands};
use crate::progress::{Bars, WAITS_FOR_ANSWER, say_if_slow};
use crate::signals;

/// Runs one of them. Ends with what `Refusal::exit_code` says.
pub async fn run(call: Call) -> anyhow::Result<ExitCode> {
    let remote = match remote(call.data.as_deref())? {
        Ok(remote) => remote,
        Err(code) => return Ok(code),
    };
    let mut args = call.args.clone();
    for arg in call.spec.args.iter().filter(|arg| arg.kind == Kind::Invite) {
        if args.get(arg.name).is_some_and(|given| given == "-") {
            args.insert(arg.name.to_owned(), secrets::line("Invite")?.into());
        }
    }
    ask_for_secrets(&call, &mut args)?;
    if !call.files.is_empty() {
        return super::get::run(&remote, &call).await;
    }
    let asked = ask(&remote, call.spec, &args, call.json);
    let reply = match call.spec.name {
        "wait" => match signals::or_interrupted(asked).await {
            Some(reply) => reply?,
            None => return Ok(no_longer_waiting()),
        },
        _ => asked.await?,
    };
    print(&reply, call.json);
    if call.spec.name == "invite" && !call.json && io::stdout().is_terminal() {
        draw_code(&reply);
    }
    Ok(ExitCode::from(reply.exit_code))
}

/// Sends the command; on a terminal draws what takes long meanwhile. Ctrl-C gives up waiting, and nothing else.
async fn ask(remote: &Remote, spec: &Spec, args: &Map<String, Value>, json: bool) -> anyhow::Result<Reply> {
    let draws = matches!(spec.name, "wait" | "upload_file") && !json && io::stderr().is_terminal();
    let reply = remote.command(spec, args, !json);
    if spec.name == "join" && args.get("wait").is_some() && !json {
        return Ok(say_if_slow(WAITS_FOR_ANSWER, reply).await?);
    }
    if spec.name == "scrub" && !json && io::stderr().is_terminal() {
        return Ok(super::scrub::draw(remote, args, reply).await?);
    }
    if !draws {
        return Ok(reply.await?);
    }
    let mut events = remote.events().await?;
    let mut bars = Bars::default();
    tokio::pin!(reply);
    loop {
        tokio::select! {
            reply = &mut reply => return Ok(reply?),
            progress = events.progress() => match progress {
                Ok(Some(Progress::Downloads(all))) if spec.name == "wait" => bars.downloads(&all),
                Ok(Some(Progress::Hashing(all))) if spec.name == "upload_file" => bars.hashing(&all),
                Ok(Some(_)) => {}
                // The reply says why.
                Ok(None) | Err(_) => return Ok(reply.await?),
            },
        }
    }
}

/// Says what a Ctrl-C did not end.
pub(super) fn no_longer_waiting() -> ExitCode {
    eprintln!(
        "no longer waiting; downloads go on in the node: `peerage show_downloads` shows how far they are, `peerage \
         cancel_download` ends one"
    );
    ExitCode::from(signals::INTERRUPTED)
}

/// An invite as a picture, for the camera of another device.
fn draw_code(reply: &Reply) {
    let link = reply.lines.as_ref().and_then(|lines| lines.first());
    // What is too long for a picture can still be pasted.
    let Some(Ok(code)) = link.map(|shown| QrCode::new(shown.line.as_bytes())) else { return };
    println!("{}", code.render::<Dense1x2>().build());
}

pub(super) fn print(reply: &Reply, json: bool) {
    if json {
        println!("{}", reply.text);
        return;
    }
    let detailed = io::stdout().is_terminal();
    match (&reply.error, &reply.lines) {
        (Some(error), _) => eprintln!("error: {error}"),
        (None, Some(lines)) if !lines.is_empty() => {
            for shown in lines {
                match shown.detail.as_ref().filter(|_| detailed) {
                    Some(detail) => println!("{}\t{detail}", shown.line),
                    None => println!("{}", shown.line),
                }
            }
        }
        (None, _) => println!("{}", reply.message),
    }
    for hint in [&reply.hint, &reply.next].into_iter().flatten() {
        eprintln!("hint: {}", as_subcommands(hint));
    }
}

/// Whether it is a password that is being set: then it is asked for twice.
fn is_new(spec: &Spec, name: &str) -> bool {
    name == "new" || (spec.name == "create_user" && name == "password")
}

/// Adds what must not stand on the command line.
fn ask_for_secrets(call: &Call, args: &mut Map<String, Value>) -> anyhow::Result<()> {
    let secret = |optional: bool| {
        let args = call.spec.args.iter();
        args.filter(move |arg| arg.kind == Kind::Password && arg.optional == optional)
    };
    // The only one of its kind, a registration code.
    if let (Some(arg), Ok(code)) = (secret(true).next(), std::env::var("PEERAGE_REGISTRATION_CODE")) {
        args.insert(arg.name.to_owned(), code.into());
    }
    let mut source = Secrets::of(call.password_file.as_deref())?;
    for arg in secret(false) {
        args.insert(arg.name.to_owned(), source.next(arg.name, is_new(call.spec, arg.name))?.into());
    }
    Ok(())
}
