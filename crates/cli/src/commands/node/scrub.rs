//! `peerage scrub` on a terminal: a bar while the node reads.

use std::time::Duration;

use peerage_local::client::{Remote, RemoteError, Reply};
use peerage_local::command::Spec;
use serde_json::{Map, Value};

use crate::progress::Bars;

/// How often the node is asked how far it is. A small share is read before the first time.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for the reply, and draws meanwhile.
pub async fn draw(
    remote: &Remote,
    args: &Map<String, Value>,
    reply: impl Future<Output = Result<Reply, RemoteError>>,
) -> Result<Reply, RemoteError> {
    let arg = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let (group, file) = (arg("group"), arg("file").trim_end_matches('/'));
    let mut bars = Bars::default();
    bars.scrubbing(file, 0);
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
    tokio::pin!(reply);
    loop {
        let percent = async {
            look.tick().await;
            percent(remote, group, file).await
        };
        tokio::select! {
            reply = &mut reply => return reply,
            percent = percent => percent.into_iter().for_each(|percent| bars.scrubbing(file, percent)),
        }
    }
}

/// How far it is; nothing while that is not known.
async fn percent(remote: &Remote, group: &str, file: &str) -> Option<u64> {
    let args: [(String, Value); 3] = [
        ("group".to_owned(), group.into()),
        ("search".to_owned(), file.into()),
        ("limit".to_owned(), u32::MAX.into()),
    ];
    let listed = remote.command(Spec::find("list_files")?, &args.into_iter().collect(), false).await.ok()?;
    let object: Value = serde_json::from_str(&listed.text).ok()?;
    let item = object["items"].as_array()?.iter().find(|item| item["name"] == file)?;
    item["scrub_percent"].as_u64()
}
