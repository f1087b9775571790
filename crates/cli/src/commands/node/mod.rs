//! The node of this machine: starting and ending it, and the shell's commands through it.

pub mod doctor;
pub mod down;
mod get;
pub mod member;
mod scrub;
mod secrets;
mod settings;
pub mod status;
mod subcommands;
pub mod up;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use peerage_local::client::Remote;
use peerage_local::home::{self, HomeError};
use peerage_node::client::data_folder;

/// Which node is meant.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The node's data folder, if not the one of this user
    #[arg(long, value_name = "DIR", env = "PEERAGE_DATA")]
    data: Option<PathBuf>,
}

/// The node that runs with a data folder; else what to end the program with, said already.
fn remote(data: Option<&Path>) -> anyhow::Result<Result<Remote, ExitCode>> {
    let folder = data_folder(data)?;
    Ok(home::find(&folder).map(Remote::new).map_err(|error| refuse(&error)))
}

fn refuse(error: &HomeError) -> ExitCode {
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}
