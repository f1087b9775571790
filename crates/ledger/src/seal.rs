//! One signature for the receipts of many rows.
//!
//! What a tracker accepts at about the same time it writes to its disk together, and a signature costs more than
//! everything else about a receipt. So the cluster key signs the root of a Merkle tree over the receipts of consecutive
//! rows, and each receipt carries that signature and its audit path, by which anybody finds the root again: a receipt
//! proves by itself what it says. The tree has the shape of RFC 9162, section 2.1: a node's left part is the largest
//! power of two below its size. Where in the tree a leaf is and how long its path must be follow from two numbers that
//! the signed statement covers, so a seal has one way to be written. The same receipt may have another one, signed again
//! in other company.

use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Decoder, Encode, Encoder};
use peerage_types::{RecordId, Stamp};

use crate::body::written;
use crate::receipt::Origin;
use crate::signature::{CheckedKey, SIGNATURE_BYTES, SignatureCheck};

/// Receipts under one signature.
pub const SEALED_MAX: usize = 128;
/// Hashes in an audit path.
const PATH_MAX: usize = SEALED_MAX.ilog2() as usize;
/// The longest seal: signature, index, count, path.
const SEAL_BYTES_MAX: usize = SIGNATURE_BYTES + 2 + PATH_MAX * HASH_BYTES;
const HASH_BYTES: usize = 32;

/// First item of the signed array: the cluster key signs other things too.
const DOMAIN: &str = "peerage receipts";
/// BLAKE3 keys: no leaf is ever a node, and neither is any other hash of ours.
const LEAF: &[u8; 32] = b"peerage 2026 leaf of the receipt";
const NODE: &[u8; 32] = b"peerage 2026 node over receipts.";

const _: () = assert!(SEALED_MAX.is_power_of_two() && SEALED_MAX <= u8::MAX as usize);

type Hash = [u8; HASH_BYTES];

/// Why bytes are no seal: whoever sent them is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// Too short, or not as long as its place in the tree wants it.
    #[error("a seal of {0} bytes does not fit its place")]
    Length(usize),
    /// There is no such leaf: trees have 2 to [`SEALED_MAX`], and who is alone has no tree.
    #[error("no tree of receipts has a leaf {index} of {count}")]
    Place {
        /// Which leaf.
        index: u8,
        /// Of how many.
        count: u8,
    },
}

/// What makes a receipt worth something: a signature and the way from the receipt to what was signed. Cheap to clone.
///
/// As bytes: the signature, and unless the receipt was signed alone, the leaf's index, the number of leaves, and the audit
/// path from the leaf upwards. Only well-formed ones exist; whether one is right, [`Sealed`] tells.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal(Arc<[u8]>);

impl Seal {
    /// Of a receipt that was signed alone.
    pub fn alone(signature: [u8; SIGNATURE_BYTES]) -> Self {
        Self(Arc::new(signature))
    }

    /// Reads what [`Self::as_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealFault> {
        let length = SealFault::Length(bytes.len());
        match bytes.get(SIGNATURE_BYTES..).ok_or(length)? {
            [] => {}
            [_] => return Err(length),
            [index, count, path @ ..] => {
                if *count < 2 || usize::from(*count) > SEALED_MAX || index >= count {
                    return Err(SealFault::Place { index: *index, count: *count });
                }
                let wanted = siblings(usize::from(*index), usize::from(*count)).count() * HASH_BYTES;
                if path.len() != wanted {
                    return Err(length);
                }
            }
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// As it is stored and sent: at most 290 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn signature(&self) -> [u8; SIGNATURE_BYTES] {
        self.0.first_chunk().copied().unwrap_or([0; SIGNATURE_BYTES])
    }

    /// Index and number of leaves, and the path.
    fn place(&self) -> (usize, usize, &[Hash]) {
        match self.0.get(SIGNATURE_BYTES..) {
            Some([index, count, path @ ..]) => (usize::from(*index), usize::from(*count), path.as_chunks().0),
            _ => (0, 1, &[]),
        }
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (index, count, _) = self.place();
        write!(f, "Seal({index} of {count})")
    }
}

/// A statement of the cluster key about the receipts of some rows, and its signature. Equal ones are right or wrong
/// together: who is shown many receipts asks about each statement once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sealed {
    statement: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

impl Sealed {
    /// What must have been signed if this is the seal of this receipt. None: no log has such rows.
    pub(crate) fn of(
        origin: &Origin,
        seq: u64,
        stamp: Stamp,
        record: &RecordId,
        seal: &Seal,
    ) -> Option<Self> {
        let (index, count, path) = seal.place();
        let first = seq.checked_sub(index as u64)?;
        let root = climb(leaf(seq, stamp, record), index, count, path);
        Some(Self { statement: statement(origin, first, count, &root), signature: seal.signature() })
    }

    /// Did the cluster key sign it? None: no.
    pub fn check(&self, cluster_key: &CheckedKey) -> Option<SignatureCheck> {
        SignatureCheck::new(cluster_key, &self.statement, &self.signature)
    }
}

