//! `peerage client HOST:PORT TRACKER_INFO`: the shell of a member.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use peerage_node::client::NodeConfig;

use super::start_node;
use crate::shell::{pipe, terminal};

/// Arguments of `peerage client`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where this device listens for peers, such as 127.0.0.1:7600
    #[arg(value_name = "HOST:PORT")]
    listen: String,
    /// Tell peers this address instead of the one that is listened on: the outside of a forwarded port
    #[arg(long, value_name = "IP:PORT", env = "PEERAGE_ANNOUNCE")]
    announce: Option<SocketAddr>,
    /// The tracker list
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// Keep everything in this folder instead of the one of this user
    #[arg(long, value_name = "DIR", env = "PEERAGE_DATA")]
    data: Option<PathBuf>,
    /// Answer each command with one JSON object on one line
    #[arg(long)]
    json: bool,
}

/// Runs the shell: with editing on a terminal, strictly line by line from a pipe or with `--json`.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = NodeConfig {
        listen: args.listen,
        announce: args.announce,
        registration_code: std::env::var("PEERAGE_REGISTRATION_CODE").ok(),
        list: args.list,
        data: args.data,
    };
    let node = match start_node(config).await {
        Ok(node) => node,
        Err(code) => return Ok(code),
    };
    if args.json || !std::io::stdin().is_terminal() {
        Ok(pipe::run(node, args.json).await)
    } else {
        terminal::run(node).await
    }
}
