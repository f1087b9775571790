//! `peerage trust TRACKER_INFO`: accept the key that the trackers show now.

use std::path::PathBuf;
use std::process::ExitCode;

use peerage_node::client::trust;

/// Arguments of `peerage trust`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// The data folder, if not the one of this user
    #[arg(long, value_name = "DIR", env = "PEERAGE_DATA")]
    data: Option<PathBuf>,
}

/// Asks every tracker of the list for its key and trusts it from now on, if they all show the same.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match trust(&args.list, args.data.as_deref()).await {
        Ok(trusted) => {
            println!("Trusted key {}", trusted.key.to_hex());
            if let Some(before) = trusted.before.filter(|b| *b != trusted.key) {
                println!("before: {}", before.to_hex());
            }
            for address in &trusted.silent {
                eprintln!("{address} did not answer");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => {
            eprintln!("error: {refusal}");
            if let Some(hint) = refusal.hint() {
                eprintln!("hint: {hint}");
            }
            Ok(ExitCode::from(refusal.exit_code()))
        }
    }
}
