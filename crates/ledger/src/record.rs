//! The record: exact signed bytes plus a signature, verified once and never re-encoded.
//!
//! `record = [signed: bytes, signature: bytes 64]`, and inside `signed` the array
//! `["peerage record", kind, version, cluster, scope, author, signer, prev | null, body: bytes]`. Both have one
//! encoding only; anything else is refused, so a record cannot arrive in two shapes.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use minicbor::{Decoder, Encoder, decode};
use peerage_types::limits::{AUTH_RECORD_BYTES_MAX, RECORD_BYTES_MAX};
use peerage_types::{ClusterId, GroupId, PublicKey, RecordId, Scope, UserId};

use crate::body::{Body, Field, Kind, counted, proven, written};
use crate::signature::{CheckedKey, SIGNATURE_BYTES, SignatureCheck};

/// First item of the signed array: no other protocol's signature can be taken for a record.
const DOMAIN: &str = "peerage record";
/// Version of the bodies that this program reads and writes. A known kind of another version is
/// [`Body::Unknown`].
pub const VERSION: u8 = 1;
/// The scope that a record carries which founds its own: its effective scope is the group named by its id.
pub const FOUNDING: Scope = Scope::Group(GroupId([0; 32]));

/// Why bytes are not a record. Whoever sent them is at fault; nothing here depends on other records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Longer than its kind may be.
    #[error("the record has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// Bytes of the record.
        len: usize,
        /// Limit of its kind.
        max: usize,
    },
    /// The encoding does not follow the format.
    #[error("not a record: {0}")]
    Malformed(String),
    /// Readable, but not in the one encoding that counts (trailing bytes, long integers, extra items).
    #[error("the record is not in canonical form")]
    NotCanonical,
    /// Made for another cluster.
    #[error("the record belongs to cluster {got}, expected {expected}")]
    WrongCluster {
        /// The cluster that the record names.
        got: ClusterId,
        /// Our cluster.
        expected: ClusterId,
    },
    /// An account's record that its identity key did not sign.
    #[error("{kind:?} of user {author} must be signed by that user's identity key, not by {signer}")]
    NotByIdentity {
        /// The record's kind.
        kind: Kind,
        /// Whom it claims to come from.
        author: UserId,
        /// Who signed it.
        signer: PublicKey,
    },
    /// A kind in a scope where it means nothing.
    #[error("{kind:?} does not belong into {scope:?}")]
    WrongScope {
        /// The record's kind.
        kind: Kind,
        /// The scope that it names.
        scope: Scope,
    },
    /// The signature does not match.
    #[error("the signature of {signer} is wrong")]
    BadSignature {
        /// Who should have signed.
        signer: PublicKey,
    },
    /// A Redeem that the Invite's key did not sign for this group, author and incarnation.
    #[error("the invite {key} was not made out to user {author}")]
    BadProof {
        /// The Invite's key.
        key: PublicKey,
        /// Who shows the proof.
        author: UserId,
    },
}

impl From<decode::Error> for RecordFault {
    fn from(error: decode::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The cluster that the record is for.
    pub cluster: ClusterId,
    /// Account or group; for a GroupGenesis ignored, it is signed with [`FOUNDING`].
    pub scope: Scope,
    /// The person who states it.
    pub author: UserId,
    /// The signing key's previous record in this scope.
    pub prev: Option<RecordId>,
    /// What is stated.
    pub body: Body,
}

/// A signed fact: immutable and, once in memory, verified as far as that is possible without other records.
#[derive(Clone)]
pub struct Record {
    id: RecordId,
    bytes: Arc<[u8]>,
    scope: Scope,
    author: UserId,
    signer: PublicKey,
    prev: Option<RecordId>,
    body: Body,
}

impl Record {
    /// Verifies bytes from outside: size, canonical encoding, cluster, scope, signature ([`SignatureCheck`]), and
    /// for account records that the identity key signed. Whether the author may say this is the views' matter.
    pub fn decode(bytes: &[u8], cluster: &ClusterId) -> Result<Self, RecordFault> {
        Unverified::decode(bytes, cluster)?.verify()
    }

    /// Signs a draft. The caller answers for its sense: a draft that breaks the rules of
    /// [`Record::decode`] becomes a record that everyone else refuses.
    pub fn sign(draft: Draft, key: &SigningKey) -> Self {
        let kind = draft.body.kind();
        if let Kind::Unknown(number) = kind {
            assert_eq!(Kind::from_number(number), kind, "a known kind needs its own body");
        }
        let body = draft.body.encode();
        let header = Header {
            kind: kind.number(),
            version: VERSION,
            cluster: draft.cluster,
            scope: if kind == Kind::GroupGenesis { FOUNDING } else { draft.scope },
            author: draft.author,
            signer: PublicKey(key.verifying_key().to_bytes()),
            prev: draft.prev,
            body: &body,
        };
        let signed = header.encode(&body);
        let bytes = join(&signed, &key.sign(&signed).to_bytes());
        Self::assemble(&header, &signed, &bytes, draft.body)
    }

