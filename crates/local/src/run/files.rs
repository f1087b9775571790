//! Files of groups, shares and downloads.

use std::path::Path;
use std::time::Duration;

use peerage_node::client::{
    Cancelled, DownloadLine, DownloadOptions, FileLine, FilePriority, GroupRef, HashReport, Node, PeerLine,
    Refusal,
};

use crate::command::{Part, Sort, quote};
use crate::reply::{Done, Item, human, model};

pub(super) async fn list(node: &Node, group: &GroupRef, part: &Part) -> Result<Done, Refusal> {
    // Whoever asks for parts asks often: the tracker is not bothered with each.
    let files = match part.limit {
        None => node.list_files(group).await?,
        Some(_) => node.list_files_further(group).await?,
    };
    Ok(list_part(&files, group, part))
}

/// The wanted part of a group's files, as a reply.
pub fn list_part(files: &[FileLine], group: &GroupRef, part: &Part) -> Done {
    if *part == Part::default() {
        return listing(files, group);
    }
    let (total, chosen) = part_of(files, part);
    Done { total: Some(total), ..listing(&chosen, group) }
}

/// The wanted part, and how many files there are in all that fit the search.
fn part_of(files: &[FileLine], part: &Part) -> (usize, Vec<FileLine>) {
    let fits = |file: &&FileLine| part.search.is_empty() || file.name.to_lowercase().contains(&part.search);
    let mut fitting: Vec<(u64, String, &FileLine)> =
        files.iter().filter(fits).map(|f| keyed(f, part.sort)).collect();
    let total = fitting.len();
    let end = part.from.saturating_add(part.limit.unwrap_or(total)).min(total);
    let from = part.from.min(end);
    let (from, end) = if part.reverse { (total - end, total - from) } else { (from, end) };
    if part.sort != Sort::Listed {
        // Only what is wanted is put in order.
        let order =
            |a: &(u64, String, &FileLine), b: &(u64, String, &FileLine)| (a.0, &a.1).cmp(&(b.0, &b.1));
        if from > 0 {
            fitting.select_nth_unstable_by(from - 1, order);
        }
        if from < end {
            fitting[from..].select_nth_unstable_by(end - from - 1, order);
        }
        fitting[from..end].sort_unstable_by(order);
    }
    let mut wanted: Vec<FileLine> = fitting[from..end].iter().map(|(_, _, file)| (*file).clone()).collect();
    if part.reverse {
        wanted.reverse();
    }
    (total, wanted)
}

/// With what it is ordered by; the name, which no two have, comes last.
fn keyed(file: &FileLine, sort: Sort) -> (u64, String, &FileLine) {
    let number = match sort {
        Sort::Listed => return (0, String::new(), file),
        Sort::Name => 0,
        Sort::Size => file.size,
        Sort::Sharers => u64::from(file.sharers_online),
    };
    (number, file.name.to_lowercase(), file)
}

fn listing(files: &[FileLine], group: &GroupRef) -> Done {
    let next = match files.first() {
        Some(file) => format!("download_file {group} {} <destination_path>", quote(&file.name)),
        None => format!("upload_file <file_path> {group}"),
    };
    Done::list(files.iter().map(file_item).collect(), "file", "No files in the group at this time").next(next)
}

fn file_item(file: &FileLine) -> Item {
    let online = human::count(u64::from(file.sharers_online), "sharer");
    let files = file.files.map(|count| format!(" in {}", human::count(u64::from(count), "file")));
    let slash = if files.is_some() { "/" } else { "" };
    let scrub = file.scrub_percent.map(|percent| format!(", looked through for damage: {percent} %"));
    let scrub = scrub.unwrap_or_default();
    let detail = format!("{}{}\t{online} online{scrub}", human::bytes(file.size), files.unwrap_or_default());
    Item::new(format!("{}{slash}", file.name), Some(detail), &model::File::from(file))
}

