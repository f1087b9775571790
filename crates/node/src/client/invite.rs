//! Invites: one pasted line that leads somebody to a group.
//!
//! It holds what they would otherwise have to be told one by one: the trackers, the key to trust them by, and the group's
//! id. None of that is secret, and it lets nobody in: the owner still decides. The group's id is the hash of what its
//! founder signed, so no tracker can put another group in its place.
//!
//! A pre-approved one also holds the private key of an Invite that the owner or an admin signed: whoever has the line comes
//! in, as long as the Invite says so.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use peerage_link::list::{TrackerEntry, TrackerList};
use peerage_types::{GroupId, Name, PublicKey};

use super::folder::FolderError;
use super::own_list;

/// Before the coded part, so that nobody takes it for anything else.
const SCHEME: &str = "peerage:";
/// Longest invite that is looked at; seven trackers with long names fit.
const CHARS_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Where the trackers are.
    pub trackers: Vec<TrackerEntry>,
    /// Their key.
    pub key: PublicKey,
    /// The group.
    pub group: GroupId,
    /// What it is called, for people.
    pub name: Name,
    /// Of a pre-approved one: what lets its holder in.
    pub key_inside: Option<InviteKey>,
}

/// The private key of an Invite. Never printed but as part of a link.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteKey([u8; 32]);

impl InviteKey {
    /// The key that belongs to a salt, for the device that made the Invite: what lies open in the record leads nobody else
    /// to it.
    pub(super) fn derive(device: &SigningKey, salt: &[u8; 16]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("peerage 2026 private key of an invite");
        hasher.update(device.as_bytes()).update(salt);
        Self(*hasher.finalize().as_bytes())
    }

    /// For signing.
    pub(super) fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0)
    }

    /// As records name it.
    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.signing_key().verifying_key().to_bytes())
    }
}

impl fmt::Debug for InviteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteKey(…)")
    }
}

/// Why a text is no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It does not begin like one.
    #[error("an invite begins with `{SCHEME}`")]
    Scheme,
    /// It was cut short or changed.
    #[error("a part of it is missing or was changed")]
    Damaged,
    /// A newer program made it.
    #[error("it was made by a newer version of this program")]
    Newer,
}

/// The coded part.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Coded {
    #[n(0)]
    version: u8,
    /// A tracker list without its pin.
    #[n(1)]
    trackers: String,
    #[n(2)]
    key: PublicKey,
    #[n(3)]
    group: GroupId,
    #[n(4)]
    name: String,
    /// The private key of a pre-approved one.
    #[n(5)]
    secret: Option<ByteArray<32>>,
    /// The beginning of the hash of all before it: catches what was cut off or mistyped.
    #[n(6)]
    check: u32,
}

const VERSION: u8 = 2;

impl Coded {
    fn check(&self) -> u32 {
        let mut hasher = blake3::Hasher::new_derive_key("peerage 2026 invite");
        hasher.update(&[self.version]).update(&(self.trackers.len() as u64).to_be_bytes());
        hasher.update(self.trackers.as_bytes()).update(&self.key.0).update(&self.group.0);
        hasher.update(&(self.name.len() as u64).to_be_bytes()).update(self.name.as_bytes());
        if let Some(secret) = &self.secret {
            hasher.update(&secret[..]);
        }
        let hash = hasher.finalize();
        u32::from_be_bytes([hash.as_bytes()[0], hash.as_bytes()[1], hash.as_bytes()[2], hash.as_bytes()[3]])
    }
}

impl Invite {
    /// The tracker list as a file, pin included.
    pub fn list(&self) -> String {
        let lines = self.trackers.iter().enumerate().map(|(number, entry)| match number {
            0 => format!("{entry} pin={}\n", self.key.to_hex()),
            _ => format!("{entry}\n"),
        });
        lines.collect()
    }

