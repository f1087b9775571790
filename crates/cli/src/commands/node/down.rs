//! `peerage down`.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use peerage_local::home::{self, HomeError};
use peerage_node::client::data_folder;

use super::{Which, remote};

/// How long a node may take to log out and end.
const END_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Arguments of `peerage down`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Ends the running node and waits for it. 1 when none runs.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let data = args.which.data.as_deref();
    let remote = match remote(data)? {
        Ok(remote) => remote,
        Err(code) => return Ok(code),
    };
    if let Some(hint) = remote.stop().await?.hint {
        eprintln!("hint: {hint}");
    }
    if ended(&data_folder(data)?).await {
        println!("Node ended; what was being downloaded resumes at the next login");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: the node was asked to end and has not after {} s", END_MAX.as_secs());
    Ok(ExitCode::FAILURE)
}

async fn ended(folder: &Path) -> bool {
    let asked = Instant::now();
    while asked.elapsed() < END_MAX {
        if matches!(home::find(folder), Err(HomeError::NotRunning(_))) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}
