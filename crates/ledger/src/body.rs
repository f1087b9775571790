//! What a record says: one variant per kind, each encoded as a CBOR array of its fields.
//!
//! Every variable part is bounded before it is read, and [`crate::Record::decode`] accepts only the encoding
//! that [`Body::encode`] produces.

use std::convert::Infallible;

use ed25519_dalek::{Signer, SigningKey};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder, decode, encode};
use peerage_types::limits::{HEIRS_MAX, RECORD_BYTES_MAX};
use peerage_types::{
    ContentId, DeviceId, FileName, GroupId, InfoHash, InfoHashV1, MetainfoId, Name, PublicKey, RecordId,
    UserId,
};

/// Heads that one Handover, AdminRevoke or DeviceRevoke lists: one per device of a person, or per scope of a
/// device. A DeviceRevoke that needs more is followed by another one.
pub const HEADS_MAX: usize = 32;
/// A device's label, in bytes of UTF-8.
pub const LABEL_BYTES_MAX: usize = 64;

// 40 bytes per heir (id, incarnation, CBOR headers), 34 per head, 300 for header and signature.
const _: () = assert!(HEIRS_MAX * 40 + HEADS_MAX * 34 + 300 <= RECORD_BYTES_MAX);

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident = $number:literal { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? })*) => {
        /// What a record says.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Body {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $ty),* },)*
            /// Of a kind or version that this program does not know: kept, forwarded, without effect.
            Unknown {
                /// The kind's number.
                kind: u16,
                /// The body's bytes, as they came.
                body: Vec<u8>,
            },
        }

        /// Which kind of record. The numbers are part of the format. 35 (Policy) is reserved.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
            /// A kind or version that this program does not know.
            Unknown(u16),
        }

        impl Kind {
            /// The kind with this number, in the version that this program speaks.
            pub fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            /// The number that stands for this kind in a record.
            pub fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }

        impl Body {
            /// Which kind of record says this.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$name { .. } => Kind::$name,)*
                    Self::Unknown { kind, .. } => Kind::Unknown(*kind),
                }
            }

            /// The one encoding of this body.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$name { $($field),* } => {
                        let fields: &[&str] = &[$(stringify!($field)),*];
                        let mut e = Encoder::new(Vec::new());
                        written(e.array(fields.len() as u64).map(|_| ()));
                        $(written($field.put(&mut e));)*
                        e.into_writer()
                    })*
                    Self::Unknown { body, .. } => body.clone(),
                }
            }

            /// Reads a body of this kind. Does not notice trailing bytes or needlessly long integers: the
            /// caller compares with [`Body::encode`].
            pub(crate) fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, decode::Error> {
                let d = &mut Decoder::new(bytes);
                match kind {
                    $(Kind::$name => {
                        let fields: &[&str] = &[$(stringify!($field)),*];
                        counted(d, fields.len() as u64)?;
                        Ok(Self::$name { $($field: Field::take(d)?),* })
                    })*
                    Kind::Unknown(kind) => Ok(Self::Unknown { kind, body: bytes.to_vec() }),
                }
            }
        }
    };
}

