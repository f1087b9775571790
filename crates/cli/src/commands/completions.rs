//! `peerage completions SHELL`: what a shell needs to complete our commands.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_complete::Shell;

/// Arguments of `peerage completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose script is printed
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for the commands of `program`.
pub fn run(args: &Args, mut program: clap::Command) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "peerage", &mut script);
    match io::stdout().write_all(&script) {
        // `peerage completions bash | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => Ok(written.map(|()| ExitCode::SUCCESS)?),
    }
}