    /// The id that these bytes have, whoever signed them, for finding damage: nothing but their shape is checked.
    pub fn id_of(bytes: &[u8]) -> Option<RecordId> {
        let (signed, _) = split(bytes).ok()?;
        Some(RecordId(*blake3::hash(signed).as_bytes()))
    }

    fn assemble(header: &Header<'_>, signed: &[u8], bytes: &[u8], body: Body) -> Self {
        let id = RecordId(*blake3::hash(signed).as_bytes());
        let scope = if header.scope == FOUNDING { Scope::Group(id.into()) } else { header.scope };
        let (author, signer, prev) = (header.author, header.signer, header.prev);
        Self { id, bytes: bytes.into(), scope, author, signer, prev, body }
    }

    /// BLAKE3 of the signed bytes.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The exact bytes, signature included: what is stored and sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same bytes, to share without a copy.
    pub fn shared_bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// What kind of fact.
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// The scope in which it counts; a GroupGenesis' own group.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The person who states it. Proven for account records; for others the account view tells whether
    /// [`Record::signer`] is that person's device.
    pub fn author(&self) -> UserId {
        self.author
    }

    /// The key that signed: the identity in account scopes, a device elsewhere.
    pub fn signer(&self) -> PublicKey {
        self.signer
    }

    /// The signer's previous record in this scope.
    pub fn prev(&self) -> Option<RecordId> {
        self.prev
    }

    /// What is stated.
    pub fn body(&self) -> &Body {
        &self.body
    }
}

/// A record from outside of which everything has been checked but the equation of its signature, the dear part, which
/// is cheaper for many together.
#[derive(Clone, Debug)]
pub struct Unverified {
    record: Record,
    check: SignatureCheck,
}

impl Unverified {
    /// All of [`Record::decode`] but the last step.
    pub fn decode(bytes: &[u8], cluster: &ClusterId) -> Result<Self, RecordFault> {
        Self::decode_with(bytes, cluster, CheckedKey::new)
    }

    /// The same with keys from where some may be known already; `keys` says what [`CheckedKey::new`] says.
    pub fn decode_with(
        bytes: &[u8],
        cluster: &ClusterId,
        keys: impl FnOnce(&PublicKey) -> Option<CheckedKey>,
    ) -> Result<Self, RecordFault> {
        if bytes.len() > AUTH_RECORD_BYTES_MAX {
            return Err(RecordFault::TooLarge { len: bytes.len(), max: AUTH_RECORD_BYTES_MAX });
        }
        let (signed, signature) = split(bytes)?;
        let header = Header::decode(signed)?;
        let max = bytes_max(header.kind);
        if bytes.len() > max {
            return Err(RecordFault::TooLarge { len: bytes.len(), max });
        }
        if header.cluster != *cluster {
            return Err(RecordFault::WrongCluster { got: header.cluster, expected: *cluster });
        }
        let kind = match (header.version, Kind::from_number(header.kind)) {
            (VERSION, kind) => kind,
            _ => Kind::Unknown(header.kind),
        };
        let body = Body::decode(kind, header.body)?;
        let canonical = header.encode(&body.encode());
        if canonical != signed || join(&canonical, &signature) != bytes {
            return Err(RecordFault::NotCanonical);
        }
        check_place(&header, &body)?;
        check_proof(&header, &body)?;
        let check = keys(&header.signer)
            .and_then(|key| SignatureCheck::new(&key, signed, &signature))
            .ok_or(RecordFault::BadSignature { signer: header.signer })?;
        Ok(Self { record: Record::assemble(&header, signed, bytes, body), check })
    }

    /// The last step.
    pub fn verify(self) -> Result<Record, RecordFault> {
        let right = self.check.holds();
        self.judged(right)
    }

    /// The last step for many: what [`Self::verify`] says of each, in their order.
    pub fn verify_all(unverified: Vec<Self>) -> Vec<Result<Record, RecordFault>> {
        let checks: Vec<&SignatureCheck> = unverified.iter().map(Self::check).collect();
        let verdicts = SignatureCheck::all(&checks);
        unverified.into_iter().zip(verdicts).map(|(one, right)| one.judged(right)).collect()
    }

    /// What is left to be checked, for whoever checks more than records together.
    pub fn check(&self) -> &SignatureCheck {
        &self.check
    }

    /// The record's id, which a wrong signature does not change.
    pub fn id(&self) -> RecordId {
        self.record.id
    }

