//! `audit`: who did what in a group, and whether it counts.

use peerage_ledger::{AuditEntry, Body, audit};

use super::super::reply::AuditLine;
use super::super::snapshot::GroupState;
use super::super::{GroupRef, Node, Refusal};

impl Node {
    /// Every record of a group in the order in which trackers took it; signatures and receipts were verified here. For
    /// members.
    pub async fn audit(&self, name: &GroupRef) -> Result<Vec<AuditLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let judge = move || {
            let entries = audit(state.view.group, state.facts(), &state.accounts);
            entries.iter().map(|entry| line(&state, entry)).collect()
        };
        // Large groups have many records, and chains of them are followed.
        tokio::task::spawn_blocking(judge).await.map_err(|e| Refusal::local("judging the records", e))
    }
}

fn line(state: &GroupState, entry: &AuditEntry) -> AuditLine {
    let record = &entry.record;
    let (author, device) = (record.author(), record.signer());
    let account = state.accounts.get(&author);
    let label = account.and_then(|account| account.devices.get(&device)).map(|device| device.label.clone());
    AuditLine {
        unix_ms: entry.order.stamp.unix_ms(),
        user: state.user(&author),
        user_id: author,
        device,
        label,
        record: record.id(),
        what: what(state, record.body()),
        void: entry.void.map(|void| void.to_string()),
        forked: entry.forked,
    }
}

/// The record in words, to follow its author's name.
fn what(state: &GroupState, body: &Body) -> String {
    let by = |grant: &Option<_>| if grant.is_some() { " as admin" } else { "" };
    let again =
        |incarnation: u32| if incarnation > 1 { format!(" (time {incarnation})") } else { String::new() };
    match body {
        Body::GroupGenesis { name, .. } => format!("founded {name}"),
        Body::Handover { heirs, stays, .. } => {
            let heirs: Vec<String> = heirs.iter().map(|(heir, _)| state.user(heir)).collect();
            let then = if *stays { "and stayed" } else { "and left" };
            match heirs.is_empty() {
                true => format!("handed over to nobody {then}"),
                false => format!("handed over to the first willing of {} {then}", heirs.join(", ")),
            }
        }
        Body::Close { .. } => "closed the group".to_owned(),
        Body::AdminGrant { user, .. } => format!("made {} an admin", state.user(user)),
        Body::AdminRevoke { grant, .. } => match state.facts().get(grant).map(|fact| fact.record.body()) {
            Some(Body::AdminGrant { user, .. }) => format!("made {} a plain member again", state.user(user)),
            _ => format!("revoked record {}", grant.tag()),
        },
        Body::JoinRequest { incarnation } => format!("asked to join{}", again(*incarnation)),
        Body::Invite { uses, expires_ms, grant, .. } => {
            format!("invited up to {uses} until {}{}", peerage_types::utc(*expires_ms), by(grant))
        }
        Body::InviteWithdraw { invite, grant, .. } => {
            format!("withdrew the invite {}{}", invite.tag(), by(grant))
        }
        Body::Redeem { key, incarnation, .. } => match state.view.invite(key) {
            Some(invite) => format!("came by the invite {}{}", invite.invite.tag(), again(*incarnation)),
            None => format!("came by an invite{}", again(*incarnation)),
        },
        Body::Accept { user, incarnation, grant, .. } => {
            format!("accepted {}{}{}", state.user(user), again(*incarnation), by(grant))
        }
        Body::Reject { user, incarnation, grant, .. } => {
            format!("rejected {}{}{}", state.user(user), again(*incarnation), by(grant))
        }
        Body::Kick { user, incarnation, grant, .. } => {
            format!("kicked {}{}{}", state.user(user), again(*incarnation), by(grant))
        }
        Body::Leave { incarnation } => format!("left{}", again(*incarnation)),
        Body::Manifest { name, size, .. } => {
            format!("described {name:?}, {size} bytes", name = name.as_str())
        }
        Body::Share { manifest, .. } => format!("shared {}", file(state, manifest)),
        Body::Unshare { share } => match state.facts().get(share).map(|fact| fact.record.body()) {
            Some(Body::Share { manifest, .. }) => format!("stopped sharing {}", file(state, manifest)),
            _ => format!("stopped sharing record {}", share.tag()),
        },
        other => format!("said something of kind {}", other.kind().number()),
    }
}

fn file(state: &GroupState, manifest: &peerage_types::RecordId) -> String {
    match state.facts().get(manifest).map(|fact| fact.record.body()) {
        Some(Body::Manifest { name, .. }) => format!("{:?}", name.as_str()),
        _ => format!("record {}", manifest.tag()),
    }
}
