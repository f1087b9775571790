//! Keys at rest: the identity key under the password and under a recovery code, the device key under the identity key.
//!
//! A sealed key is `version ‖ nonce (12) ‖ AES-256-GCM of the 32-byte seed ‖ tag (16)`, 61 bytes. The version,
//! what it is for and whose it is are authenticated with it, so that no vault can stand in for another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use ed25519_dalek::{SECRET_KEY_LENGTH, SigningKey};
use peerage_types::{PublicKey, UserId};
use zeroize::{Zeroize, Zeroizing};

use crate::recovery::RecoveryCode;

/// AES-256-GCM, as above.
const VERSION: u8 = 1;
const TAG_LEN: usize = 16;
/// Length of a sealed key in bytes.
pub const SEALED_BYTES: usize = 1 + NONCE_LEN + SECRET_KEY_LENGTH + TAG_LEN;

/// Why a sealed key cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not what this program writes: damaged, or from a newer version.
    #[error(
        "the sealed key has version {version:?} and {len} bytes, expected version {VERSION} and {SEALED_BYTES} bytes"
    )]
    Form {
        /// The first byte.
        version: Option<u8>,
        /// The whole length.
        len: usize,
    },
    /// Sealed with another key, for another account or purpose, or altered since.
    #[error("the sealed key of account {0} does not open with this key")]
    Key(UserId),
    /// It opens, but the identity inside belongs to another account: whoever sealed it was wrong.
    #[error("the sealed key belongs to account {got}, not to {expected}")]
    Account {
        /// The account whose vault it should be.
        expected: UserId,
        /// The account of the key inside.
        got: UserId,
    },
    /// The cryptographic library failed, for example for want of randomness.
    #[error("the key could not be sealed: the system's randomness or memory failed")]
    Seal,
}

/// Seals the identity key of `user` under the export key of a password (or recovery code).
///
/// # Errors
/// [`VaultError::Account`] if the key is not that user's; [`VaultError::Seal`].
pub fn seal(export_key: &[u8; 64], identity: &SigningKey, user: &UserId) -> Result<Vec<u8>, VaultError> {
    owned_by(identity, user)?;
    seal_key(&vault_key(export_key), Purpose::Identity, identity, user)
}

/// Opens what [`seal`] made and checks that the identity is the user's: the id certifies itself.
///
/// # Errors
/// [`VaultError`].
pub fn open(export_key: &[u8; 64], sealed: &[u8], user: &UserId) -> Result<SigningKey, VaultError> {
    let identity = open_key(&vault_key(export_key), Purpose::Identity, sealed, user)?;
    owned_by(&identity, user)?;
    Ok(identity)
}

/// Seals the identity key of `user` under a recovery code.
///
/// # Errors
/// As [`seal`].
pub fn seal_recovery(
    code: &RecoveryCode,
    identity: &SigningKey,
    user: &UserId,
) -> Result<Vec<u8>, VaultError> {
    owned_by(identity, user)?;
    seal_key(&Zeroizing::new(code.key()), Purpose::Recovery, identity, user)
}

/// Opens what [`seal_recovery`] made, and checks it as [`open`] does.
///
/// # Errors
/// [`VaultError`].
pub fn open_recovery(code: &RecoveryCode, sealed: &[u8], user: &UserId) -> Result<SigningKey, VaultError> {
    let identity = open_key(&Zeroizing::new(code.key()), Purpose::Recovery, sealed, user)?;
    owned_by(&identity, user)?;
    Ok(identity)
}

/// Seals this installation's device key under the identity key, for the disk.
///
/// # Errors
/// [`VaultError::Seal`].
pub fn seal_device(identity: &SigningKey, device: &SigningKey) -> Result<Vec<u8>, VaultError> {
    seal_key(&device_key(identity), Purpose::Device, device, &user_of(identity))
}

/// Opens what [`seal_device`] made.
///
/// # Errors
/// [`VaultError`].
pub fn open_device(identity: &SigningKey, sealed: &[u8]) -> Result<SigningKey, VaultError> {
    open_key(&device_key(identity), Purpose::Device, sealed, &user_of(identity))
}

