//! One download in detail, and what is in a shared folder.

use peerage_node::client::{DownloadDetail, FolderLine, GroupRef, Node, Refusal};

use super::files::peer_item;
use crate::reply::{Done, Item, human, model};

pub(super) async fn show(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    let detail = node.show_download(group, file).await?;
    Ok(Done { items: Some(vec![detail_item(&detail)]), ..Done::say("1 download") })
}

/// A line about the pieces, one about what keeps it from going on, then one for each peer.
fn detail_item(detail: &DownloadDetail) -> Item {
    let pieces = match &detail.pieces {
        Some(map) => {
            format!(
                "{} of {}\t{}",
                map.0.count(),
                human::count(u64::from(map.0.len()), "piece"),
                map.cells(model::PIECE_MAP_CELLS)
            )
        }
        None => "not running".to_owned(),
    };
    let note = detail.note.iter().map(|note| format!("({note})"));
    let peers = detail.peers.iter().map(|peer| peer_item(peer).line);
    let lines: Vec<String> = std::iter::once(pieces).chain(note).chain(peers).collect();
    Item::new(lines.join("\n"), None, &model::DownloadDetail::from(detail))
}

pub(super) async fn forget(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    node.forget_download(group, file).await?;
    Ok(Done::say("Download taken off the list").next("the file stays where it is"))
}

pub(super) async fn list_folder(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    let files = node.list_folder(group, file).await?;
    let item = |file: &FolderLine| {
        let object = model::FolderFile::from(file);
        let priority = object.priority.filter(|priority| *priority != model::Wanted::Normal);
        let word = priority.map(|priority| format!(" {}", priority.word())).unwrap_or_default();
        Item::new(file.path.clone(), Some(format!("{}{word}", human::bytes(file.size))), &object)
    };
    Ok(Done::list(files.iter().map(item).collect(), "file", "The folder is empty"))
}