bodies! {
    /// Founds an account. Signed by the identity key, like every record of an account scope.
    AccountGenesis = 1 {
        /// The identity's public key; the account's id is its hash.
        identity: PublicKey,
    }
    /// Claims a user name.
    UserNameClaim = 2 {
        /// The name as its owner spells it.
        name: Name,
    }
    /// Sets or changes the password.
    AuthRecord = 3 {
        /// Which OPAQUE server setup of the keyring the password file belongs to.
        opaque_key: u32,
        /// The OPAQUE server's registration record.
        password_file: Vec<u8>,
        /// The identity key, sealed under the OPAQUE export key.
        vault: Vec<u8>,
        /// The AuthRecord that this one replaces.
        previous: Option<RecordId>,
    }
    /// Certifies that a device acts for this person.
    DeviceCert = 4 {
        /// The device's public key.
        device: DeviceId,
        /// What its owner calls it.
        label: String,
    }
    /// Ends a device: of its records only the named heads and what they descend from stay valid.
    DeviceRevoke = 5 {
        /// The device.
        device: DeviceId,
        /// Its last valid record of each scope in which it was active. Several revocations of a device add up.
        heads: Vec<RecordId>,
    }
    /// Sets or changes the recovery code.
    Recovery = 6 {
        /// The identity key, sealed under the recovery code.
        vault: Vec<u8>,
        /// The Recovery that this one replaces.
        previous: Option<RecordId>,
    }
    /// Founds a group. Signed by a device key, like everything below.
    GroupGenesis = 16 {
        /// The group's name.
        name: Name,
        /// The record that ended the group which had this name before.
        after: Option<RecordId>,
        /// Random bytes: two groups of one name by one device are two groups.
        nonce: [u8; 16],
    }
    /// The owner names successors. Signed by the owner alone.
    Handover = 17 {
        /// The term that this ends; 0 is the founder's.
        epoch: u32,
        /// Successors with their incarnations, in order.
        heirs: Vec<(UserId, u32)>,
        /// Last records of the owner's other devices and of the admins in this group: they and their ancestors
        /// stay valid.
        heads: Vec<RecordId>,
        /// The owner remains a plain member at the same incarnation, instead of leaving.
        stays: bool,
    }
    /// The owner ends the group.
    Close = 18 {
        /// The owner's term.
        epoch: u32,
    }
    /// Lets a member accept, reject and kick plain members. Signed by the owner alone.
    AdminGrant = 19 {
        /// The member.
        user: UserId,
        /// The member's incarnation: the grant ends with it.
        incarnation: u32,
        /// The owner's term: the grant ends with it.
        epoch: u32,
    }
    /// Ends an AdminGrant. Signed by the owner alone.
    AdminRevoke = 20 {
        /// The AdminGrant.
        grant: RecordId,
        /// Last records of the admin's devices in this group: what was done under the grant counts as far as
        /// these and their ancestors go, and not at all if there are none.
        heads: Vec<RecordId>,
        /// The owner's term.
        epoch: u32,
    }
    /// Lets in whoever asks and shows that they hold the invite's private key: an acceptance beforehand. Signed by the
    /// owner or an admin.
    Invite = 21 {
        /// The invite's public key; the private one travels in the link.
        key: PublicKey,
        /// From this and a secret of its own the issuer's device finds the private key again.
        salt: [u8; 16],
        /// Milliseconds since the Unix epoch: what trackers stamp from then on does not count.
        expires_ms: u64,
        /// How many accounts may come in by it.
        uses: u32,
        /// The owner's term: the invite ends with it.
        epoch: u32,
        /// The AdminGrant under which an admin acts; nothing for the owner.
        grant: Option<RecordId>,
    }
    /// Ends an Invite: what comes in later does not count.
    InviteWithdraw = 22 {
        /// The Invite.
        invite: RecordId,
        /// The owner's term.
        epoch: u32,
        /// The AdminGrant under which an admin acts; nothing for the owner.
        grant: Option<RecordId>,
    }
    /// Asks to be let in.
    JoinRequest = 24 {
        /// How often this person came before, plus one.
        incarnation: u32,
    }
    /// Lets a person in who asked.
    Accept = 25 {
        /// The person.
        user: UserId,
        /// Which of the person's requests this answers.
        incarnation: u32,
        /// The owner's term.
        epoch: u32,
        /// The AdminGrant under which an admin acts; nothing for the owner.
        grant: Option<RecordId>,
    }
    /// Refuses a person who asked.
    Reject = 26 {
        /// The person.
        user: UserId,
        /// Which of the person's requests this answers; earlier ones are refused with it.
        incarnation: u32,
        /// The owner's term.
        epoch: u32,
        /// The AdminGrant under which an admin acts; nothing for the owner.
        grant: Option<RecordId>,
    }
    /// Ends a membership.
    Kick = 27 {
        /// The person.
        user: UserId,
        /// The incarnation that ends, with all earlier ones.
        incarnation: u32,
        /// The owner's term.
        epoch: u32,
        /// The AdminGrant under which an admin acts; nothing for the owner.
        grant: Option<RecordId>,
    }
    /// Ends the author's own membership.
    Leave = 28 {
        /// The incarnation that ends, with all earlier ones.
        incarnation: u32,
    }
    /// The author of a JoinRequest holds an Invite's private key. Proven by the record itself.
    Redeem = 29 {
        /// The Invite's public key.
        key: PublicKey,
        /// Which of the author's requests this is about.
        incarnation: u32,
        /// The Invite's signature over group, author and incarnation, see [`invite_proof`].
        proof: [u8; 64],
    }
    /// Describes a file or folder.
    Manifest = 32 {
        /// Its name in the group.
        name: FileName,
        /// Bytes of content, without padding.
        size: u64,
        /// Content identity.
        content: ContentId,
        /// BEP 52 info hash.
        info_hash: InfoHash,
        /// BEP 3 info hash, unless the torrent is v2 only.
        info_hash_v1: Option<InfoHashV1>,
        /// Content address of the metainfo file.
        metainfo: MetainfoId,
        /// Bytes of the metainfo file.
        metainfo_bytes: u32,
        /// Bytes per piece.
        piece_length: u32,
        /// How many files a folder has; nothing for a single file.
        folder_files: Option<u32>,
    }
    /// The author's device shares what a Manifest describes.
    Share = 33 {
        /// The Manifest.
        manifest: RecordId,
        /// The author's incarnation: a share ends with it.
        incarnation: u32,
    }
    /// Ends a Share of the same person.
    Unshare = 34 {
        /// The Share.
        share: RecordId,
    }
}