pub(super) async fn upload(
    node: &Node,
    path: &Path,
    group: &GroupRef,
    hashed: HashReport,
) -> Result<Done, Refusal> {
    let reply = node.upload_file(path, group, hashed).await?;
    let again = if reply.joined_existing { "; you are one more sharer of it" } else { "" };
    Ok(Done::say("File shared successfully").note(reply.skipped).next(format!(
        "invite {group}; who is in: `download_file {group} {} <destination_path>`{again}",
        quote(&reply.name)
    )))
}

pub(super) async fn stop_share(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    node.stop_share(group, file).await?;
    Ok(Done::say("Stopped sharing this file").next("the file itself stays where it is"))
}

pub(super) async fn set_priority(
    node: &Node,
    group: &GroupRef,
    file: &str,
    priority: FilePriority,
    only: &[String],
) -> Result<Done, Refusal> {
    let set = node.set_priority(group, file, priority, only).await?;
    let files = human::count(u64::from(set.files), "file");
    Ok(Done::say(format!("Priority of {files} set"))
        .next(format!("{} of {} files are downloaded", set.selected, set.total)))
}

pub(super) async fn scrub(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    let found = node.scrub(group, file).await?;
    let item = Item::new("", None, &model::Scrub { pieces: found.pieces, damaged: found.damaged });
    let (pieces, damaged) = (human::count(found.pieces.into(), "piece"), u64::from(found.damaged));
    let said = match damaged {
        0 => format!("Nothing damaged in {pieces}"),
        1 => format!("1 of {pieces} is damaged"),
        n => format!("{n} of {pieces} are damaged"),
    };
    let note = (damaged > 0).then(|| {
        "what is damaged is not served any more; it is fetched again as soon as a member who has it is online".to_owned()
    });
    let line = said.clone();
    Ok(Done { items: Some(vec![Item { line, ..item }]), ..Done::say(said) }.note(note))
}

pub(super) async fn download(
    node: &Node,
    group: &GroupRef,
    file: &str,
    destination: &str,
    options: &DownloadOptions,
) -> Result<Done, Refusal> {
    let reply = node.download_file(group, file, destination, options).await?;
    let (size, path) = (human::bytes(reply.size), reply.path.display());
    let from = human::count(reply.peers as u64, "peer");
    let object = model::Started {
        group: group.to_string(),
        name: reply.name.clone(),
        size: reply.size,
        path: path.to_string(),
        peers: reply.peers,
    };
    let said = "Download started";
    Ok(Done { items: Some(vec![Item::new(said, None, &object)]), ..Done::say(said) }
        .next(format!("{size} from {from} to {path}; `wait` shows progress and returns when it is complete")))
}

pub(super) async fn pause(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    node.pause_download(group, file).await?;
    Ok(Done::say("Download paused").next(format!("resume_download {group} {}", quote(file))))
}

pub(super) async fn resume(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    node.resume_download(group, file).await?;
    Ok(Done::say("Download resumed"))
}

pub(super) async fn cancel(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    let kept = match node.cancel_download(group, file).await? {
        Cancelled::Removed => None,
        Cancelled::Kept(folder) => Some(format!(
            "what has arrived is kept as `.part` in `{}`: it may hold files of yours",
            folder.display()
        )),
    };
    Ok(Done::say("Download cancelled").note(kept))
}

pub(super) async fn show_downloads(node: &Node) -> Result<Done, Refusal> {
    let downloads = node.show_downloads().await?;
    Ok(Done::list(downloads.iter().map(download_item).collect(), "download", "No downloads at this time"))
}

