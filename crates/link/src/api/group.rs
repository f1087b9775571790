//! Groups: names, lists and snapshots.

use minicbor::{Decode, Encode};
use peerage_types::{GroupId, UserId};

use super::SignedRow;

/// Which group has this name?
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupNameRequest {
    /// `name`, or `name#tag` for a group that lost its name.
    #[n(0)]
    pub name: String,
}

/// The group that has the name now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupNameResponse {
    /// Its id.
    #[n(0)]
    pub group: GroupId,
}

/// One page of all groups that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupsRequest {
    /// Start behind this shown name; `None` starts at the first.
    #[n(0)]
    pub after: Option<String>,
    /// At most this many, and at most [`super::GROUPS_PAGE_MAX`].
    #[n(1)]
    pub limit: u32,
}

/// What a caller is to a group, as far as a list needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// No relation, or one that has ended.
    #[n(0)]
    Stranger,
    /// Asked to join.
    #[n(1)]
    Requested,
    /// Member.
    #[n(2)]
    Member,
    /// Member and owner.
    #[n(3)]
    Owner,
}

/// One group in a list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupItem {
    /// Its id.
    #[n(0)]
    pub group: GroupId,
    /// `name`, or `name#tag` when another group has the name.
    #[n(1)]
    pub shown: String,
    /// Members now.
    #[n(2)]
    pub members: u32,
    /// Of the caller; always `Stranger` without a session.
    #[n(3)]
    pub standing: Standing,
}

/// One page, sorted by shown name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupsResponse {
    /// The groups.
    #[n(0)]
    pub groups: Vec<GroupItem>,
    /// Ask again, behind the last one here.
    #[n(1)]
    pub more: bool,
}

/// The records of a group, as far as the caller may see them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SnapshotRequest {
    /// Which group.
    #[n(0)]
    pub group: GroupId,
    /// The digest of the snapshot that the caller has.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub have: Option<[u8; 32]>,
}

/// One member's account records, so that device certificates can be checked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AccountRows {
    /// Whose account.
    #[n(0)]
    pub user: UserId,
    /// Its records, without AuthRecords and Recoveries.
    #[n(1)]
    pub rows: Vec<SignedRow>,
}

/// Members get everything; others get who owns the group and their own records. The client verifies every
/// signature and receipt and computes the view itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SnapshotResponse {
    /// Over exactly the rows and accounts that this caller sees.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// The group scope. Empty when `unchanged`.
    #[n(1)]
    pub rows: Vec<SignedRow>,
    /// The accounts of everybody who signed a row. Empty when `unchanged`.
    #[n(2)]
    pub accounts: Vec<AccountRows>,
    /// `have` was this digest.
    #[n(3)]
    pub unchanged: bool,
}
