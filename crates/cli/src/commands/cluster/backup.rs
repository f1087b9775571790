//! `peerage cluster backup` and `restore`: one tracker's data into a folder, and back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use peerage_tracker::backup::{self, BackupError, Which};

use super::Failed;
use super::key::keyring_failed;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list; the keyring lies beside it
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// Which line of the list, counted from 1: a tracker of this machine
    #[arg(value_name = "NUMBER")]
    number: usize,
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    archive: PathBuf,
    /// The tracker's data folder, if it was started with one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Copies the data of a running or stopped tracker.
pub async fn backup(args: Args) -> Result<ExitCode, Failed> {
    let (which, archive) = split(args);
    let list = which.list.clone();
    let done = tokio::task::spawn_blocking({
        let archive = archive.clone();
        move || backup::backup(&which, &archive)
    });
    let summary = done.await.map_err(Failed::new)?.map_err(|error| failed(error, &list))?;
    println!("Backup made: {} records, {} bytes in `{}`", summary.records, summary.bytes, archive.display());
    eprintln!(
        "hint: the keyring is not in it; keep that apart: `peerage cluster key export {} FILE`",
        list.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Fills the empty data folder of a stopped tracker.
pub async fn restore(args: Args) -> Result<ExitCode, Failed> {
    let (which, archive) = split(args);
    let (list, number) = (which.list.clone(), which.number);
    let done = tokio::task::spawn_blocking(move || backup::restore(&which, &archive));
    let summary = done.await.map_err(Failed::new)?.map_err(|error| failed(error, &list))?;
    println!("Backup restored: {} records in `{}`", summary.records, summary.data.display());
    eprintln!(
        "hint: `peerage tracker {} {number}` starts it; it fetches from the others what came later",
        list.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn split(args: Args) -> (Which, PathBuf) {
    (Which { list: args.list, number: args.number, data: args.data }, args.archive)
}

fn failed(error: BackupError, list: &Path) -> Failed {
    match error {
        BackupError::Keyring(error) => keyring_failed(error, list),
        BackupError::OtherCluster { .. } => Failed::new(error)
            .hint("each cluster has its own keyring: use the list whose keyring belongs to this data"),
        error => Failed::new(error),
    }
}
