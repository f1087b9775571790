//! Why a submitted record is turned away.

use peerage_types::{ContentId, RecordId, UserId};

// What there may be too much of and what can be done about it.
pub(crate) const RECORDS_IN_GROUP: &str = "records of this account in the group";
pub(crate) const GROUPS_OF_ACCOUNT: &str = "groups of this account";
pub(crate) const OPEN_REQUESTS: &str = "open requests";
pub(crate) const SHARES: &str = "shares";
pub(crate) const ADMINS: &str = "admins";
pub(crate) const INVITES: &str = "open invites";

/// Why a submitted record would have no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The tracker lacks records that this one rests on: send them first.
    #[error("records that this one rests on are missing here: {0:?}")]
    Missing(Vec<RecordId>),
    /// The account has no genesis here.
    #[error("user {0} does not exist")]
    NoSuchUser(UserId),
    /// The account exists already.
    #[error("user {0} already exists")]
    UserExists(UserId),
    /// A user or group name belongs to someone else.
    #[error("the name `{0}` is taken")]
    NameTaken(String),
    /// The predecessor of an AuthRecord or a Recovery is not the current one.
    #[error("the {what} was changed elsewhere meanwhile")]
    Superseded {
        /// Password or recovery code.
        what: &'static str,
    },
    /// The signing device is not one of the author's, or was revoked.
    #[error("the device is not certified by user {0}, or was revoked")]
    NotCertified(UserId),
    /// The record was given to the wrong function or view.
    #[error("the record does not belong into this scope")]
    WrongScope,
    /// The group is over.
    #[error("the group has ended")]
    GroupEnded,
    /// Only the owner can do this, in the current term.
    #[error("user {0} is not the owner of this group")]
    NotOwner(UserId),
    /// Only the owner and admins can do this, under a grant that holds.
    #[error("user {0} is neither owner nor admin of this group")]
    NotAdmin(UserId),
    /// Admins are neither kicked nor made admin again: the owner revokes the grant first.
    #[error("user {0} is an admin of this group")]
    IsAdmin(UserId),
    /// The owner has every right already.
    #[error("user {0} is the owner of this group")]
    IsOwner(UserId),
    /// The AdminGrant is none, or has ended.
    #[error("record {0} is no grant that holds")]
    NoSuchGrant(RecordId),
    /// Only members can do this, or it can be done only to members.
    #[error("user {0} is not in this group")]
    NotMember(UserId),
    /// The owner can be neither kicked nor just leave.
    #[error("the owner leaves by handing the group over")]
    OwnerMustHandOver,
    /// The owner on another device, or an admin, has decided something meanwhile: fetch the group anew and hand over
    /// again.
    #[error("the handover leaves out records of the owner or an admin: {uncovered:?}")]
    StaleHandover {
        /// Last records of these people's devices that neither `prev` nor `heads` names.
        uncovered: Vec<RecordId>,
    },
    /// There is an open request.
    #[error("user {0} has already asked to join")]
    AlreadyRequested(UserId),
    /// Already in.
    #[error("user {0} is already in this group")]
    AlreadyMember(UserId),
    /// There is no open request.
    #[error("user {0} has not asked to join the group")]
    NotRequested(UserId),
    /// The record names another coming of the person than the current (or next) one.
    #[error("incarnation {got} is not the current one, expected {expected}")]
    WrongIncarnation {
        /// The incarnation that would count.
        expected: u32,
        /// The one in the record.
        got: u32,
    },
    /// Another content is shared under this name.
    #[error("same name, other content: theirs {theirs}, yours {ours}")]
    SameNameOtherContent {
        /// The content that is listed.
        theirs: ContentId,
        /// The content in the record.
        ours: ContentId,
    },
    /// The Share is not an open one of this person.
    #[error("user {0} does not share this")]
    NotSharer(UserId),
    /// No invite of the owner or an admin in the current term.
    #[error("the invite is not known here")]
    NoSuchInvite,
    /// It was withdrawn, or who made it decides about nobody any more.
    #[error("the invite was withdrawn")]
    InviteWithdrawn,
    /// Its time is over.
    #[error("the invite expired at {}", peerage_types::utc(*.0))]
    InviteExpired(u64),
    /// As many accounts as it allows have come in by it.
    #[error("the invite has been used up")]
    InviteUsedUp,
    /// The author was kicked or rejected after it was made.
    #[error("the invite was made before user {0} was put out of the group")]
    PutOut(UserId),
    /// An admission limit.
    #[error("too many {what}: at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

impl Refusal {
    /// What to do about it, where that is not plain.
    pub fn way_out(&self) -> Option<&'static str> {
        let Self::TooMany { what, .. } = self else { return None };
        Some(match *what {
            RECORDS_IN_GROUP => {
                "leave and stop_share still work; go on in a new group, or with another account"
            }
            GROUPS_OF_ACCOUNT => {
                "ended and left groups count too; let another account found it, or ask with another one"
            }
            OPEN_REQUESTS => "ask again when the owner or an admin has answered some",
            SHARES => "stop sharing some files with stop_share first",
            ADMINS => "revoke another admin first",
            INVITES => {
                "withdraw one first: `invites <group_id>`, then `withdraw_invite <group_id> <invite_id>`"
            }
            _ => return None,
        })
    }
}