    /// Adds the trackers that came since to `list`, if that was made of an earlier invite to the same trackers. Any
    /// other list is somebody's own and stays as it is.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn complete(&self, list: &Path, data: &Path) -> Result<(), FolderError> {
        match own_list::is_own(list, data) {
            true => own_list::edit(list, self.key, |text| own_list::with(text, &self.trackers, "")).map(drop),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trackers = self.trackers.iter().map(|entry| format!("{entry}\n")).collect();
        let (key, group, name) = (self.key, self.group, self.name.to_string());
        let secret = self.key_inside.as_ref().map(|key| ByteArray::from(key.0));
        let mut coded = Coded { version: VERSION, trackers, key, group, name, secret, check: 0 };
        coded.check = coded.check();
        let bytes = minicbor::to_vec(&coded).map_err(|_| fmt::Error)?;
        write!(f, "{SCHEME}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let coded = text.trim().strip_prefix(SCHEME).ok_or(InviteError::Scheme)?;
        if coded.len() > CHARS_MAX {
            return Err(InviteError::Damaged);
        }
        // Mail programs break long lines.
        let coded: String = coded.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = BASE64URL_NOPAD.decode(coded.as_bytes()).map_err(|_| InviteError::Damaged)?;
        let coded: Coded = minicbor::decode(&bytes).map_err(|_| InviteError::Damaged)?;
        if coded.version > VERSION {
            return Err(InviteError::Newer);
        }
        if coded.check != coded.check() {
            return Err(InviteError::Damaged);
        }
        let list =
            TrackerList::parse(Path::new("invite"), &coded.trackers).map_err(|_| InviteError::Damaged)?;
        let name = coded.name.parse().map_err(|_| InviteError::Damaged)?;
        let key_inside = coded.secret.map(|secret| InviteKey(secret.into()));
        Ok(Self { trackers: list.entries, key: coded.key, group: coded.group, name, key_inside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite() -> Invite {
        let list = TrackerList::parse(Path::new("x"), "tracker.example:7500\n[::1]:7501\n").unwrap();
        let name = "lab".parse().unwrap();
        Invite {
            trackers: list.entries,
            key: PublicKey([7; 32]),
            group: GroupId([9; 32]),
            name,
            key_inside: None,
        }
    }

    #[test]
    fn a_key_inside_arrives_and_is_not_printed() {
        let key_inside = Some(InviteKey::derive(&SigningKey::from_bytes(&[3; 32]), &[4; 16]));
        let invite = Invite { key_inside, ..invite() };
        let text = invite.to_string();
        assert!(text.len() < 270, "{text}");
        assert_eq!(text.parse::<Invite>().unwrap(), invite);
        assert!(format!("{invite:?}").contains("InviteKey(…)"));
    }

    #[test]
    fn there_and_back() {
        let text = invite().to_string();
        assert!(text.len() < 220, "{text}");
        assert_eq!(text.parse::<Invite>().unwrap(), invite());
        let broken: String =
            text.as_bytes().chunks(60).map(|c| format!("{}\n", String::from_utf8_lossy(c))).collect();
        assert_eq!(format!("  {broken} ").parse::<Invite>().unwrap(), invite());
        let list = TrackerList::parse(Path::new("x"), &invite().list()).unwrap();
        assert_eq!((list.entries, list.pin), (invite().trackers, Some(invite().key)));
    }

    #[test]
    fn trackers_that_came_since_are_added_to_a_list_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (dir.path().join(own_list::INVITE_LIST), dir.path().join("other"));
        let mut first = invite();
        let second = first.trackers.pop().unwrap();
        for list in [&own, &other] {
            std::fs::write(list, first.list()).unwrap();
        }
        let later = Invite { trackers: vec![second], ..invite() };
        later.complete(&other, dir.path()).unwrap();
        Invite { key: PublicKey([8; 32]), ..later.clone() }.complete(&own, dir.path()).unwrap();
        let read = |list| std::fs::read_to_string(list).unwrap();
        assert_eq!((read(&own), read(&other)), (first.list(), first.list()), "other lists, other trackers");
        later.complete(&own, dir.path()).unwrap();
        assert_eq!(read(&own), invite().list());
    }

    #[test]
    fn what_was_changed_is_noticed() {
        let text = invite().to_string();
        for cut in SCHEME.len()..text.len() {
            assert_eq!(text[..cut].parse::<Invite>(), Err(InviteError::Damaged), "{cut}");
        }
        for at in SCHEME.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed.parse::<Invite>().is_err(), "{at}");
        }
        assert_eq!("https://example.org".parse::<Invite>(), Err(InviteError::Scheme));
        assert_eq!("".parse::<Invite>(), Err(InviteError::Scheme));
    }
}
