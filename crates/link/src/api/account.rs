//! Registration, login, recovery, names of users, and the caller's own account.

use minicbor::{Decode, Encode};
use peerage_types::{DeviceId, GroupId, Name, RecordId, UserId};

use super::SignedRow;

/// First message of a registration (OPAQUE, RFC 9807, 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RegisterRequest {
    /// The account that is being made: the credential identifier.
    #[n(0)]
    pub user: UserId,
    /// What [`crate::opaque::Registration::start`] returned.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub request: Vec<u8>,
    /// What the operators gave to those who may create accounts, where that is asked for.
    #[n(2)]
    pub code: Option<String>,
}

/// The tracker's half of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RegisterResponse {
    /// Which OPAQUE key of the keyring answered: goes into the AuthRecord.
    #[n(0)]
    pub opaque_key: u32,
    /// For [`crate::opaque::Registration::finish`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub response: Vec<u8>,
}

/// Password login by name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LoginRequest {
    /// `name` for who holds it, in any spelling, or `name#tag` for anybody who ever claimed it.
    #[n(0)]
    pub name: String,
    /// KE1: what [`crate::opaque::Login::start`] returned.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub request: Vec<u8>,
}

/// Everything a client needs to log in, in one answer. It is worth nothing without the password.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LoginResponse {
    /// Whose name it is.
    #[n(0)]
    pub user: UserId,
    /// KE2: for [`crate::opaque::Login::finish`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub response: Vec<u8>,
    /// The sealed identity key: [`crate::vault::open`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub vault: Vec<u8>,
    /// The account's records, without AuthRecords and Recoveries, in no particular order.
    #[n(3)]
    pub account: Vec<SignedRow>,
    /// What those records alone do not tell.
    #[n(4)]
    pub secrets: Secrets,
    /// To a plain name: others who claimed it later, at most [`super::NAMESAKES_MAX`], first claimed first.
    #[n(5)]
    pub namesakes: Vec<UserId>,
}

/// About the AuthRecords and Recoveries of an account, which trackers keep to themselves. Nothing proves it: at worst the next
/// record of the identity is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Secrets {
    /// The AuthRecord that decides about the password: what the next one names as `previous`.
    #[n(0)]
    pub auth: Option<RecordId>,
    /// The identity's last record: what the next one names as `prev`.
    #[n(1)]
    pub head: Option<RecordId>,
    /// Password changes that lost against an earlier one, at most [`super::SUPERSEDED_MAX`].
    #[n(2)]
    pub superseded: Vec<RecordId>,
    /// The Recovery whose code opens the account: what the next one names as `previous`.
    #[n(3)]
    pub recovery: Option<RecordId>,
}

/// The identity key as it is sealed under the recovery code. By name, without a session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RecoveryRequest {
    /// As in [`LoginRequest`].
    #[n(0)]
    pub name: String,
}

/// Everything a client needs to set a new password. It is worth nothing without the code, which has too many bits
/// to be guessed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RecoveryResponse {
    /// Whose name it is.
    #[n(0)]
    pub user: UserId,
    /// The sealed identity key: [`crate::vault::open_recovery`]. `None`: the account has no recovery code.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub vault: Option<Vec<u8>>,
    /// As in [`LoginResponse`].
    #[n(2)]
    pub secrets: Secrets,
}

/// These accounts were accepted by this cluster before: a tracker that was set back takes them without a registration
/// code. At most [`super::VOUCHED_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct VouchRequest {
    /// The genesis of each, with a receipt that the cluster's key signed.
    #[n(0)]
    pub accounts: Vec<SignedRow>,
}

/// Where a device of the caller's account has written, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceHeadsRequest {
    /// Which device.
    #[n(0)]
    pub device: DeviceId,
    /// [`DeviceHeadsResponse::next`] of the page before; nothing for the first.
    #[n(1)]
    pub after: Option<GroupId>,
}

/// The last records of a device, of every scope in which it wrote. The device's own signature proves each.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceHeadsResponse {
    /// The records, in no particular order.
    #[n(0)]
    pub rows: Vec<SignedRow>,
    /// Where to go on; nothing behind the last page. Pages follow the order of the groups' ids.
    #[n(1)]
    pub next: Option<GroupId>,
}

/// Which users have these names? At most [`super::NAMES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct UserNamesRequest {
    /// Names in any spelling.
    #[n(0)]
    pub names: Vec<Name>,
}

/// One answer per name, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct UserNamesResponse {
    /// `None`: nobody has this name.
    #[n(0)]
    pub users: Vec<Option<UserId>>,
}

/// The caller's own account records.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AccountRequest {
    /// Must be the account of the session.
    #[n(0)]
    pub user: UserId,
}

/// The account scope.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AccountResponse {
    /// Without AuthRecords and Recoveries, in no particular order.
    #[n(0)]
    pub rows: Vec<SignedRow>,
    /// What those records alone do not tell.
    #[n(1)]
    pub secrets: Secrets,
}