/// One seal for each of these rows of a log, which follow each other from number `first`.
pub(crate) fn seal(origin: &Origin, first: u64, rows: &[(Stamp, RecordId)], key: &SigningKey) -> Vec<Seal> {
    let mut seals = Vec::with_capacity(rows.len());
    for (part, rows) in rows.chunks(SEALED_MAX).enumerate() {
        let first = first + (part * SEALED_MAX) as u64;
        let leaves = rows.iter().zip(first..).map(|((stamp, record), seq)| leaf(seq, *stamp, record));
        let levels = levels(leaves.collect());
        let root = levels.last().and_then(|level| level.first()).copied().unwrap_or_default();
        let signature = key.sign(&statement(origin, first, rows.len(), &root)).to_bytes();
        seals.extend((0..rows.len()).map(|index| grown(index, &levels, &signature)));
    }
    seals
}

/// The seal of one leaf of a tree.
fn grown(index: usize, levels: &[Vec<Hash>], signature: &[u8; SIGNATURE_BYTES]) -> Seal {
    let count = levels.first().map_or(1, Vec::len);
    if count == 1 {
        return Seal::alone(*signature);
    }
    let mut bytes = Vec::with_capacity(SEAL_BYTES_MAX);
    bytes.extend_from_slice(signature);
    // Both are below `SEALED_MAX`.
    bytes.extend([index as u8, count as u8]);
    for (level, at) in siblings(index, count) {
        bytes.extend(levels.get(level).and_then(|level| level.get(at)).into_iter().flatten());
    }
    Seal(Arc::from(bytes))
}

/// Leaves, then what is over them, up to the root. What has no neighbour to its right goes up as it is.
fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let over = below.chunks(2).map(|pair| match pair {
            [left, right] => node(left, right),
            single => single.first().copied().unwrap_or_default(),
        });
        let over = over.collect();
        levels.push(over);
    }
    levels
}

/// Level and index of each hash of a leaf's audit path, from the leaf upwards.
fn siblings(index: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut widths = (0, index, count);
    std::iter::from_fn(move || {
        let (level, at, width) = widths;
        (width > 1).then(|| {
            widths = (level + 1, at / 2, width.div_ceil(2));
            (level, at ^ 1, width)
        })
    })
    .filter(|(_, sibling, width)| sibling < width)
    .map(|(level, sibling, _)| (level, sibling))
}

/// The root over a leaf, by its path.
fn climb(leaf: Hash, index: usize, count: usize, path: &[Hash]) -> Hash {
    siblings(index, count).zip(path).fold(leaf, |hash, ((_, sibling), other)| match sibling % 2 {
        0 => node(other, &hash),
        _ => node(&hash, other),
    })
}

/// Whose log it is stands in the statement.
fn leaf(seq: u64, stamp: Stamp, record: &RecordId) -> Hash {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&seq.to_be_bytes());
    bytes[8..16].copy_from_slice(&stamp.0.to_be_bytes());
    bytes[16..].copy_from_slice(&record.0);
    *blake3::keyed_hash(LEAF, &bytes).as_bytes()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [0; 2 * HASH_BYTES];
    bytes[..HASH_BYTES].copy_from_slice(left);
    bytes[HASH_BYTES..].copy_from_slice(right);
    *blake3::keyed_hash(NODE, &bytes).as_bytes()
}

fn statement(origin: &Origin, first: u64, count: usize, root: &Hash) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(96));
    let mut put = || {
        e.array(5)?.str(DOMAIN)?.encode(origin)?.u64(first)?;
        e.u64(count as u64)?.bytes(root)?.ok()
    };
    written(put());
    e.into_writer()
}