/// Brings a device's label into the form that records accept: no control characters, cut at
/// [`LABEL_BYTES_MAX`].
pub fn device_label(text: &str) -> String {
    let mut label = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if label.len() + c.len_utf8() > LABEL_BYTES_MAX {
            break;
        }
        label.push(c);
    }
    label
}

/// What an Invite's private key signs: first item of the array, so that it can be taken for nothing else.
const PROOF_DOMAIN: &str = "peerage invite proof";

/// The bytes that an Invite's private key signs for somebody: they are right for no other group, account or coming.
pub(crate) fn proven(group: &GroupId, user: &UserId, incarnation: u32) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(128));
    let mut put = || e.array(4)?.str(PROOF_DOMAIN)?.encode(group)?.encode(user)?.u32(incarnation)?.ok();
    written(put());
    e.into_writer()
}

/// A Redeem's `proof`: `invite` is the private key that the link carries.
pub fn invite_proof(invite: &SigningKey, group: &GroupId, user: &UserId, incarnation: u32) -> [u8; 64] {
    invite.sign(&proven(group, user, incarnation)).to_bytes()
}

/// Writing CBOR into a `Vec` has no way to fail.
pub(crate) fn written(result: Result<(), encode::Error<Infallible>>) {
    if let Err(error) = result {
        unreachable!("CBOR into memory: {error}");
    }
}

/// Reads the header of an array that must have `len` items.
pub(crate) fn counted(d: &mut Decoder<'_>, len: u64) -> Result<(), decode::Error> {
    let at = d.position();
    match d.array()? {
        Some(found) if found == len => Ok(()),
        _ => Err(decode::Error::message(format!("expected an array of {len}")).at(at)),
    }
}

/// One field of a body. Local, so that `Vec<u8>` can be a byte string.
pub(crate) trait Field: Sized {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>>;
    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error>;
}

macro_rules! plain_fields {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
                e.encode(self)?.ok()
            }

            fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
                d.decode()
            }
        }
    )*};
}

plain_fields!(
    u32, u64, Name, FileName, PublicKey, RecordId, UserId, ContentId, InfoHash, InfoHashV1, MetainfoId
);

impl Field for Vec<u8> {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.bytes(self)?.ok()
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(d.bytes()?.to_vec())
    }
}

impl Field for [u8; 16] {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.bytes(self)?.ok()
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let at = d.position();
        d.bytes()?.try_into().map_err(|_| decode::Error::message("expected 16 bytes").at(at))
    }
}

impl Field for [u8; 64] {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.bytes(self)?.ok()
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let at = d.position();
        d.bytes()?.try_into().map_err(|_| decode::Error::message("expected 64 bytes").at(at))
    }
}

impl Field for bool {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.bool(*self)?.ok()
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        d.bool()
    }
}

impl Field for String {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.str(self)?.ok()
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let at = d.position();
        match d.str()? {
            text if text == device_label(text) => Ok(text.to_owned()),
            _ => Err(decode::Error::message("a label is up to 64 bytes without control characters").at(at)),
        }
    }
}

impl Field for (UserId, u32) {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.array(2)?.encode(self.0)?.u32(self.1)?.ok()
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        counted(d, 2)?;
        Ok((d.decode()?, d.u32()?))
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        match self {
            Some(value) => value.put(e),
            None => e.null()?.ok(),
        }
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        match d.datatype()? {
            Type::Null => d.null().map(|()| None),
            _ => T::take(d).map(Some),
        }
    }
}

macro_rules! list_fields {
    ($($item:ty: $max:expr),*) => {$(
        impl Field for Vec<$item> {
            fn put(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
                e.array(self.len() as u64)?;
                self.iter().try_for_each(|item| item.put(e))
            }

            fn take(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
                let at = d.position();
                match d.array()? {
                    Some(len) if len <= $max as u64 => (0..len).map(|_| Field::take(d)).collect(),
                    _ => Err(decode::Error::message(format!("expected a list of up to {}", $max)).at(at)),
                }
            }
        }
    )*};
}

list_fields!((UserId, u32): HEIRS_MAX, RecordId: HEADS_MAX);
