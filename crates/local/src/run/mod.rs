//! Runs a command on the node and words its reply.

mod account;
mod downloads;
mod files;
mod groups;
mod limits;
mod port;
mod roles;

pub use self::files::list_part;
pub use self::groups::IN_GROUP;

use peerage_node::client::{HashReport, Node, Refusal};

use crate::command::{Command, ParseError, SPECS, help_lines, quote};
use crate::reply::model::CommandHelp;
use crate::reply::{Done, Item, Known, Outcome, note_stale};

/// Runs what was parsed. `None` when there was nothing to do (blank line, comment). `hashed` hears how many bytes of a
/// file that is to be shared are hashed.
pub async fn run(
    node: &Node,
    parsed: Result<Option<Command>, ParseError>,
    hashed: HashReport,
) -> Option<Outcome> {
    match parsed {
        Ok(None) => None,
        Ok(Some(command)) => {
            let started = std::time::Instant::now();
            let known = Known::of(&command);
            let mut outcome = apply(node, command, hashed).await.map_err(Into::into);
            known.fill(&mut outcome);
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

async fn apply(node: &Node, command: Command, hashed: HashReport) -> Result<Done, Refusal> {
    match command {
        Command::CreateUser { user, password, code } => {
            account::create(node, user, password, code.as_ref()).await
        }
        Command::Login { user, password } => account::login(node, &user, &password).await,
        Command::Logout => account::logout(node).await,
        Command::Whoami => account::whoami(node).await,
        Command::CheckPort => port::check(node).await,
        Command::ChangePassword { old, new } => account::change_password(node, &old, &new).await,
        Command::ClaimName { name, password } => account::claim_name(node, name, &password).await,
        Command::ListDevices => account::list_devices(node).await,
        Command::RevokeDevice { device, password, unsure } => {
            account::revoke_device(node, &device, &password, unsure).await
        }
        Command::RecoveryCode { password } => account::recovery_code(node, &password).await,
        Command::Recover { user, code, password } => account::recover(node, &user, &code, &password).await,
        Command::CreateGroup { group } => groups::create(node, group).await,
        Command::JoinGroup { group } => groups::join(node, &group).await,
        Command::Invite { group, terms } => groups::invite(node, &group, terms).await,
        Command::Invites { group } => groups::invites(node, &group).await,
        Command::WithdrawInvite { group, invite } => groups::withdraw_invite(node, &group, &invite).await,
        Command::Join { invite } => groups::join_by(node, &invite).await,
        Command::JoinAndWait { invite, timeout } => groups::join_and_wait(node, &invite, timeout).await,
        Command::LeaveGroup { group } => groups::leave(node, &group).await,
        Command::ListGroups => groups::list(node).await,
        Command::ListMembers { group } => groups::list_members(node, &group).await,
        Command::ListRequests { group } => groups::list_requests(node, &group).await,
        Command::AcceptRequest { group, user } => groups::accept(node, &group, &user).await,
        Command::RejectRequest { group, user } => groups::reject(node, &group, &user).await,
        Command::Kick { group, user } => groups::kick(node, &group, &user).await,
        Command::GrantAdmin { group, user } => roles::grant_admin(node, &group, &user).await,
        Command::RevokeAdmin { group, user } => roles::revoke_admin(node, &group, &user).await,
        Command::HandOver { group, user } => roles::hand_over(node, &group, &user).await,
        Command::CloseGroup { group } => roles::close_group(node, &group).await,
        Command::Audit { group } => roles::audit(node, &group).await,
        Command::ListFiles { group, part } => files::list(node, &group, &part).await,
        Command::ListFolder { group, file } => downloads::list_folder(node, &group, &file).await,
        Command::UploadFile { path, group } => files::upload(node, &path, &group, hashed).await,
        Command::StopShare { group, file } => files::stop_share(node, &group, &file).await,
        Command::DownloadFile { group, file, destination, options } => {
            files::download(node, &group, &file, &destination, &options).await
        }
        Command::PauseDownload { group, file } => files::pause(node, &group, &file).await,
        Command::ResumeDownload { group, file } => files::resume(node, &group, &file).await,
        Command::CancelDownload { group, file } => files::cancel(node, &group, &file).await,
        Command::SetPriority { group, file, priority, only } => {
            files::set_priority(node, &group, &file, priority, &only).await
        }
        Command::Scrub { group, file } => files::scrub(node, &group, &file).await,
        Command::SetLimits { group, change } => limits::set(node, group.as_ref(), change).await,
        Command::ShowLimits => limits::show(node).await,
        Command::ForgetDownload { group, file } => downloads::forget(node, &group, &file).await,
        Command::ShowDownload { group, file } => downloads::show(node, &group, &file).await,
        Command::ShowDownloads => files::show_downloads(node).await,
        Command::ListPeers { group, file } => files::list_peers(node, &group, &file).await,
        Command::Wait { what, timeout } => files::wait(node, what.as_ref(), timeout).await,
        Command::Several(commands) => several(node, commands, &hashed).await,
        Command::Help => Ok(help()),
        Command::Exit => Ok(Done { ends: true, ..Done::say("Goodbye") }),
    }
}

/// Starts all of these downloads, if the group lists every name: the last word may have been meant as a folder. One that is
/// refused keeps none of the others: then it says of which files that is so, and why.
async fn several(node: &Node, commands: Vec<Command>, hashed: &HashReport) -> Result<Done, Refusal> {
    let group = commands.iter().find_map(|command| match command {
        Command::DownloadFile { group, .. } => Some(group),
        _ => None,
    });
    if let Some(group) = group {
        let names: Vec<String> = commands.iter().filter_map(Command::file).collect();
        node.all_listed(group, &names).await?;
    }
    let (all, mut refused) = (commands.len(), Vec::new());
    for command in commands {
        let file = command.file().unwrap_or_default();
        if let Err(refusal) = Box::pin(apply(node, command, HashReport::clone(hashed))).await {
            refused.push(format!("{}: {refusal}", quote(&file)));
        }
    }
    let started = all - refused.len();
    match refused.is_empty() {
        true => Ok(Done::say(format!("{started} downloads started"))
            .next("`wait` shows progress and returns when they are complete")),
        false => Err(Refusal::Local(format!("{started} of {all} downloads started; {}", refused.join("; ")))),
    }
}

fn help() -> Done {
    let items = help_lines().into_iter().zip(SPECS).map(|(line, spec)| {
        let help = CommandHelp { name: spec.name, usage: spec.usage, summary: spec.summary };
        Item::new(line, None, &help)
    });
    Done::list(items.collect(), "command", "")
}
