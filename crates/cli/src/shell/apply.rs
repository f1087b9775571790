//! Runs a parsed command on the node and words its reply.

use std::path::Path;

use peerage_node::client::{Left, MyStanding, Node, Refusal, Role};
use serde_json::{Value, json};

use super::apply_account::{account, identity};
use super::human;
use super::outcome::{Done, Item, Outcome, note_stale};
use super::parse::{Command, ParseError, parse};
use super::progress::Progress;
use super::roles;
use super::spec::{SPECS, help_lines};
use super::split::quote;

/// Parses and runs one line. `None` when there was nothing to do (blank line, comment).
pub async fn execute(node: &Node, line: &str, progress: Progress) -> Option<Outcome> {
    match parse(line) {
        Ok(None) => None,
        Ok(Some(command)) => {
            let started = std::time::Instant::now();
            let mut outcome = apply(node, command, progress).await.map_err(Into::into);
            note_stale(&mut outcome, node.stale_since(started));
            Some(outcome)
        }
        // An impossible group name is unknown; but nobody learns that before logging in.
        Err(ParseError::Refused(refusal)) if needs_login(&refusal) && !node.is_logged_in() => {
            Some(Err(Refusal::NotLoggedIn.into()))
        }
        Err(error) => Some(Err(error.into())),
    }
}

fn needs_login(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::GroupUnknown | Refusal::NotRequested | Refusal::NotInGroup)
}

async fn apply(node: &Node, command: Command, progress: Progress) -> Result<Done, Refusal> {
    match command {
        Command::CreateUser { .. } | Command::Login { .. } | Command::Logout | Command::Whoami => {
            account(node, command).await
        }
        Command::ChangePassword { .. }
        | Command::ClaimName { .. }
        | Command::ListDevices
        | Command::RevokeDevice { .. }
        | Command::RecoveryCode { .. }
        | Command::Recover { .. } => identity(node, command).await,
        Command::CreateGroup { .. }
        | Command::JoinGroup { .. }
        | Command::LeaveGroup { .. }
        | Command::ListGroups
        | Command::ListMembers { .. } => group(node, command).await,
        Command::ListRequests { .. }
        | Command::AcceptRequest { .. }
        | Command::RejectRequest { .. }
        | Command::Kick { .. } => member(node, command).await,
        Command::GrantAdmin { .. }
        | Command::RevokeAdmin { .. }
        | Command::HandOver { .. }
        | Command::CloseGroup { .. }
        | Command::Audit { .. } => roles::apply(node, command).await,
        Command::Help => Ok(help()),
        Command::Exit => Ok(Done { ends: true, ..Done::say("Goodbye") }),
        command => files(node, command, progress).await,
    }
}

fn help() -> Done {
    let entry = |(line, spec): (String, &super::spec::Spec)| Item {
        line,
        detail: None,
        json: json!({ "name": spec.name, "usage": spec.usage, "summary": spec.summary }),
    };
    Done::list(help_lines().into_iter().zip(SPECS).map(entry).collect(), "command", "")
}

async fn group(node: &Node, command: Command) -> Result<Done, Refusal> {
    Ok(match command {
        Command::CreateGroup { group } => {
            node.create_group(&group).await?;
            Done::say("Group created successfully").next(format!("upload_file <file_path> {group}"))
        }
        Command::JoinGroup { group } => {
            node.join_group(&group).await?;
            Done::say("Join request sent").next("its owner has to accept; then `list_files <group_id>`")
        }
        Command::LeaveGroup { group } => match node.leave_group(&group).await? {
            Left::Deleted => Done::say("Group deleted as you were the only person in the group"),
            Left::Left { heir: Some(heir) } => {
                Done::say("You left the group!").next(format!("{heir} owns it now"))
            }
            Left::Left { heir: None } => Done::say("You left the group!"),
        },
        Command::ListMembers { group } => {
            let members = node.list_members(&group).await?.into_iter().map(|m| Item {
                line: m.user.clone(),
                detail: match (m.role, m.forked) {
                    (role, true) => Some(format!("{}, forked", roles::word(role))),
                    (Role::Member, false) => None,
                    (role, false) => Some(roles::word(role).to_owned()),
                },
                json: json!({
                    "user": m.user,
                    "user_id": m.user_id.to_hex(),
                    "role": roles::word(m.role),
                    "forked": m.forked,
                }),
            });
            Done::list(members.collect(), "member", "No members at this time")
        }
        _ => {
            let standing = |s| match s {
                MyStanding::None => "none",
                MyStanding::Requested => "requested",
                MyStanding::Member => "member",
                MyStanding::Owner => "owner",
            };
            let groups = node.list_groups().await?.into_iter().map(|g| Item {
                json: json!({ "group": g.name, "members": g.members, "standing": standing(g.standing) }),
                line: g.name,
                detail: None,
            });
            Done::list(groups.collect(), "group", "No groups at this time").next("join_group <group_id>")
        }
    })
}