/// Seals what an account keeps for itself under its identity key, for the disk: 29 bytes longer than the text.
///
/// # Errors
/// [`VaultError::Seal`].
pub fn seal_own(identity: &SigningKey, text: &[u8]) -> Result<Vec<u8>, VaultError> {
    let cipher =
        RandomizedNonceKey::new(&AES_256_GCM, own_key(identity).as_slice()).map_err(|_| VaultError::Seal)?;
    let mut text = text.to_vec();
    let (nonce, tag) = cipher
        .seal_in_place_separate_tag(Aad::from(associated(Purpose::Own, &user_of(identity))), &mut text)
        .map_err(|_| VaultError::Seal)?;
    Ok([&[VERSION], &nonce.as_ref()[..], &text[..], tag.as_ref()].concat())
}

/// Opens what [`seal_own`] made.
///
/// # Errors
/// [`VaultError`].
pub fn open_own(identity: &SigningKey, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let user = user_of(identity);
    let form = || VaultError::Form { version: sealed.first().copied(), len: sealed.len() };
    let (&version, rest) = sealed.split_first().ok_or_else(form)?;
    if version != VERSION || rest.len() < NONCE_LEN + TAG_LEN {
        return Err(form());
    }
    let (nonce, text) = rest.split_at(NONCE_LEN);
    let wrong = |_| VaultError::Key(user);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(wrong)?;
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, own_key(identity).as_slice()).map_err(wrong)?;
    let mut text = text.to_vec();
    let opened =
        cipher.open_in_place(nonce, Aad::from(associated(Purpose::Own, &user)), &mut text).map_err(wrong)?;
    Ok(opened.to_vec())
}

#[derive(Clone, Copy)]
enum Purpose {
    Identity,
    Recovery,
    Device,
    Own,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Identity => b"peerage identity vault",
            Self::Recovery => b"peerage recovery vault",
            Self::Device => b"peerage device vault",
            Self::Own => b"peerage own records",
        }
    }
}

fn vault_key(export_key: &[u8; 64]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("peerage 2026 identity vault key", export_key))
}

fn device_key(identity: &SigningKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("peerage 2026 device vault key", identity.as_bytes()))
}

fn own_key(identity: &SigningKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("peerage 2026 own records key", identity.as_bytes()))
}

fn user_of(identity: &SigningKey) -> UserId {
    UserId::of_identity(&PublicKey(identity.verifying_key().to_bytes()))
}

fn owned_by(identity: &SigningKey, user: &UserId) -> Result<(), VaultError> {
    let got = user_of(identity);
    match got == *user {
        true => Ok(()),
        false => Err(VaultError::Account { expected: *user, got }),
    }
}

/// `version ‖ purpose ‖ user`: fixed lengths at both ends, so it reads in one way only.
fn associated(purpose: Purpose, user: &UserId) -> Vec<u8> {
    [&[VERSION], purpose.label(), user.as_bytes()].concat()
}

fn seal_key(
    key: &[u8; 32],
    purpose: Purpose,
    content: &SigningKey,
    user: &UserId,
) -> Result<Vec<u8>, VaultError> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Seal)?;
    let mut text = Zeroizing::new(content.to_bytes());
    let (nonce, tag) = cipher
        .seal_in_place_separate_tag(Aad::from(associated(purpose, user)), text.as_mut_slice())
        .map_err(|_| VaultError::Seal)?;
    Ok([&[VERSION], &nonce.as_ref()[..], &text[..], tag.as_ref()].concat())
}

