//! The `peerage` program: trackers, members, and what helps to run them.

mod commands;
mod demo;
mod drill;
mod logging;
mod progress;
mod shell;
mod signals;

use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Much is allocated for each request, and freed by another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Run this machine's node: local API, web page, transfers; until `peerage down` or Ctrl-C
    Up(Box<commands::node::up::Args>),
    /// Tell who is logged in at the running node, and where its page is
    Status(commands::node::status::Args),
    /// Look for what keeps this machine from working: folder, disk, trackers, their key and clock; a fix for each
    Doctor(commands::node::doctor::Args),
    /// End the running node
    Down(commands::node::down::Args),
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
    /// Print a shell's completion script: peerage completions bash > ~/.local/share/bash-completion/completions/peerage
    Completions(commands::completions::Args),
    /// Write a man page for each command into a folder
    Man(commands::man::Args),
}

fn main() -> ExitCode {
    let matches = program().get_matches();
    logging::start(matches.get_count("verbose"));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(&matches));
    // Threads that read stdin cannot be interrupted, so nothing waits for them.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Our own subcommands, and the shell's commands through a running node.
fn program() -> clap::Command {
    Cli::command().subcommands(commands::node::member::subcommands())
}

async fn run(matches: &clap::ArgMatches) -> anyhow::Result<ExitCode> {
    if let Some((name, matches)) = matches.subcommand()
        && let Some(call) = commands::node::member::Call::of(name, matches)
    {
        return commands::node::member::run(call).await;
    }
    match Cli::from_arg_matches(matches)?.command {
        Command::Up(args) => commands::node::up::run(*args).await,
        Command::Status(args) => commands::node::status::run(args).await,
        Command::Doctor(args) => commands::node::doctor::run(args).await,
        Command::Down(args) => commands::node::down::run(args).await,
        Command::Tracker(args) => commands::tracker::run(args).await,
        Command::Client(args) => commands::client::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Cluster(args) => commands::cluster::run(args).await,
        Command::Drill(args) => drill::run(args).await,
        Command::Trust(args) => commands::trust::run(args).await,
        Command::Completions(args) => commands::completions::run(&args, program()),
        Command::Man(args) => commands::man::run(&args, program()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_consistent() {
        super::program().debug_assert();
    }
}
