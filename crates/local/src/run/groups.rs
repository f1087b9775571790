//! Groups, who is in them, and who asks to be.

use std::time::Duration;

use peerage_node::client::{
    GroupRef, Invite, InviteTerms, Joined, Left, MemberLine, Node, Refusal, Role, UserRef,
};
use peerage_types::Name;

use super::roles;
use crate::reply::{Done, Item, model};

pub(super) async fn create(node: &Node, group: Name) -> Result<Done, Refusal> {
    node.create_group(&group).await?;
    Ok(Done::say("Group created successfully").next(format!("upload_file <file_path> {group}")))
}

pub(super) async fn join(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    node.join_group(group).await?;
    Ok(Done::say("Join request sent").next("its owner has to accept; then `list_files <group_id>`"))
}

pub(super) async fn invite(
    node: &Node,
    group: &GroupRef,
    terms: Option<InviteTerms>,
) -> Result<Done, Refusal> {
    let (invite, made) = match terms {
        None => (node.invite(group).await?, None),
        Some(terms) => {
            let made = node.invite_approved(group, terms).await?;
            let Some(invite) = made.link.clone() else { return Err(Refusal::InviteUnknown) };
            (invite, Some(made))
        }
    };
    let link = invite.to_string();
    let object = model::Invite {
        link: link.clone(),
        group: invite.name.to_string(),
        id: made.as_ref().map(|made| made.id.clone()),
        expires_ms: made.as_ref().map(|made| made.expires_ms),
        uses: made.as_ref().map(|made| made.uses),
    };
    let done = Done { items: Some(vec![Item::new(link, None, &object)]), ..Done::say("Invite created") };
    Ok(match made {
        None => done.next("send it to them; they run `peerage up <invite> --new-user <user_id>`, or `join <invite>`, and you accept"),
        Some(made) => done.next(format!(
            "whoever has it comes in: send it to nobody else; they run `peerage up <invite>`, or `join <invite>`; \
             `withdraw_invite {group} {}` ends it",
            made.id
        )),
    })
}

pub(super) async fn invites(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    let lines = node.invites(group).await?;
    let items = lines.iter().map(|line| {
        let object = model::ApprovedInvite::from(line);
        let mut detail = format!(
            "{}, {} of {} used, until {}, by {}",
            object.state.word(),
            line.used.len(),
            line.uses,
            peerage_types::utc(line.expires_ms),
            line.issuer
        );
        if let Some(link) = &object.link {
            detail = format!("{detail}\t{link}");
        }
        Item::new(line.id.clone(), Some(detail), &object)
    });
    let done = Done::list(items.collect(), "pre-approved invite", "No pre-approved invites at this time");
    Ok(done.next(format!("withdraw_invite {group} <invite_id>")))
}

pub(super) async fn withdraw_invite(node: &Node, group: &GroupRef, invite: &str) -> Result<Done, Refusal> {
    node.withdraw_invite(group, invite).await?;
    Ok(Done::say("Invite withdrawn").next(format!("invites {group}")))
}

pub(super) async fn join_by(node: &Node, invite: &Invite) -> Result<Done, Refusal> {
    let group = &invite.name;
    let asked = |done: Done| done.next(format!("its owner has to accept; then `list_files {group}`"));
    Ok(match node.join(invite).await? {
        Joined::Asked => asked(Done::say("Join request sent")),
        Joined::In => inside(group),
        Joined::UsedUp => asked(
            Done::say("Join request sent")
                .note(["others have used this invite up, so the request waits for the owner".to_owned()]),
        ),
    })
}

pub(super) async fn join_and_wait(
    node: &Node,
    invite: &Invite,
    timeout: Option<Duration>,
) -> Result<Done, Refusal> {
    node.join_and_wait(invite, timeout).await?;
    Ok(inside(&invite.name))
}

/// The reply to who has come into a group.
pub const IN_GROUP: &str = "You are in the group now";

fn inside(group: &Name) -> Done {
    Done::say(IN_GROUP).next(format!("list_files {group}"))
}

pub(super) async fn leave(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    Ok(match node.leave_group(group).await? {
        Left::Deleted => Done::say("Group deleted as you were the only person in the group"),
        Left::Left { heir: Some(heir) } => {
            Done::say("You left the group!").next(format!("{heir} owns it now"))
        }
        Left::Left { heir: None } => Done::say("You left the group!"),
    })
}

pub(super) async fn list(node: &Node) -> Result<Done, Refusal> {
    let groups = node.list_groups().await?;
    let items = groups.iter().map(|g| Item::new(g.name.clone(), None, &model::Group::from(g)));
    Ok(Done::list(items.collect(), "group", "No groups at this time").next("join_group <group_id>"))
}

pub(super) async fn list_members(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    let members = node.list_members(group).await?;
    Ok(Done::list(members.iter().map(member_item).collect(), "member", "No members at this time"))
}

fn member_item(member: &MemberLine) -> Item {
    let detail = match (member.role, member.forked) {
        (role, true) => Some(format!("{}, forked", roles::word(role))),
        (Role::Member, false) => None,
        (role, false) => Some(roles::word(role).to_owned()),
    };
    Item::new(member.user.clone(), detail, &model::Member::from(member))
}

pub(super) async fn list_requests(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    let users = node.list_requests(group).await?.into_iter();
    let items = users.map(|user| Item::new(user.clone(), None, &model::Request { user }));
    Ok(Done::list(items.collect(), "join request", "No join requests at this time")
        .next(format!("accept_request {group} <user_id>")))
}

pub(super) async fn accept(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.accept_request(group, user).await?;
    Ok(Done::say("User accepted")
        .next(format!("`download_file {group} <file_name> <destination_path>` works for {user} now")))
}

pub(super) async fn reject(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.reject_request(group, user).await?;
    Ok(Done::say("Request rejected"))
}

pub(super) async fn kick(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.kick(group, user).await?;
    Ok(Done::say("User removed").next(format!("{user} may ask to join again")))
}