/// The classroom's line: `[D] [grp_id] filename`, then what a person may want to know.
fn download_item(d: &DownloadLine) -> Item {
    let state = if d.complete { "C" } else { "D" };
    let mut line = format!("[{state}] [{}] {}", d.group, d.name);
    if !d.complete {
        line.push_str(&format!(" {}% {}/s", d.percent, human::bytes(d.bytes_per_second)));
        if let Some((selected, all)) = d.files.filter(|(selected, all)| selected < all) {
            line.push_str(&format!(" {selected} of {all} files"));
        }
    }
    if let Some(note) = &d.note {
        line.push_str(&format!(" ({note})"));
    }
    Item::new(line, None, &model::Download::from(d))
}

pub(super) async fn list_peers(node: &Node, group: &GroupRef, file: &str) -> Result<Done, Refusal> {
    let peers = node.list_peers(group, file).await?;
    Ok(Done::list(peers.iter().map(peer_item).collect(), "peer", "No peers at this time"))
}

pub(super) fn peer_item(peer: &PeerLine) -> Item {
    let cells = peer.pieces.as_ref().map(|pieces| pieces.cells(model::PIECE_MAP_CELLS));
    let map = cells.unwrap_or_else(|| "-".to_owned());
    let line = format!("{}\t{}\t{}%\t{map}", peer.user, peer.address, peer.percent);
    Item::new(line, None, &model::Peer::from(peer))
}

