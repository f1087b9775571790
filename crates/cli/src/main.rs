//! The `peerage` program: trackers, members, and what helps to run them.

mod commands;
mod demo;
mod drill;
mod logging;
mod shell;
mod signals;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

/// Share large files inside a group, from member to member.
#[derive(Debug, Parser)]
#[command(name = "peerage", version, arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    /// Say more on stderr; repeat for even more (or set PEERAGE_LOG)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a tracker; `quit` on stdin closes it
    Tracker(commands::tracker::Args),
    /// Open the shell of a member; also reads commands from a pipe
    Client(commands::client::Args),
    /// Play the whole story on this machine: trackers, an owner, members, a real transfer
    Demo(demo::DemoArgs),
    /// For operators: keys, state, backup and restore of the trackers of a list
    Cluster(commands::cluster::Args),
    /// Take one tracker of a running set away for a moment and prove that everything goes on
    Drill(drill::Args),
    /// Trust the key that the trackers of a list show now
    Trust(commands::trust::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Tracker(args) => commands::tracker::run(args).await,
            Command::Client(args) => commands::client::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Cluster(args) => commands::cluster::run(args).await,
            Command::Drill(args) => drill::run(args).await,
            Command::Trust(args) => commands::trust::run(args).await,
        }
    });
    // Threads that read stdin cannot be interrupted, so nothing waits for them.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