    /// For whoever has asked [`Self::check`]: `right` is what it said.
    pub fn judged(self, right: bool) -> Result<Record, RecordFault> {
        match right {
            true => Ok(self.record),
            false => Err(RecordFault::BadSignature { signer: self.record.signer }),
        }
    }
}

/// The id covers everything but the signature, of which a key may make several.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Record {}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} by {}: {:?})", self.id.tag(), self.author.tag(), self.body)
    }
}

/// The signed array.
struct Header<'b> {
    kind: u16,
    version: u8,
    cluster: ClusterId,
    scope: Scope,
    author: UserId,
    signer: PublicKey,
    prev: Option<RecordId>,
    body: &'b [u8],
}

impl<'b> Header<'b> {
    const ITEMS: u64 = 9;

    fn decode(signed: &'b [u8]) -> Result<Self, RecordFault> {
        let d = &mut Decoder::new(signed);
        counted(d, Self::ITEMS)?;
        if d.str()? != DOMAIN {
            return Err(RecordFault::Malformed(format!("it does not start with `{DOMAIN}`")));
        }
        Ok(Self {
            kind: d.u16()?,
            version: d.u8()?,
            cluster: d.decode()?,
            scope: d.decode()?,
            author: d.decode()?,
            signer: d.decode()?,
            prev: Field::take(d)?,
            body: d.bytes()?,
        })
    }

    fn encode(&self, body: &[u8]) -> Vec<u8> {
        let mut e = Encoder::new(Vec::with_capacity(body.len() + 256));
        let mut put = || {
            e.array(Self::ITEMS)?.str(DOMAIN)?.u16(self.kind)?.u8(self.version)?;
            e.encode(self.cluster)?.encode(self.scope)?.encode(self.author)?.encode(self.signer)?;
            self.prev.put(&mut e)?;
            e.bytes(body)?.ok()
        };
        written(put());
        e.into_writer()
    }
}

fn split(bytes: &[u8]) -> Result<(&[u8], [u8; SIGNATURE_BYTES]), RecordFault> {
    let d = &mut Decoder::new(bytes);
    counted(d, 2)?;
    let (signed, signature) = (d.bytes()?, d.bytes()?);
    let len = signature.len();
    let signature = signature
        .try_into()
        .map_err(|_| RecordFault::Malformed(format!("the signature has {len} bytes, expected 64")))?;
    Ok((signed, signature))
}

fn join(signed: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(signed.len() + 72));
    let mut put = || e.array(2)?.bytes(signed)?.bytes(signature)?.ok();
    written(put());
    e.into_writer()
}

/// By number, so that the limit also holds for versions that we cannot read.
fn bytes_max(kind: u16) -> usize {
    if Kind::from_number(kind) == Kind::AuthRecord { AUTH_RECORD_BYTES_MAX } else { RECORD_BYTES_MAX }
}

/// Is this kind in a scope where it belongs, and was an account's record signed by its identity?
fn check_place(header: &Header<'_>, body: &Body) -> Result<(), RecordFault> {
    let (kind, scope) = (body.kind(), header.scope);
    let wrong_scope = Err(RecordFault::WrongScope { kind, scope });
    match body {
        Body::Unknown { .. } => Ok(()),
        Body::AccountGenesis { .. }
        | Body::UserNameClaim { .. }
        | Body::AuthRecord { .. }
        | Body::DeviceCert { .. }
        | Body::DeviceRevoke { .. }
        | Body::Recovery { .. } => {
            let foreign = matches!(body, Body::AccountGenesis { identity } if *identity != header.signer);
            if scope != Scope::Account(header.author) {
                wrong_scope
            } else if foreign || UserId::of_identity(&header.signer) != header.author {
                Err(RecordFault::NotByIdentity { kind, author: header.author, signer: header.signer })
            } else {
                Ok(())
            }
        }
        Body::GroupGenesis { .. } if scope == FOUNDING => Ok(()),
        Body::GroupGenesis { .. } => wrong_scope,
        _ if scope == FOUNDING => wrong_scope,
        _ if matches!(scope, Scope::Group(_)) => Ok(()),
        _ => wrong_scope,
    }
}

/// Does a Redeem's proof hold? It rests on nothing but the record, so views need not look at it again. The key is seen
/// once per person, and such records are rare: it is checked alone.
fn check_proof(header: &Header<'_>, body: &Body) -> Result<(), RecordFault> {
    let (Body::Redeem { key, incarnation, proof }, Scope::Group(group)) = (body, header.scope) else {
        return Ok(());
    };
    let signed = proven(&group, &header.author, *incarnation);
    let check = CheckedKey::new(key).and_then(|key| SignatureCheck::new(&key, &signed, proof));
    match check.is_some_and(|check| check.holds()) {
        true => Ok(()),
        false => Err(RecordFault::BadProof { key: *key, author: header.author }),
    }
}