impl<C> Encode<C> for Seal {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Seal {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let bytes: &ByteSlice = d.decode_with(ctx)?;
        Self::from_bytes(bytes).map_err(|fault| minicbor::decode::Error::custom(fault).at(at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use peerage_types::{PublicKey, TrackerId};

    use super::*;
    use crate::Receipt;

    const ORIGIN: Origin = Origin { tracker: TrackerId([3; 16]), incarnation: 4 };

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn public() -> PublicKey {
        PublicKey(key().verifying_key().to_bytes())
    }

    fn receipts(first: u64, count: usize) -> Vec<Receipt> {
        let row = |n: usize| (Stamp(1_000 + n as u64), RecordId([n as u8; 32]));
        Receipt::sign_all(ORIGIN, first, &(0..count).map(row).collect::<Vec<_>>(), &key())
    }

    /// The definition of RFC 9162, 2.1.1, word for word.
    fn reference(leaves: &[Hash]) -> Hash {
        if let [one] = leaves {
            return *one;
        }
        let split = (leaves.len() - 1).ilog2();
        let (left, right) = leaves.split_at(1 << split);
        node(&reference(left), &reference(right))
    }

    #[test]
    fn the_root_is_that_of_the_definition() {
        for count in 1..=SEALED_MAX {
            let leaves: Vec<Hash> =
                (0..count).map(|n| leaf(n as u64, Stamp(9), &RecordId([1; 32]))).collect();
            assert_eq!(levels(leaves.clone()).last().unwrap(), &[reference(&leaves)], "{count} leaves");
        }
    }

    #[test]
    fn each_receipt_of_a_tree_proves_itself_and_asks_for_one_signature_in_all() {
        for count in [1, 2, 3, 5, 8, 31, 64, 79, SEALED_MAX] {
            let receipts = receipts(6, count);
            let sealed: BTreeSet<_> = receipts.iter().map(|receipt| receipt.sealed().unwrap()).collect();
            assert_eq!(sealed.len(), 1, "{count} receipts");
            for receipt in &receipts {
                assert!(receipt.verify(&public()));
                let bytes = minicbor::to_vec(receipt).unwrap();
                assert_eq!(&minicbor::decode::<Receipt>(&bytes).unwrap(), receipt);
                let length = receipt.seal.as_bytes().len();
                assert!(length <= SEAL_BYTES_MAX && (count > 1 || length == SIGNATURE_BYTES));
            }
        }
        // More than one tree holds.
        let many = receipts(1, SEALED_MAX + 1);
        assert!(many.iter().all(|receipt| receipt.verify(&public())));
        let sealed: BTreeSet<_> = many.iter().map(|receipt| receipt.sealed().unwrap()).collect();
        assert_eq!((sealed.len(), many.last().unwrap().seal.as_bytes().len()), (2, SIGNATURE_BYTES));
    }

    #[test]
    fn nothing_of_a_receipt_can_be_changed() {
        let receipts = receipts(6, 11);
        for (n, receipt) in receipts.iter().enumerate() {
            let other = &receipts[(n + 1) % receipts.len()];
            let origin = Origin { incarnation: 5, ..ORIGIN };
            assert!(!Receipt { origin, ..receipt.clone() }.verify(&public()));
            assert!(!Receipt { seq: other.seq, ..receipt.clone() }.verify(&public()));
            assert!(!Receipt { seq: 0, ..receipt.clone() }.verify(&public()));
            assert!(!Receipt { stamp: other.stamp, ..receipt.clone() }.verify(&public()));
            assert!(!Receipt { record: other.record, ..receipt.clone() }.verify(&public()));
            assert!(!Receipt { seal: other.seal.clone(), ..receipt.clone() }.verify(&public()));
            for byte in 0..receipt.seal.as_bytes().len() {
                let mut bytes = receipt.seal.as_bytes().to_vec();
                bytes[byte] ^= 1;
                let Ok(seal) = Seal::from_bytes(&bytes) else { continue };
                assert!(!Receipt { seal, ..receipt.clone() }.verify(&public()), "byte {byte}");
            }
        }
    }

    /// A hash inside a tree is no receipt's, whatever tree somebody says it stands in.
    #[test]
    fn a_node_passes_for_no_leaf() {
        let receipts = receipts(1, 4);
        let seal = receipts[0].seal.as_bytes();
        // As if the tree had two leaves: the path begins one level up.
        let shorter = [&seal[..SIGNATURE_BYTES], &[0, 2], &seal[SIGNATURE_BYTES + 2 + HASH_BYTES..]].concat();
        let seal = Seal::from_bytes(&shorter).unwrap();
        assert!(!Receipt { seal, ..receipts[0].clone() }.verify(&public()));
    }

    #[test]
    fn there_is_one_way_to_write_a_seal() {
        let of = |tail: &[u8]| Seal::from_bytes(&[&[1; SIGNATURE_BYTES][..], tail].concat());
        let hashes = |index: u8, count: u8, hashes: usize| {
            of(&[&[index, count][..], &vec![2; hashes * HASH_BYTES]].concat()).map(|_| ())
        };
        assert!(
            of(&[]).is_ok() && hashes(0, 2, 1).is_ok() && hashes(4, 5, 1).is_ok() && hashes(0, 5, 3).is_ok()
        );
        assert_eq!(Seal::from_bytes(&[1; 63]), Err(SealFault::Length(63)));
        assert_eq!(of(&[0]), Err(SealFault::Length(65)));
        // Alone, written as a tree of one.
        assert_eq!(hashes(0, 1, 0), Err(SealFault::Place { index: 0, count: 1 }));
        assert_eq!(hashes(2, 2, 1), Err(SealFault::Place { index: 2, count: 2 }));
        assert_eq!(hashes(0, 129, 8), Err(SealFault::Place { index: 0, count: 129 }));
        for wrong in [0, 2, 8] {
            assert!(matches!(hashes(0, 2, wrong), Err(SealFault::Length(_))));
        }
        assert!(matches!(of(&[&[0, 2][..], &[2; HASH_BYTES + 1]].concat()), Err(SealFault::Length(99))));
    }
}
