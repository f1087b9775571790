//! Groups, who is in them, and who may come.

use peerage_node::client::{AuditLine, GroupLine, InviteLine, MemberLine, MyStanding, Role};
use schemars::JsonSchema;
use serde::Serialize;

use crate::reply::human;

/// What the caller is in a group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Neither member nor waiting.
    None,
    /// Has asked to join.
    Requested,
    /// Member.
    Member,
    /// Owner.
    Owner,
}

/// `list_groups`: one group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// How many members it has.
    pub members: u32,
    /// What the caller is in it.
    pub standing: Standing,
    /// How many ask to join, as far as this device has heard; nothing if the caller does not decide about them.
    pub requests: Option<u32>,
}

impl From<&GroupLine> for Group {
    fn from(g: &GroupLine) -> Self {
        let standing = match g.standing {
            MyStanding::None => Standing::None,
            MyStanding::Requested => Standing::Requested,
            MyStanding::Member => Standing::Member,
            MyStanding::Owner => Standing::Owner,
        };
        Self { group: g.name.clone(), members: g.members, standing, requests: g.requests }
    }
}

/// `invite`: a line that leads somebody to a group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invite {
    /// To be pasted.
    pub link: String,
    /// The group.
    pub group: String,
    /// Of a pre-approved one: what `withdraw_invite` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of a pre-approved one: milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Of a pre-approved one: how many may come in by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// An entry of `invites`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApprovedInvite {
    /// What `withdraw_invite` takes.
    pub id: String,
    /// Who made it.
    pub issuer: String,
    /// What has become of it.
    pub state: InviteState,
    /// Milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// How many may come in by it.
    pub uses: u32,
    /// Who has, in order.
    pub used: Vec<String>,
    /// The line to paste, on the device that made it and while it lets people in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What has become of a pre-approved invite.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// It lets people in.
    Open,
    /// Somebody withdrew it.
    Withdrawn,
    /// Who made it decides about nobody any more.
    IssuerGone,
    /// As many as it allows have come in by it.
    UsedUp,
    /// Its time is over.
    Expired,
}

impl InviteState {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Withdrawn => "withdrawn",
            Self::IssuerGone => "ended with its issuer's office",
            Self::UsedUp => "used up",
            Self::Expired => "expired",
        }
    }
}

impl From<&InviteLine> for ApprovedInvite {
    fn from(line: &InviteLine) -> Self {
        let state = match line.state {
            peerage_node::client::InviteState::Open => InviteState::Open,
            peerage_node::client::InviteState::Withdrawn => InviteState::Withdrawn,
            peerage_node::client::InviteState::IssuerGone => InviteState::IssuerGone,
            peerage_node::client::InviteState::UsedUp => InviteState::UsedUp,
            peerage_node::client::InviteState::Expired => InviteState::Expired,
        };
        Self {
            id: line.id.clone(),
            issuer: line.issuer.clone(),
            state,
            expires_ms: line.expires_ms,
            uses: line.uses,
            used: line.used.clone(),
            link: line.link.as_ref().map(ToString::to_string),
        }
    }
}

/// What a member may do.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Decides everything.
    Owner,
    /// Accepts, rejects and kicks plain members.
    Admin,
    /// Shares and downloads.
    Member,
}

/// `list_members`: one member; who came first is first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Member {
    /// Their name.
    pub user: String,
    /// The account.
    pub user_id: String,
    /// What they may do.
    pub role: MemberRole,
    /// A device of theirs said two things at one place: it was copied, set back or stolen.
    pub forked: bool,
}

impl From<&MemberLine> for Member {
    fn from(m: &MemberLine) -> Self {
        let role = match m.role {
            Role::Owner => MemberRole::Owner,
            Role::Admin => MemberRole::Admin,
            Role::Member => MemberRole::Member,
        };
        Self { user: m.user.clone(), user_id: m.user_id.to_hex(), role, forked: m.forked }
    }
}

/// `list_requests`: somebody who has asked to join; who asked first is first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Request {
    /// Their name.
    pub user: String,
}

/// `audit`: one record of a group, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// When the first tracker took it, by that tracker's clock, as people read it (UTC).
    pub time: String,
    /// The same in milliseconds since 1970.
    pub unix_ms: u64,
    /// In whose name it stands.
    pub user: String,
    /// Their account.
    pub user_id: String,
    /// The public key that signed it.
    pub device: String,
    /// What its owner calls that device; nothing if they never certified it.
    pub label: Option<String>,
    /// Id of the record.
    pub record: String,
    /// What it says, in words.
    pub what: String,
    /// Whether it has effect, as every view of the group has it.
    pub counts: bool,
    /// Why it has none.
    pub why: Option<String>,
    /// The same device signed another record in this place of its chain: a restored backup, a copied folder, or a
    /// stolen key.
    pub fork: bool,
}

impl From<&AuditLine> for AuditEntry {
    fn from(a: &AuditLine) -> Self {
        Self {
            time: human::utc(a.unix_ms),
            unix_ms: a.unix_ms,
            user: a.user.clone(),
            user_id: a.user_id.to_hex(),
            device: a.device.to_hex(),
            label: a.label.clone(),
            record: a.record.to_hex(),
            what: a.what.clone(),
            counts: a.void.is_none(),
            why: a.void.clone(),
            fork: a.forked,
        }
    }
}
