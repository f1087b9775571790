//! `peerage cluster …`: for whoever runs the trackers of a list.

pub mod ask;
mod backup;
mod check;
mod key;
pub mod status;
pub mod table;

use std::process::ExitCode;

/// Arguments of `peerage cluster`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Carry the keyring, which all trackers of a cluster share, to another machine
    #[command(subcommand)]
    Key(key::Command),
    /// How every tracker of the list is, and in one sentence whether all is well
    Status(status::Args),
    /// Compare what the trackers hold record by record, and let them fetch what they lost
    Check(check::Args),
    /// Copy the data of a tracker of this machine, running or not, into a new folder
    Backup(backup::Args),
    /// Fill the empty data folder of a stopped tracker from a backup
    Restore(backup::Args),
}

/// Runs one of them.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let outcome = match args.command {
        Command::Key(command) => key::run(command),
        Command::Status(args) => status::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Backup(args) => backup::backup(args).await,
        Command::Restore(args) => backup::restore(args).await,
    };
    Ok(outcome.unwrap_or_else(Failed::report))
}

/// Why an operator's command did not work: one line, the way out, the exit code.
#[derive(Debug)]
pub struct Failed {
    error: String,
    hint: Option<String>,
    code: u8,
}

impl Failed {
    /// Exit code 1.
    pub fn new(error: impl ToString) -> Self {
        Self { error: error.to_string(), hint: None, code: 1 }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Says so on standard error.
    pub fn report(self) -> ExitCode {
        eprintln!("error: {}", self.error);
        if let Some(hint) = self.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(self.code)
    }
}

impl From<peerage_link::list::ListError> for Failed {
    fn from(error: peerage_link::list::ListError) -> Self {
        Self::new(error).code(2)
    }
}
