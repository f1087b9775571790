//! `peerage status`.

use std::process::ExitCode;

use peerage_local::reply::human;
use serde_json::json;

use super::{Which, remote};

/// Arguments of `peerage status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// One JSON object on one line
    #[arg(long)]
    json: bool,
}

/// Tells how the running node is. 1 when none runs.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let remote = match remote(args.which.data.as_deref())? {
        Ok(remote) => remote,
        Err(code) => return Ok(code),
    };
    let status = remote.status().await?;
    if args.json {
        println!("{}", json!(status));
        return Ok(ExitCode::SUCCESS);
    }
    println!("running\tversion {}, process {}", status.version, status.pid);
    match &status.user {
        Some(user) => println!("user\t{user}, peers reach this device at {}", status.listen),
        None => println!("user\tnobody is logged in"),
    }
    if status.limit_down.is_some() || status.limit_up.is_some() {
        let (down, up) = (human::limit(status.limit_down), human::limit(status.limit_up));
        println!("limits\tdown {down}, up {up}");
    }
    for name in &status.damaged {
        println!("damaged\t{name}: pieces that went bad on the disk are fetched again");
    }
    println!("data\t{}", status.data.display());
    println!("page\t{}", remote.page());
    if status.user.is_none() {
        eprintln!("hint: peerage login <user_id>, or peerage create_user <user_id>");
    }
    Ok(ExitCode::SUCCESS)
}