pub(super) async fn wait(
    node: &Node,
    what: Option<&(GroupRef, String)>,
    timeout: Option<Duration>,
) -> Result<Done, Refusal> {
    let done = node.wait(what.map(|(group, file)| (group, file.as_str())), timeout).await?;
    Ok(Done::say(match done {
        0 => "No downloads are running".to_owned(),
        1 => "Download complete".to_owned(),
        n => format!("{n} downloads complete"),
    }))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use peerage_node::client::{Activity, DownloadLine, FileLine, PeerLine};
    use peerage_types::ContentId;

    use super::*;
    use crate::reply;

    fn both(items: Vec<Item>) -> String {
        let done = Ok(Done::list(items, "entry", ""));
        format!("{}\n{}", reply::plain(&done), reply::json("x", &done))
    }

    #[test]
    fn downloads_keep_the_classroom_form() {
        let running = DownloadLine {
            group: "g1".into(),
            name: "a b.iso".into(),
            complete: false,
            percent: 42.5,
            bytes_done: 42,
            bytes_total: 100,
            bytes_per_second: 1536,
            peers: 2,
            path: "/d/a b.iso".into(),
            seconds: 1.5,
            sources: vec![("ada".into(), 40), ("ben".into(), 2)],
            activity: Activity::Downloading,
            note: None,
            files: Some((3, 12)),
        };
        let complete = DownloadLine {
            complete: true,
            percent: 100.0,
            bytes_done: 100,
            bytes_per_second: 0,
            activity: Activity::Complete,
            ..running.clone()
        };
        let waiting = DownloadLine {
            activity: Activity::NoSharer,
            note: Some("waiting for a sharer".into()),
            ..running.clone()
        };
        expect![[r#"
            [D] [g1] a b.iso 42.5% 1.50 KiB/s 3 of 12 files
            [C] [g1] a b.iso
            [D] [g1] a b.iso 42.5% 1.50 KiB/s 3 of 12 files (waiting for a sharer)
            {"command":"x","ok":true,"message":"3 entrys","items":[{"activity":"downloading","bytes_done":42,"bytes_per_second":1536,"bytes_total":100,"files":12,"files_selected":3,"group":"g1","name":"a b.iso","note":null,"path":"/d/a b.iso","peers":2,"percent":42.5,"seconds":1.5,"sources":[{"bytes":40,"user":"ada"},{"bytes":2,"user":"ben"}],"state":"D"},{"activity":"complete","bytes_done":100,"bytes_per_second":0,"bytes_total":100,"files":12,"files_selected":3,"group":"g1","name":"a b.iso","note":null,"path":"/d/a b.iso","peers":2,"percent":100.0,"seconds":1.5,"sources":[{"bytes":40,"user":"ada"},{"bytes":2,"user":"ben"}],"state":"C"},{"activity":"no_sharer","bytes_done":42,"bytes_per_second":1536,"bytes_total":100,"files":12,"files_selected":3,"group":"g1","name":"a b.iso","note":"waiting for a sharer","path":"/d/a b.iso","peers":2,"percent":42.5,"seconds":1.5,"sources":[{"bytes":40,"user":"ada"},{"bytes":2,"user":"ben"}],"state":"D"}]}"#]]
        .assert_eq(&both([running, complete, waiting].iter().map(download_item).collect()));
    }

    #[test]
    fn parts_of_a_listing() {
        let file = |name: &str, size, sharers_online| FileLine {
            name: name.into(),
            size,
            files: None,
            sharers: 3,
            sharers_online,
            content: ContentId([1; 32]),
            mine: false,
            last_holder: Some(false),
            damaged: false,
            scrub_percent: None,
        };
        let files = vec![file("b.mkv", 1, 2), file("A.mkv", 3, 0), file("c.txt", 2, 1)];
        let check = |part: Part| {
            let (total, files) = part_of(&files, &part);
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            format!("{} of {total}", names.join(" "))
        };
        let all = Part::default();
        let by = |sort| Part { sort, ..all.clone() };
        assert_eq!(check(Part { from: 1, limit: Some(1), ..all.clone() }), "A.mkv of 3");
        assert_eq!(check(Part { from: 9, ..all.clone() }), " of 3");
        assert_eq!(check(Part { from: 1, limit: Some(1), reverse: true, ..by(Sort::Size) }), "c.txt of 3");
        assert_eq!(check(Part { from: 2, limit: Some(5), ..by(Sort::Size) }), "A.mkv of 3");
        assert_eq!(check(Part { search: ".mkv".into(), ..by(Sort::Name) }), "A.mkv b.mkv of 2");
        assert_eq!(check(by(Sort::Size)), "b.mkv c.txt A.mkv of 3");
        assert_eq!(check(Part { reverse: true, ..by(Sort::Sharers) }), "b.mkv c.txt A.mkv of 3");
    }

    #[test]
    fn files_and_peers() {
        let file = FileLine {
            name: "notes.pdf".into(),
            size: 2048,
            files: None,
            sharers: 2,
            sharers_online: 0,
            content: ContentId([0xab; 32]),
            mine: false,
            last_holder: None,
            damaged: false,
            scrub_percent: Some(42),
        };
        let folder = FileLine { name: "album".into(), files: Some(3), ..file.clone() };
        let done = Ok(listing(&[file, folder], &"g".parse().unwrap()));
        expect![[r#"
            notes.pdf
            album/
            {"command":"list_files","ok":true,"message":"2 files","items":[{"content":"abababababababababababababababababababababababababababababababab","damaged":false,"files":null,"last_holder":null,"mine":false,"name":"notes.pdf","scrub_percent":42,"sharers":2,"sharers_online":0,"size":2048},{"content":"abababababababababababababababababababababababababababababababab","damaged":false,"files":3,"last_holder":null,"mine":false,"name":"album","scrub_percent":42,"sharers":2,"sharers_online":0,"size":2048}]}"#]]
        .assert_eq(&format!("{}\n{}", reply::plain(&done), reply::json("list_files", &done)));
        let peer = PeerLine {
            user: "bob".into(),
            address: "10.0.0.2:7600".into(),
            percent: 50,
            seeding: false,
            connected: false,
            bytes_from: 0,
            bytes_to: 0,
            pieces: None,
        };
        expect![[r#"
            bob	10.0.0.2:7600	50%	-
            {"command":"x","ok":true,"message":"1 entry","items":[{"address":"10.0.0.2:7600","bytes_from":0,"bytes_to":0,"connected":false,"percent":50,"piece_map":null,"pieces":null,"pieces_total":null,"seeding":false,"user":"bob"}]}"#]]
        .assert_eq(&both(vec![peer_item(&peer)]));
    }
}
