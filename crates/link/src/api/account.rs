//! Registration, login and names of users.

use minicbor::{Decode, Encode};
use peerage_types::{Name, UserId};

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
    /// The user name, in any spelling.
    #[n(0)]
    pub name: Name,
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
}
