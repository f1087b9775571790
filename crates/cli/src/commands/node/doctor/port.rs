//! Whether others can connect to this device: asked of a tracker, by the node that runs. Only a device that is logged in may
//! ask, and its key is sealed while nobody is.

use std::path::Path;

use peerage_local::client::Remote;
use peerage_local::client::{RemoteError, Reply};
use peerage_local::command::Spec;
use peerage_local::home;
use serde_json::{Map, Value};

use super::Finding;

/// What to do before it can be looked at.
const FIRST: &str = "peerage up, then peerage doctor";

pub(super) async fn look(folder: &Path) -> Finding {
    let skipped = |why: &str, first: &str| {
        Finding::skipped(
            "port",
            format!("Whether others can connect to this device was not looked at: {why}."),
            first,
        )
    };
    let Ok(running) = home::find(folder) else { return skipped("no node runs", FIRST) };
    let reply = match ask(&Remote::new(running)).await {
        Ok(reply) => reply,
        Err(error) => return skipped(&error.to_string(), FIRST),
    };
    match (reach(&reply).as_deref(), reply.exit_code) {
        (Some("device"), _) => {
            Finding { fix: reply.hint, ..Finding::well("port", format!("{}.", reply.message)) }
        }
        (Some(_), _) => Finding::bad("port", format!("{}.", reply.message), reply.hint.unwrap_or_default()),
        (None, 3) => skipped("nobody is logged in", "peerage login <user_id>, then peerage doctor"),
        (None, _) => skipped(
            &reply.error.unwrap_or_default(),
            &reply.hint.unwrap_or_else(|| "peerage doctor again in a while".to_owned()),
        ),
    }
}

async fn ask(remote: &Remote) -> Result<Reply, RemoteError> {
    let unknown = || RemoteError::Answer("there is no `check_port`".to_owned());
    let spec = Spec::find("check_port").ok_or_else(unknown)?;
    remote.command(spec, &Map::new(), false).await
}

/// What became of the tracker's connection.
fn reach(reply: &Reply) -> Option<String> {
    let object: Value = serde_json::from_str(&reply.text).ok()?;
    object["items"][0]["reach"].as_str().map(str::to_owned)
}
