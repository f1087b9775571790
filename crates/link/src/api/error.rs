//! Why a tracker did not do what it was asked to.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder};
use peerage_ledger::Refusal;
use peerage_types::{ContentId, RecordId};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal;)*) => {
        /// The reason as a number that never changes. One value per refusal of the ledger, and those of the
        /// transport.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A number that this program does not know: the tracker is newer.
            Unknown(u16),
        }

        impl ErrorCode {
            /// All that this program knows, in rising order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown(number) => number,
                }
            }

            /// The reason with this number.
            pub fn from_number(number: u16) -> Self {
                match number {
                    $($code => Self::$name,)*
                    _ => Self::Unknown(number),
                }
            }

            /// The HTTP status under which it is sent (RFC 9110, 15).
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Unknown(_) => 500,
                }
            }
        }
    };
}

codes! {
    /// The request is not what the path expects.
    BadRequest = 1, 400;
    /// The TLS client key is no certified device.
    NotLoggedIn = 2, 401;
    /// No such user, group, file or path.
    NotFound = 3, 404;
    /// A request, record, metainfo file or account beyond its limit.
    TooLarge = 4, 413;
    /// Too many requests of this kind: wait.
    RateLimited = 5, 429;
    /// The tracker is starting, stopping or overloaded: ask another one.
    Unavailable = 6, 503;
    /// The record belongs to another cluster.
    WrongCluster = 7, 421;
    /// A bug or a broken disk on the tracker.
    Internal = 8, 500;
    /// The tracker lacks records that this one builds on: send those in [`ApiError::missing`] first.
    Missing = 9, 424;
    /// Signed by a device that is not certified, or was revoked.
    NotCertified = 20, 403;
    /// Only the owner may do this.
    NotOwner = 21, 403;
    /// Only members may do this.
    NotMember = 22, 403;
    /// Only who shares a file may stop sharing it.
    NotSharer = 23, 403;
    /// The user has a join request waiting.
    AlreadyRequested = 24, 409;
    /// The user is a member.
    AlreadyMember = 25, 409;
    /// The user has no join request waiting.
    NotRequested = 26, 409;
    /// The group is closed.
    GroupEnded = 27, 410;
    /// Somebody else has this name.
    NameTaken = 28, 409;
    /// A file of that name with other content is shared in the group.
    SameNameOtherContent = 29, 409;
    /// A limit of the account or the group is reached.
    TooMany = 30, 409;
    /// The account does not exist.
    NoSuchUser = 31, 404;
    /// The account exists already.
    UserExists = 32, 409;
    /// The password, or the recovery code, was changed elsewhere meanwhile.
    Superseded = 33, 409;
    /// The record was sent as part of a scope that it does not belong to.
    WrongScope = 34, 400;
    /// The owner cannot just leave or be kicked.
    OwnerMustHandOver = 35, 409;
    /// The record names another coming of the person than the current one.
    WrongIncarnation = 36, 409;
    /// The handover leaves out records of the owner, which [`ApiError::missing`] lists.
    StaleHandover = 37, 409;
    /// New accounts need a registration code that the request does not have.
    RegistrationCode = 38, 403;
    /// The TLS client key was a device of an account, which has removed it for good.
    DeviceRevoked = 39, 401;
    /// Only the owner and admins may do this.
    NotAdmin = 40, 403;
    /// The user is an admin: that has to be revoked first.
    IsAdmin = 41, 409;
    /// The user is the owner.
    IsOwner = 42, 409;
    /// The admin was revoked, or left, meanwhile.
    NoSuchGrant = 43, 409;
    /// The invite expired, was withdrawn, is not known, or is older than the end of the user's last membership.
    InviteOver = 44, 410;
    /// As many as the invite allows have come in by it: an ordinary request is still possible.
    InviteUsedUp = 45, 409;
}

impl<C> Encode<C> for ErrorCode {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u16(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ErrorCode {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.u16().map(Self::from_number)
    }
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ApiError {
    /// The reason.
    #[n(0)]
    pub code: ErrorCode,
    /// For people: the offending value and what was expected.
    #[n(1)]
    pub message: String,
    /// For people: what to do next.
    #[n(2)]
    pub hint: Option<String>,
    /// With [`ErrorCode::Missing`]: what the tracker lacks. With [`ErrorCode::NotFound`] for a group name: the
    /// record that ended the last group of this name, if there was one.
    #[n(3)]
    pub missing: Vec<RecordId>,
    /// With [`ErrorCode::SameNameOtherContent`]: the content that is shared under this name.
    #[n(4)]
    pub theirs: Option<ContentId>,
}

impl ApiError {
    /// Without hint and missing records.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, missing: Vec::new(), theirs: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with records that are missing.
    #[must_use]
    pub fn with_missing(self, missing: Vec<RecordId>) -> Self {
        Self { missing, ..self }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::Missing(_) => ErrorCode::Missing,
            Refusal::NoSuchUser(_) => ErrorCode::NoSuchUser,
            Refusal::UserExists(_) => ErrorCode::UserExists,
            Refusal::NameTaken(_) => ErrorCode::NameTaken,
            Refusal::Superseded { .. } => ErrorCode::Superseded,
            Refusal::NotCertified(_) => ErrorCode::NotCertified,
            Refusal::WrongScope => ErrorCode::WrongScope,
            Refusal::GroupEnded => ErrorCode::GroupEnded,
            Refusal::NotOwner(_) => ErrorCode::NotOwner,
            Refusal::NotAdmin(_) => ErrorCode::NotAdmin,
            Refusal::IsAdmin(_) => ErrorCode::IsAdmin,
            Refusal::IsOwner(_) => ErrorCode::IsOwner,
            Refusal::NoSuchGrant(_) => ErrorCode::NoSuchGrant,
            Refusal::NoSuchInvite
            | Refusal::InviteWithdrawn
            | Refusal::InviteExpired(_)
            | Refusal::PutOut(_) => ErrorCode::InviteOver,
            Refusal::InviteUsedUp => ErrorCode::InviteUsedUp,
            Refusal::NotMember(_) => ErrorCode::NotMember,
            Refusal::OwnerMustHandOver => ErrorCode::OwnerMustHandOver,
            Refusal::StaleHandover { .. } => ErrorCode::StaleHandover,
            Refusal::AlreadyRequested(_) => ErrorCode::AlreadyRequested,
            Refusal::AlreadyMember(_) => ErrorCode::AlreadyMember,
            Refusal::NotRequested(_) => ErrorCode::NotRequested,
            Refusal::WrongIncarnation { .. } => ErrorCode::WrongIncarnation,
            Refusal::SameNameOtherContent { .. } => ErrorCode::SameNameOtherContent,
            Refusal::NotSharer(_) => ErrorCode::NotSharer,
            Refusal::TooMany { .. } => ErrorCode::TooMany,
        };
        let (message, hint) = (refusal.to_string(), refusal.way_out());
        let theirs = match &refusal {
            Refusal::SameNameOtherContent { theirs, .. } => Some(*theirs),
            _ => None,
        };
        let missing = match refusal {
            Refusal::Missing(ids) | Refusal::StaleHandover { uncovered: ids } => ids,
            _ => Vec::new(),
        };
        Self { missing, theirs, hint: hint.map(str::to_owned), ..Self::new(code, message) }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
