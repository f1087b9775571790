//! Commands about who decides in a group, and what was decided.

use peerage_node::client::{AuditLine, GroupRef, Node, Refusal, Role, UserRef};

use crate::reply::{Done, Item, human, model};

/// A role as listings and JSON name it.
pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

pub(super) async fn grant_admin(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.grant_admin(group, user).await?;
    Ok(Done::say("Admin added").next(format!("{user} may accept, reject and kick until `revoke_admin`")))
}

pub(super) async fn revoke_admin(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.revoke_admin(group, user).await?;
    Ok(Done::say("Admin removed")
        .next(format!("{user} stays a member, and what they decided stays as it is")))
}

pub(super) async fn hand_over(node: &Node, group: &GroupRef, user: &UserRef) -> Result<Done, Refusal> {
    node.hand_over(group, user).await?;
    Ok(Done::say("Group handed over").next(format!("{user} owns it now, you are a plain member")))
}

pub(super) async fn close_group(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    node.close_group(group).await?;
    Ok(Done::say("Group closed").next("its name is free again"))
}

pub(super) async fn audit(node: &Node, group: &GroupRef) -> Result<Done, Refusal> {
    let entries = node.audit(group).await?;
    Ok(Done::list(entries.iter().map(audit_item).collect(), "record", "No records at this time"))
}

/// `time, user, device, what, counts | void: why`, separated by tabs.
fn audit_item(entry: &AuditLine) -> Item {
    let time = human::utc(entry.unix_ms);
    let device = match &entry.label {
        Some(label) => format!("{label} ({})", entry.device.tag()),
        None => format!("unknown device ({})", entry.device.tag()),
    };
    let verdict = match &entry.void {
        None => "counts".to_owned(),
        Some(why) => format!("void: {why}"),
    };
    let fork = if entry.forked { "; FORK: the device has another record in this place" } else { "" };
    let line = format!("{time}\t{}\t{device}\t{}\t{verdict}{fork}", entry.user, entry.what);
    Item::new(line, None, &model::AuditEntry::from(entry))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use peerage_types::{PublicKey, RecordId, UserId};

    use super::*;
    use crate::reply;

    #[test]
    fn audit_lines() {
        let counts = AuditLine {
            unix_ms: 1_764_028_800_007,
            user: "ada".into(),
            user_id: UserId([1; 32]),
            device: PublicKey([2; 32]),
            label: Some("laptop".into()),
            record: RecordId([3; 32]),
            what: "kicked ben".into(),
            void: None,
            forked: false,
        };
        let void = AuditLine { label: None, void: Some("because".into()), forked: true, ..counts.clone() };
        let done = Ok(Done::list([counts, void].iter().map(audit_item).collect(), "record", ""));
        expect![[r#"
            2025-11-25 00:00:00.007 UTC	ada	laptop (aibaeaqc)	kicked ben	counts
            2025-11-25 00:00:00.007 UTC	ada	unknown device (aibaeaqc)	kicked ben	void: because; FORK: the device has another record in this place
            {"command":"audit","ok":true,"message":"2 records","items":[{"counts":true,"device":"0202020202020202020202020202020202020202020202020202020202020202","fork":false,"label":"laptop","record":"0303030303030303030303030303030303030303030303030303030303030303","time":"2025-11-25 00:00:00.007 UTC","unix_ms":1764028800007,"user":"ada","user_id":"0101010101010101010101010101010101010101010101010101010101010101","what":"kicked ben","why":null},{"counts":false,"device":"0202020202020202020202020202020202020202020202020202020202020202","fork":true,"label":null,"record":"0303030303030303030303030303030303030303030303030303030303030303","time":"2025-11-25 00:00:00.007 UTC","unix_ms":1764028800007,"user":"ada","user_id":"0101010101010101010101010101010101010101010101010101010101010101","what":"kicked ben","why":"because"}]}"#]].assert_eq(&format!("{}\n{}", reply::plain(&done), reply::json("audit", &done)));
    }
}
