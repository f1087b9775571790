//! `peerage man FOLDER`: a man page for each command.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

/// Arguments of `peerage man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the pages are written; made if it is not there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes the pages of `program` and of all commands below it.
pub fn run(args: &Args, program: clap::Command) -> anyhow::Result<ExitCode> {
    let shown = args.folder.display();
    fs::create_dir_all(&args.folder).with_context(|| format!("the folder `{shown}`"))?;
    clap_mangen::generate_to(program, &args.folder).with_context(|| format!("man pages in `{shown}`"))?;
    println!("Man pages written");
    eprintln!("hint: man -l {}", args.folder.join("peerage.1").display());
    Ok(ExitCode::SUCCESS)
}
