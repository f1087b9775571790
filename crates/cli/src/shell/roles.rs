//! Commands about who decides in a group, and what was decided.

use peerage_node::client::{AuditLine, Node, Refusal, Role};
use serde_json::json;

use super::human;
use super::outcome::{Done, Item};
use super::parse::Command;

/// A role as listings and JSON name it.
pub fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// Runs one of these commands and words its reply.
pub async fn apply(node: &Node, command: Command) -> Result<Done, Refusal> {
    Ok(match command {
        Command::GrantAdmin { group, user } => {
            node.grant_admin(&group, &user).await?;
            Done::say("Admin added").next(format!("{user} may accept, reject and kick until `revoke_admin`"))
        }
        Command::RevokeAdmin { group, user } => {
            node.revoke_admin(&group, &user).await?;
            Done::say("Admin removed")
                .next(format!("{user} stays a member, and what they decided stays as it is"))
        }
        Command::HandOver { group, user } => {
            node.hand_over(&group, &user).await?;
            Done::say("Group handed over").next(format!("{user} owns it now, you are a plain member"))
        }
        Command::CloseGroup { group } => {
            node.close_group(&group).await?;
            Done::say("Group closed").next("its name is free again")
        }
        Command::Audit { group } => {
            let lines = node.audit(&group).await?.into_iter().map(audit_item);
            Done::list(lines.collect(), "record", "No records at this time")
        }
        _ => Done::default(),
    })
}

/// `time, user, device, what, counts | void: why`, separated by tabs.
fn audit_item(entry: AuditLine) -> Item {
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
    Item {
        line: format!("{time}\t{}\t{device}\t{}\t{verdict}{fork}", entry.user, entry.what),
        detail: None,
        json: json!({
            "time": time,
            "unix_ms": entry.unix_ms,
            "user": entry.user,
            "user_id": entry.user_id.to_hex(),
            "device": entry.device.to_hex(),
            "label": entry.label,
            "record": entry.record.to_hex(),
            "what": entry.what,
            "counts": entry.void.is_none(),
            "why": entry.void,
            "fork": entry.forked,
        }),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use peerage_types::{PublicKey, RecordId, UserId};

    use super::*;
    use crate::shell::outcome;

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
        let done = Ok(Done::list([counts, void].map(audit_item).into(), "record", ""));
        expect![[r#"
            2025-11-25 00:00:00.007 UTC	ada	laptop (aibaeaqc)	kicked ben	counts
            2025-11-25 00:00:00.007 UTC	ada	unknown device (aibaeaqc)	kicked ben	void: because; FORK: the device has another record in this place
            {"command":"audit","ok":true,"message":"2 records","items":[{"counts":true,"device":"0202020202020202020202020202020202020202020202020202020202020202","fork":false,"label":"laptop","record":"0303030303030303030303030303030303030303030303030303030303030303","time":"2025-11-25 00:00:00.007 UTC","unix_ms":1764028800007,"user":"ada","user_id":"0101010101010101010101010101010101010101010101010101010101010101","what":"kicked ben","why":null},{"counts":false,"device":"0202020202020202020202020202020202020202020202020202020202020202","fork":true,"label":null,"record":"0303030303030303030303030303030303030303030303030303030303030303","time":"2025-11-25 00:00:00.007 UTC","unix_ms":1764028800007,"user":"ada","user_id":"0101010101010101010101010101010101010101010101010101010101010101","what":"kicked ben","why":"because"}]}"#]].assert_eq(&format!("{}\n{}", outcome::plain(&done), outcome::json("audit", &done)));
    }
}