async fn member(node: &Node, command: Command) -> Result<Done, Refusal> {
    Ok(match command {
        Command::ListRequests { group } => {
            let users = node.list_requests(&group).await?.into_iter();
            let items = users.map(|u| Item { json: json!({ "user": u }), line: u, detail: None });
            Done::list(items.collect(), "join request", "No join requests at this time")
                .next(format!("accept_request {group} <user_id>"))
        }
        Command::AcceptRequest { group, user } => {
            node.accept_request(&group, &user).await?;
            Done::say("User accepted").next(format!("list_members {group}"))
        }
        Command::RejectRequest { group, user } => {
            node.reject_request(&group, &user).await?;
            Done::say("Request rejected")
        }
        Command::Kick { group, user } => {
            node.kick(&group, &user).await?;
            Done::say("User removed").next(format!("{user} may ask to join again"))
        }
        _ => Done::default(),
    })
}

async fn files(node: &Node, command: Command, progress: Progress) -> Result<Done, Refusal> {
    Ok(match command {
        Command::ListFiles { group } => list_files(node.list_files(&group).await?, &group),
        Command::UploadFile { path, group } => {
            let reply = progress.hashing(&path, |report| node.upload_file(&path, &group, report)).await?;
            let again = if reply.joined_existing { "you are one more sharer of it; " } else { "" };
            Done::say("File shared successfully").next(format!(
                "{again}others: download_file {group} {} <destination_path>",
                quote(&reply.name)
            ))
        }
        Command::StopShare { group, file } => {
            node.stop_share(&group, &file).await?;
            Done::say("Stopped sharing this file").next("the file itself stays where it is")
        }
        Command::DownloadFile { group, file, destination } => {
            let reply = node.download_file(&group, &file, &destination).await?;
            let (size, path) = (human::bytes(reply.size), display(&reply.path));
            let from = human::count(reply.peers as u64, "peer");
            Done::say("Download started").next(format!(
                "{size} from {from} to {path}; `wait` shows progress and returns when it is complete"
            ))
        }
        Command::ListPeers { group, file } => {
            let peers = node.list_peers(&group, &file).await?.into_iter().map(peer_item);
            Done::list(peers.collect(), "peer", "No peers at this time")
        }
        Command::Wait { what, timeout } => {
            let what = what.as_ref().map(|(group, file)| (group, file.as_str()));
            let done = progress.downloads(node, node.wait(what, timeout)).await?;
            Done::say(match done {
                0 => "No downloads are running".to_owned(),
                1 => "Download complete".to_owned(),
                n => format!("{n} downloads complete"),
            })
        }
        _ => {
            let downloads = node.show_downloads().await?.into_iter().map(download_item);
            Done::list(downloads.collect(), "download", "No downloads at this time")
        }
    })
}

fn list_files(files: Vec<peerage_node::client::FileLine>, group: &peerage_node::client::GroupRef) -> Done {
    let item = |f: peerage_node::client::FileLine| Item {
        line: f.name.clone(),
        detail: Some(format!(
            "{}\t{} online",
            human::bytes(f.size),
            human::count(u64::from(f.sharers_online), "sharer")
        )),
        json: json!({
            "name": f.name,
            "size": f.size,
            "sharers": f.sharers,
            "sharers_online": f.sharers_online,
            "content": f.content.to_hex(),
        }),
    };
    let next = match files.first() {
        Some(file) => format!("download_file {group} {} <destination_path>", quote(&file.name)),
        None => format!("upload_file <file_path> {group}"),
    };
    Done::list(files.into_iter().map(item).collect(), "file", "No files in the group at this time").next(next)
}

