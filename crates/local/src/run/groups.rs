//! Groups, who is in them, and who asks to be.

use peerage_node::client::{GroupRef, Invite, Left, MemberLine, Node, Refusal, Role, UserRef};
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

pub(super) async fn invite(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    let invite = node.invite(group).await?;
    let link = invite.to_string();
    let item = Item::new(link.clone(), None, &model::Invite { link, group: invite.name.to_string() });
    let done = Done { items: Some(vec![item]), ..Done::say("Invite created") };
    Ok(done.next("send it to them; they run `peerage up <invite>`, or `join <invite>`, and you accept"))
}

pub(super) async fn join_by(node: &Node, invite: &Invite) -> Result<Done, Refusal> {
    node.join(invite).await?;
    Ok(Done::say("Join request sent")
        .next(format!("its owner has to accept; then `list_files {}`", invite.name)))
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
    Ok(Done::say("User accepted").next(format!("list_members {group}")))
}

pub(super) async fn reject(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.reject_request(group, user).await?;
    Ok(Done::say("Request rejected"))
}

pub(super) async fn kick(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.kick(group, user).await?;
    Ok(Done::say("User removed").next(format!("{user} may ask to join again")))
}
