//! `peerage drill TRACKER_INFO`: takes one tracker of a running set away for a while, proves with accounts of its own that
//! everything goes on, waits for it to come back and to catch up, and reports.

mod report;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use peerage_link::api::DRILL_SECONDS_MAX;

use crate::commands::cluster::Failed;
use crate::demo::Registry;
use crate::signals;

/// Arguments of `peerage drill`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tracker list; the keyring lies beside it
    #[arg(value_name = "TRACKER_INFO")]
    pub list: PathBuf,
    /// Which tracker goes away; the first one is the one that members ask first
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub tracker: usize,
    /// How long it stays away
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=i64::from(DRILL_SECONDS_MAX)))]
    pub seconds: u32,
}

/// 0 if everything went on and the tracker caught up.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let registry = Registry::default();
    let mut stop = signals::shutdown();
    let told = registry.clone();
    let mut drill = tokio::spawn(async move { story::play(&args, &told).await });
    let outcome = tokio::select! {
        outcome = &mut drill => outcome?,
        _ = stop.recv() => {
            registry.stop();
            // The processes are gone, so this ends at its next step.
            drop(drill.await);
            return Ok(Failed::new("stopped; the tracker comes back by itself").report());
        }
    };
    Ok(match outcome {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(!report.passed()))
        }
        Err(failed) => failed.report(),
    })
}