fn open_key(
    key: &[u8; 32],
    purpose: Purpose,
    sealed: &[u8],
    user: &UserId,
) -> Result<SigningKey, VaultError> {
    let form = || VaultError::Form { version: sealed.first().copied(), len: sealed.len() };
    let (&version, rest) = sealed.split_first().ok_or_else(form)?;
    if version != VERSION || sealed.len() != SEALED_BYTES {
        return Err(form());
    }
    let (nonce, text) = rest.split_at(NONCE_LEN);
    let wrong = |_| VaultError::Key(*user);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(wrong)?;
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(wrong)?;
    let mut text = Zeroizing::new(text.to_vec());
    let opened =
        cipher.open_in_place(nonce, Aad::from(associated(purpose, user)), &mut text).map_err(wrong)?;
    let mut seed: [u8; SECRET_KEY_LENGTH] = (&*opened).try_into().map_err(|_| form())?;
    let content = SigningKey::from_bytes(&seed);
    seed.zeroize();
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    #[test]
    fn identity_round_trip() {
        let (identity, user) = (key(1), user_of(&key(1)));
        let sealed = seal(&[9; 64], &identity, &user).unwrap();
        assert_eq!(sealed.len(), SEALED_BYTES);
        assert_ne!(sealed, seal(&[9; 64], &identity, &user).unwrap(), "nonces repeat");
        assert_eq!(open(&[9; 64], &sealed, &user).unwrap().to_bytes(), identity.to_bytes());

        assert_eq!(open(&[8; 64], &sealed, &user).unwrap_err(), VaultError::Key(user));
        let other = user_of(&key(2));
        assert_eq!(open(&[9; 64], &sealed, &other).unwrap_err(), VaultError::Key(other));
        let foreign = VaultError::Account { expected: other, got: user };
        assert_eq!(seal(&[9; 64], &identity, &other).unwrap_err(), foreign);
        // Sealed for another account by a program that did not check.
        let sealed = seal_key(&vault_key(&[9; 64]), Purpose::Identity, &identity, &other).unwrap();
        assert_eq!(open(&[9; 64], &sealed, &other).unwrap_err(), foreign);
    }

    #[test]
    fn recovery_round_trip() {
        let (identity, user) = (key(1), user_of(&key(1)));
        let (code, other) = (RecoveryCode::random().unwrap(), RecoveryCode::random().unwrap());
        let sealed = seal_recovery(&code, &identity, &user).unwrap();
        assert_eq!(open_recovery(&code, &sealed, &user).unwrap().to_bytes(), identity.to_bytes());
        assert_eq!(open_recovery(&other, &sealed, &user).unwrap_err(), VaultError::Key(user));
        let foreign = user_of(&key(2));
        assert!(matches!(seal_recovery(&code, &identity, &foreign), Err(VaultError::Account { .. })));
        // The same key for the other purpose does not open it.
        let crossed = open_key(&code.key(), Purpose::Identity, &sealed, &user);
        assert_eq!(crossed.unwrap_err(), VaultError::Key(user));
    }

    #[test]
    fn device_round_trip() {
        let (identity, device) = (key(1), key(2));
        let sealed = seal_device(&identity, &device).unwrap();
        assert_eq!(open_device(&identity, &sealed).unwrap().to_bytes(), device.to_bytes());
        assert_eq!(open_device(&key(3), &sealed).unwrap_err(), VaultError::Key(user_of(&key(3))));
        // The same key for the other purpose does not open it.
        let user = user_of(&identity);
        let crossed = open_key(&device_key(&identity), Purpose::Identity, &sealed, &user);
        assert_eq!(crossed.unwrap_err(), VaultError::Key(user));
    }

    #[test]
    fn own_records_round_trip() {
        let identity = key(1);
        for text in [b"".as_slice(), b"a record"] {
            let sealed = seal_own(&identity, text).unwrap();
            assert_eq!(sealed.len(), text.len() + 29);
            assert_eq!(open_own(&identity, &sealed).unwrap(), text);
            assert_eq!(open_own(&key(3), &sealed).unwrap_err(), VaultError::Key(user_of(&key(3))));
            for i in 0..sealed.len() {
                let mut altered = sealed.clone();
                altered[i] ^= 1;
                assert!(open_own(&identity, &altered).is_err() && open_own(&identity, &sealed[..i]).is_err());
            }
        }
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let (identity, user) = (key(1), user_of(&key(1)));
        let sealed = seal(&[9; 64], &identity, &user).unwrap();
        for i in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[i] ^= 1;
            assert!(open(&[9; 64], &altered, &user).is_err(), "byte {i}");
            assert!(open(&[9; 64], &sealed[..i], &user).is_err(), "length {i}");
        }
        assert_eq!(
            open(&[9; 64], &[2; SEALED_BYTES], &user).unwrap_err().to_string(),
            "the sealed key has version Some(2) and 61 bytes, expected version 1 and 61 bytes"
        );
    }
}
