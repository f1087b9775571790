//! The program's subcommands, one file each.

pub mod client;
pub mod cluster;
pub mod completions;
pub mod man;
pub mod node;
pub mod tracker;
pub mod trust;

use std::process::ExitCode;
use std::sync::Arc;

use peerage_node::client::{Node, NodeConfig, StartError};

/// Starts a node; else what to end the program with, said already.
async fn start_node(config: NodeConfig) -> Result<Arc<Node>, ExitCode> {
    Node::start(config).await.map(Arc::new).map_err(|error| no_start(&error))
}

/// Says why no node starts; what to end the program with.
fn no_start(error: &StartError) -> ExitCode {
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(error.exit_code())
}