fn peer_item(peer: peerage_node::client::PeerLine) -> Item {
    const CELLS: u32 = 40;
    let map = peer.pieces.as_ref().map_or_else(|| "-".to_owned(), |p| p.cells(CELLS));
    Item {
        line: format!("{}\t{}\t{}%\t{map}", peer.user, peer.address, peer.percent),
        detail: None,
        json: json!({
            "user": peer.user,
            "address": peer.address,
            "percent": peer.percent,
            "seeding": peer.seeding,
            "connected": peer.connected,
            "bytes_from": peer.bytes_from,
            "bytes_to": peer.bytes_to,
            "pieces": peer.pieces.as_ref().map(|p| p.0.count()),
            "pieces_total": peer.pieces.as_ref().map(|p| p.0.len()),
            "piece_map": peer.pieces.as_ref().map(|p| p.cells(CELLS)),
        }),
    }
}

/// The classroom's line: `[D] [grp_id] filename`, then what a person may want to know.
fn download_item(d: peerage_node::client::DownloadLine) -> Item {
    let state = if d.complete { "C" } else { "D" };
    let mut line = format!("[{state}] [{}] {}", d.group, d.name);
    if !d.complete {
        line.push_str(&format!(" {}% {}/s", d.percent, human::bytes(d.bytes_per_second)));
        if let Some(note) = &d.note {
            line.push_str(&format!(" ({note})"));
        }
    }
    let sources: Vec<Value> =
        d.sources.iter().map(|(user, bytes)| json!({ "user": user, "bytes": bytes })).collect();
    let json = json!({
        "group": d.group,
        "name": d.name,
        "state": state,
        "percent": d.percent,
        "bytes_done": d.bytes_done,
        "bytes_total": d.bytes_total,
        "bytes_per_second": d.bytes_per_second,
        "seconds": d.seconds,
        "peers": d.peers,
        "sources": sources,
        "path": d.path.to_string_lossy(),
        "note": d.note,
    });
    Item { line, detail: None, json }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use peerage_node::client::{DownloadLine, FileLine, PeerLine};
    use peerage_types::ContentId;

    use super::*;
    use crate::shell::outcome;

    fn both(items: Vec<Item>) -> String {
        let done = Ok(Done::list(items, "entry", ""));
        format!("{}\n{}", outcome::plain(&done), outcome::json("x", &done))
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
            note: None,
        };
        let complete = DownloadLine {
            complete: true,
            percent: 100.0,
            bytes_done: 100,
            bytes_per_second: 0,
            ..running.clone()
        };
        let waiting = DownloadLine { note: Some("waiting for a sharer".into()), ..running.clone() };
        expect![[r#"
            [D] [g1] a b.iso 42.5% 1.50 KiB/s
            [C] [g1] a b.iso
            [D] [g1] a b.iso 42.5% 1.50 KiB/s (waiting for a sharer)
            {"command":"x","ok":true,"message":"3 entrys","items":[{"bytes_done":42,"bytes_per_second":1536,"bytes_total":100,"group":"g1","name":"a b.iso","note":null,"path":"/d/a b.iso","peers":2,"percent":42.5,"seconds":1.5,"sources":[{"bytes":40,"user":"ada"},{"bytes":2,"user":"ben"}],"state":"D"},{"bytes_done":100,"bytes_per_second":0,"bytes_total":100,"group":"g1","name":"a b.iso","note":null,"path":"/d/a b.iso","peers":2,"percent":100.0,"seconds":1.5,"sources":[{"bytes":40,"user":"ada"},{"bytes":2,"user":"ben"}],"state":"C"},{"bytes_done":42,"bytes_per_second":1536,"bytes_total":100,"group":"g1","name":"a b.iso","note":"waiting for a sharer","path":"/d/a b.iso","peers":2,"percent":42.5,"seconds":1.5,"sources":[{"bytes":40,"user":"ada"},{"bytes":2,"user":"ben"}],"state":"D"}]}"#]]
        .assert_eq(&both([running, complete, waiting].into_iter().map(download_item).collect()));
    }

    #[test]
    fn files_and_peers() {
        let file = FileLine {
            name: "notes.pdf".into(),
            size: 2048,
            sharers: 2,
            sharers_online: 0,
            content: ContentId([0xab; 32]),
        };
        let done = Ok(list_files(vec![file], &"g".parse().unwrap()));
        expect![[r#"
            notes.pdf
            {"command":"list_files","ok":true,"message":"1 file","items":[{"content":"abababababababababababababababababababababababababababababababab","name":"notes.pdf","sharers":2,"sharers_online":0,"size":2048}]}"#]]
        .assert_eq(&format!("{}\n{}", outcome::plain(&done), outcome::json("list_files", &done)));
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
        .assert_eq(&both(vec![peer_item(peer)]));
    }
}
