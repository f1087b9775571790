//! Which ed25519 signatures count, asked one by one or of many together.
//!
//! RFC 8032 leaves room: points and keys may carry a component of small order, and then the equation with the cofactor
//! and the one without it disagree. All who read records must agree for ever, and a batch can only agree with single
//! checks about the equation **with** the cofactor, `8·(s·B − k·A − R) = 0` (as in ZIP 215). So that is the rule, for
//! one and for many:
//! - `s` is below the group order; `A` and `R` are points of the curve; `k` is the hash of the bytes as they came;
//! - `A` is not of small order: for such a key anybody could sign;
//! - the equation holds.
//!
//! Everything that `verify_strict` of ed25519-dalek accepts is accepted, and of honest keys nothing else: beyond that
//! are only signatures that the key's holder made with the group's small part on purpose.

use std::collections::BTreeMap;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use peerage_types::PublicKey;
use sha2::{Digest, Sha512};

/// Bytes of a signature: `R`, then `s`.
pub(crate) const SIGNATURE_BYTES: usize = 64;
/// Keeps the factors of a batch apart from every other use of BLAKE3.
const FACTORS: &str = "peerage 2026 factors of a batch of signatures";

/// A key that may have signed something: a point of the curve and not of small order. Finding that out is a third of
/// the work of a check, so who sees the same keys again keeps them.
#[derive(Clone, Copy, Debug)]
pub struct CheckedKey {
    bytes: PublicKey,
    /// `-A`.
    minus_a: EdwardsPoint,
}

impl CheckedKey {
    /// None: nothing is signed by this key.
    pub fn new(key: &PublicKey) -> Option<Self> {
        let a = CompressedEdwardsY(key.0).decompress().filter(|a| !a.is_small_order())?;
        Some(Self { bytes: *key, minus_a: -a })
    }
}

/// Keys that were seen before, up to a number. What is kept of a key follows from its bytes alone, so that it was seen
/// makes no signature right.
#[derive(Debug)]
pub struct KeyCache {
    max: usize,
    keys: BTreeMap<PublicKey, CheckedKey>,
}

impl KeyCache {
    /// Of at most `max` keys, about 250 bytes each. When it is full it begins anew.
    pub fn new(max: usize) -> Self {
        Self { max, keys: BTreeMap::new() }
    }

    /// What [`CheckedKey::new`] says.
    pub fn key(&mut self, key: &PublicKey) -> Option<CheckedKey> {
        if let Some(known) = self.known(key) {
            return Some(known);
        }
        let fresh = CheckedKey::new(key)?;
        self.keep(fresh);
        Some(fresh)
    }

    /// What is remembered of a key, at the price of a look-up. None: it has to be checked.
    pub fn known(&self, key: &PublicKey) -> Option<CheckedKey> {
        self.keys.get(key).copied()
    }

    /// Remembers a key.
    pub fn keep(&mut self, key: CheckedKey) {
        if self.keys.len() >= self.max && !self.keys.contains_key(&key.bytes) {
            self.keys.clear();
        }
        self.keys.insert(key.bytes, key);
    }
}

/// A signature that is well-formed, as far as it must be to ask whether it is right.
#[derive(Clone, Debug)]
pub struct SignatureCheck {
    key: CheckedKey,
    r_bytes: [u8; 32],
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl SignatureCheck {
    /// Of `message` by `key`. None: it cannot be right, whatever the equation says.
    pub fn new(key: &CheckedKey, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Option<Self> {
        let (r_bytes, s_bytes) = signature.split_at(32);
        let (r_bytes, s_bytes): ([u8; 32], [u8; 32]) = (r_bytes.try_into().ok()?, s_bytes.try_into().ok()?);
        let s = Option::from(Scalar::from_canonical_bytes(s_bytes))?;
        let r = CompressedEdwardsY(r_bytes).decompress()?;
        let hash =
            Sha512::new().chain_update(r_bytes).chain_update(key.bytes.0).chain_update(message).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        Some(Self { key: *key, r_bytes, r, s, k })
    }

    /// Is it right?
    pub fn holds(&self) -> bool {
        let r = EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, &self.key.minus_a, &self.s);
        (r - self.r).mul_by_cofactor().is_identity()
    }

    /// Which of these are right, in their order: what [`Self::holds`] says of each, for a third of the time when there
    /// are many. One wrong one costs about as much as all others together.
    pub fn all(checks: &[&Self]) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(checks.len());
        sift(checks, &mut verdicts);
        verdicts
    }
}

/// Appends the verdicts. Halves what does not hold together until the wrong ones stand alone.
fn sift(checks: &[&SignatureCheck], verdicts: &mut Vec<bool>) {
    match checks {
        [] => {}
        [one] => verdicts.push(one.holds()),
        many if hold_together(many) => verdicts.extend(many.iter().map(|_| true)),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            sift(left, verdicts);
            sift(right, verdicts);
        }
    }
}

/// Is the sum of all equations, each times a factor of its own, zero? With one wrong equation that has a chance of
/// 2⁻¹²⁸: the factors are a hash of everything that is checked, so nobody can choose the equations by them.
fn hold_together(checks: &[&SignatureCheck]) -> bool {
    let mut hasher = blake3::Hasher::new_derive_key(FACTORS);
    for check in checks {
        hasher.update(&check.key.bytes.0).update(&check.r_bytes);
        hasher.update(check.s.as_bytes()).update(check.k.as_bytes());
    }
    let mut factors = hasher.finalize_xof();
    let mut scalars = Vec::with_capacity(2 * checks.len() + 1);
    let mut points = Vec::with_capacity(2 * checks.len() + 1);
    let mut of_base = Scalar::ZERO;
    let mut of_keys: BTreeMap<&PublicKey, (EdwardsPoint, Scalar)> = BTreeMap::new();
    for check in checks {
        let mut factor = [0; 16];
        factors.fill(&mut factor);
        let factor = Scalar::from(u128::from_le_bytes(factor));
        of_base += factor * check.s;
        of_keys.entry(&check.key.bytes).or_insert((check.key.minus_a, Scalar::ZERO)).1 += factor * check.k;
        scalars.push(factor);
        points.push(-check.r);
    }
    scalars.push(of_base);
    points.push(ED25519_BASEPOINT_POINT);
    for (minus_a, scalar) in of_keys.into_values() {
        scalars.push(scalar);
        points.push(minus_a);
    }
    EdwardsPoint::vartime_multiscalar_mul(scalars, points).mul_by_cofactor().is_identity()
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
    use proptest::prelude::*;

    use super::*;

    fn public(key: &SigningKey) -> PublicKey {
        PublicKey(key.verifying_key().to_bytes())
    }

    /// A signature whose `A` and `R` carry small components on purpose, right but for these.
    fn crooked(secret: u8, a_torsion: usize, r_torsion: usize, message: &[u8]) -> (PublicKey, [u8; 64]) {
        let (a, r) = (Scalar::from(1_000 + u64::from(secret)), Scalar::from(77_777 + u64::from(secret)));
        let key = (EdwardsPoint::mul_base(&a) + EIGHT_TORSION[a_torsion]).compress().to_bytes();
        let r_bytes = (EdwardsPoint::mul_base(&r) + EIGHT_TORSION[r_torsion]).compress().to_bytes();
        let hash = Sha512::new().chain_update(r_bytes).chain_update(key).chain_update(message).finalize();
        let s = r + Scalar::from_bytes_mod_order_wide(&hash.into()) * a;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r_bytes);
        signature[32..].copy_from_slice(s.as_bytes());
        (PublicKey(key), signature)
    }

    fn check(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> Option<SignatureCheck> {
        SignatureCheck::new(&CheckedKey::new(key)?, message, signature)
    }

    fn all(checks: &[SignatureCheck]) -> Vec<bool> {
        SignatureCheck::all(&checks.iter().collect::<Vec<_>>())
    }

    fn strict(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&key.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    #[test]
    fn small_components_count_alike_alone_and_in_every_company() {
        let mut checks = Vec::new();
        for a in 0..8 {
            for r in 0..8 {
                let (key, signature) = crooked(1, a, r, b"crooked");
                checks.push(check(&key, b"crooked", &signature).unwrap());
            }
        }
        assert!(checks.iter().all(SignatureCheck::holds));
        let checks: Vec<&SignatureCheck> = checks.iter().collect();
        for size in 1..=checks.len() {
            for some in checks.chunks(size) {
                assert!(SignatureCheck::all(some).iter().all(|right| *right));
            }
        }
    }

    #[test]
    fn keys_of_small_order_sign_nothing() {
        for point in EIGHT_TORSION {
            let key = PublicKey(point.compress().to_bytes());
            // The equation with the cofactor holds for every message: s = 0, R of small order.
            for r in EIGHT_TORSION {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r.compress().to_bytes());
                assert!(check(&key, b"anything", &signature).is_none());
            }
        }
        // The same points in encodings that are not reduced (y + p), where there are such.
        for first in [0xed, 0xee] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (first, 0x7f);
            assert!(check(&PublicKey(key), b"anything", &[0; 64]).is_none());
        }
    }

    #[test]
    fn a_scalar_that_is_not_reduced_is_refused() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let mut signature = key.sign(b"text").to_bytes();
        assert!(check(&public(&key), b"text", &signature).unwrap().holds());
        // s + the group order: the same number modulo the order.
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10u8,
        ];
        let mut carry = 0;
        for (byte, of_order) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(of_order) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(check(&public(&key), b"text", &signature).is_none());
    }

    /// A key that was seen before, or after the cache began anew, is the key that it was, and no other.
    #[test]
    fn a_cache_makes_no_wrong_key_right() {
        let keys: Vec<SigningKey> = (1..=5).map(|n| SigningKey::from_bytes(&[n; 32])).collect();
        let signatures: Vec<_> = keys.iter().map(|key| key.sign(b"text").to_bytes()).collect();
        let mut cache = KeyCache::new(2);
        for _ in 0..2 {
            for (signer, signature) in signatures.iter().enumerate() {
                for (asked, key) in keys.iter().enumerate() {
                    let key = cache.key(&public(key)).unwrap();
                    let right = SignatureCheck::new(&key, b"text", signature).unwrap().holds();
                    assert_eq!(right, asked == signer);
                    assert!(cache.keys.len() <= 2);
                }
            }
        }
        assert!(cache.key(&PublicKey(EIGHT_TORSION[1].compress().to_bytes())).is_none());
    }

    /// Errors that would cancel each other if all factors were equal.
    #[test]
    fn two_wrongs_make_no_right() {
        let key = SigningKey::from_bytes(&[4; 32]);
        let shifted = |message: &[u8], by: Scalar| {
            let mut signature = key.sign(message).to_bytes();
            let s = Scalar::from_canonical_bytes(signature[32..].try_into().unwrap()).unwrap() + by;
            signature[32..].copy_from_slice(s.as_bytes());
            check(&public(&key), message, &signature).unwrap()
        };
        let pair = [shifted(b"one", Scalar::ONE), shifted(b"two", -Scalar::ONE)];
        assert_eq!(all(&pair), [false, false]);
        let twice = [shifted(b"one", Scalar::ONE), shifted(b"one", Scalar::ONE)];
        assert_eq!(all(&twice), [false, false]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// In any mixture of right, crooked and spoilt signatures, of the same and of other keys.
        #[test]
        fn many_together_are_judged_as_one_by_one(
            made in prop::collection::vec((0u8..4, any::<u8>(), 0usize..8, 0usize..8, 0u8..6, 0usize..512), 0..24)
        ) {
            let mut checks = Vec::new();
            for (who, text, a, r, how, bit) in made {
                let message = [text; 40];
                let honest = SigningKey::from_bytes(&[who + 1; 32]);
                let (mut key, mut signature) = match how {
                    0 | 1 => (public(&honest), honest.sign(&message).to_bytes()),
                    2 => crooked(who, a, r, &message),
                    _ => (public(&honest), honest.sign(&message).to_bytes()),
                };
                match how {
                    3 => signature[bit / 8] ^= 1 << (bit % 8),
                    4 => key = public(&SigningKey::from_bytes(&[who + 2; 32])),
                    5 => key.0[bit / 16] ^= 1 << (bit % 8),
                    _ => {}
                }
                let asked = check(&key, &message, &signature);
                let right = asked.as_ref().is_some_and(SignatureCheck::holds);
                // What the stricter rule accepts is accepted; and what only honest keys had a hand in, no more than that.
                let strictly = strict(&key, &message, &signature);
                prop_assert!(right || !strictly);
                prop_assert!(how == 2 || right == strictly);
                checks.extend(asked);
            }
            let one_by_one: Vec<bool> = checks.iter().map(SignatureCheck::holds).collect();
            prop_assert_eq!(all(&checks), one_by_one);
        }
    }
}
