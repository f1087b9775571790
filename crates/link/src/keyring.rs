//! The keyring: what the trackers of one cluster share, and nobody else has.
//!
//! The file lies beside the tracker list as `<list>.keyring`, readable by its owner only. The first tracker to
//! start makes it; trackers that start at the same moment agree on one. It is carried to other machines as it
//! is, or as text ([`crate::armor`]). Keys have ids, so that an old one can stay while a newer one is used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use minicbor::{Decoder, Encoder};
use peerage_types::{ClusterId, PublicKey};
use zeroize::Zeroizing;

use crate::armor::{self, ArmorError};
use crate::file;
use crate::opaque::{self, Setup};

const MAGIC: &str = "peerage keyring";
const VERSION: u8 = 1;
/// What an exported keyring says to people.
const NOTES: [&str; 2] = [
    "Whoever has this can run trackers of this cluster and guess passwords: carry it as a secret.",
    "On the other machine: peerage cluster key import TRACKER_INFO",
];
/// Keys of one kind in one file: a cluster that changes its keys yearly never gets there.
const KEYS_MAX: u64 = 64;
/// Far more than [`KEYS_MAX`] keys of both kinds need.
const KEYRING_BYTES_MAX: usize = 64 * 1024;

/// The cluster's secrets. `Debug` shows none of them, and they are wiped when dropped.
pub struct Keyring {
    cluster: ClusterId,
    /// Rising ids, never empty; the last is in use.
    keys: Vec<(u32, SigningKey)>,
    /// Rising ids, never empty; new registrations use the last.
    opaque: Vec<(u32, Setup)>,
}

/// Why there is no usable keyring. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read.
    #[error("cannot read the keyring `{}`: {why}", path.display())]
    Read {
        /// The keyring.
        path: PathBuf,
        /// What the operating system says.
        why: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot create the keyring `{}`: {why}", path.display())]
    Write {
        /// The keyring.
        path: PathBuf,
        /// What the operating system says.
        why: io::Error,
    },
    /// Others could read the cluster's secrets.
    #[error("the keyring `{}` has mode {mode:04o}, expected 0600: run `chmod 600` on it", path.display())]
    Exposed {
        /// The keyring.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is damaged, from a newer version, or something else.
    #[error("`{}` is not a keyring of version {VERSION}: {why}", path.display())]
    Form {
        /// The keyring, or where an imported one came from.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The text that should hold a keyring was not carried here whole.
    #[error("`{}` holds no keyring: {why}", from.display())]
    Armor {
        /// Where the text came from.
        from: PathBuf,
        /// What is wrong with it.
        why: ArmorError,
    },
    /// A keyring is there already, and it is another one.
    #[error("`{}` holds another keyring (cluster {have}, offered was {offered}): it stays as it is", path.display())]
    Taken {
        /// The keyring that stays.
        path: PathBuf,
        /// Its cluster.
        have: ClusterId,
        /// The cluster of the keyring that was to be put there.
        offered: ClusterId,
    },
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Where the keyring of this tracker list lies: `<list>.keyring`.
pub fn keyring_path(list: &Path) -> PathBuf {
    file::beside(list, "keyring")
}

impl Keyring {
    /// Reads `<list>.keyring`, or makes it if there is none. However many do this at once, all get the same.
    ///
    /// # Errors
    /// [`KeyringError`]; an existing file is never replaced.
    pub fn load_or_create(list: &Path) -> Result<Self, KeyringError> {
        match Self::load(list) {
            Err(KeyringError::Read { why, .. }) if why.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let path = keyring_path(list);
        let fresh = Self::generate()?;
        file::create_once(&path, &fresh.encode(), file::Readable::ByOwner)
            .map_err(|why| KeyringError::Write { path, why })?;
        // Read again even if it is ours: this way everybody runs with what is on disk.
        Self::load(list)
    }

    /// Reads `<list>.keyring`.
    ///
    /// # Errors
    /// [`KeyringError`]; a missing file is `Read` with `NotFound`.
    pub fn load(list: &Path) -> Result<Self, KeyringError> {
        let path = keyring_path(list);
        let bytes = file::read_bounded(&path, KEYRING_BYTES_MAX)
            .map(Zeroizing::new)
            .map_err(|why| KeyringError::Read { path: path.clone(), why })?;
        check_mode(&path)?;
        Self::decode(&bytes, &path)
    }

    /// Reads a keyring that was carried here: the text of [`Keyring::armored`], or a copy of the file. `from` is only
    /// named in errors.
    ///
    /// # Errors
    /// [`KeyringError::Armor`] and [`KeyringError::Form`].
    pub fn parse(bytes: &[u8], from: &Path) -> Result<Self, KeyringError> {
        let armor = |why| KeyringError::Armor { from: from.to_owned(), why };
        match Self::decode(bytes, from) {
            Ok(ring) => Ok(ring),
            // A copy of the file that was cut short is not text.
            Err(error) if !bytes.is_ascii() && !armor::is_armored(bytes) => Err(error),
            Err(_) => {
                let text = std::str::from_utf8(bytes).map_err(|_| armor(ArmorError::NoBegin))?;
                Self::decode(&armor::unwrap(text).map_err(armor)?, from)
            }
        }
    }

    /// Puts this keyring beside the list.
    ///
    /// # Errors
    /// [`KeyringError::Taken`] when another one is there; the same one again is fine.
    pub fn install(&self, list: &Path) -> Result<(), KeyringError> {
        let path = keyring_path(list);
        file::create_once(&path, &self.encode(), file::Readable::ByOwner)
            .map_err(|why| KeyringError::Write { path: path.clone(), why })?;
        let have = Self::load(list)?;
        match have.encode() == self.encode() {
            true => Ok(()),
            false => Err(KeyringError::Taken { path, have: have.cluster, offered: self.cluster }),
        }
    }

    /// The keyring as text that can be copied and pasted. Secret.
    pub fn armored(&self) -> Zeroizing<String> {
        let cluster = format!("Cluster {}.", self.cluster);
        armor::wrap(&self.encode(), &[&cluster, NOTES[0], NOTES[1]])
    }

    /// The cluster's id: random, never changes.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The cluster key in use: TLS key of every tracker, signs receipts.
    pub fn signing_key(&self) -> &SigningKey {
        &self.keys[self.keys.len() - 1].1
    }

    /// The public half of [`Keyring::signing_key`]: what clients pin.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.signing_key().verifying_key().to_bytes())
    }

    /// The OPAQUE secret for new registrations, with its id.
    pub fn opaque_current(&self) -> (u32, &Setup) {
        let (id, setup) = &self.opaque[self.opaque.len() - 1];
        (*id, setup)
    }

    /// The OPAQUE secret with this id, as an AuthRecord names it.
    pub fn opaque(&self, id: u32) -> Option<&Setup> {
        self.opaque.iter().find(|(known, _)| *known == id).map(|(_, setup)| setup)
    }

    /// The file's content. Secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Never grows beyond this, so no unwiped copy of a smaller buffer is left behind.
        let mut e = Encoder::new(Vec::with_capacity(KEYRING_BYTES_MAX));
        let written = (|| {
            e.array(5)?.str(MAGIC)?.u8(VERSION)?.encode(self.cluster)?;
            e.array(self.keys.len() as u64)?;
            for (id, key) in &self.keys {
                e.array(2)?.u32(*id)?.bytes(key.as_bytes())?;
            }
            e.array(self.opaque.len() as u64)?;
            for (id, setup) in &self.opaque {
                e.array(2)?.u32(*id)?.bytes(&setup.encode())?;
            }
            Ok::<(), minicbor::encode::Error<std::convert::Infallible>>(())
        })();
        debug_assert!(written.is_ok(), "a Vec takes every byte");
        Zeroizing::new(e.into_writer())
    }

    fn generate() -> Result<Self, KeyringError> {
        let random = |e: getrandom::Error| KeyringError::Random(e.to_string());
        let mut cluster = [0; ClusterId::LEN];
        getrandom::fill(&mut cluster).map_err(random)?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(random)?;
        Ok(Self {
            cluster: ClusterId(cluster),
            keys: vec![(1, SigningKey::from_bytes(&seed))],
            opaque: vec![(1, opaque::new_setup())],
        })
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self, KeyringError> {
        Self::decode_cbor(bytes).map_err(|e| KeyringError::Form { path: path.to_owned(), why: e.to_string() })
    }

    fn decode_cbor(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let wrong = |why: &'static str| minicbor::decode::Error::message(why);
        let mut d = Decoder::new(bytes);
        if (d.array()?, d.str()?, d.u8()?) != (Some(5), MAGIC, VERSION) {
            return Err(wrong("unknown form"));
        }
        let cluster = d.decode()?;
        let keys = decode_list(&mut d, |seed| {
            seed.try_into().map(SigningKey::from_bytes).map_err(|_| wrong("a key is not 32 bytes long"))
        })?;
        let opaque =
            decode_list(&mut d, |setup| Setup::decode(setup).map_err(|_| wrong("a damaged OPAQUE setup")))?;
        match d.position() == bytes.len() {
            true => Ok(Self { cluster, keys, opaque }),
            false => Err(wrong("bytes after its end")),
        }
    }
}

/// 1 to [`KEYS_MAX`] pairs of id and secret with rising ids.
fn decode_list<T>(
    d: &mut Decoder<'_>,
    read: impl Fn(&[u8]) -> Result<T, minicbor::decode::Error>,
) -> Result<Vec<(u32, T)>, minicbor::decode::Error> {
    let wrong = |why: &'static str| minicbor::decode::Error::message(why);
    let count = d.array()?.filter(|count| (1..=KEYS_MAX).contains(count));
    let mut list: Vec<(u32, T)> = Vec::new();
    for _ in 0..count.ok_or_else(|| wrong("no keys or too many"))? {
        if d.array()? != Some(2) {
            return Err(wrong("a key without id"));
        }
        let id = d.u32()?;
        if list.last().is_some_and(|(before, _)| *before >= id) {
            return Err(wrong("key ids do not rise"));
        }
        list.push((id, read(d.bytes()?)?));
    }
    Ok(list)
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), KeyringError> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).map_err(|why| KeyringError::Read { path: path.to_owned(), why })?;
    match meta.permissions().mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(KeyringError::Exposed { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), KeyringError> {
    Ok(())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.opaque.iter().map(|(id, _)| *id).collect();
        f.debug_struct("Keyring")
            .field("cluster", &self.cluster)
            .field("public", &self.public())
            .field("opaque", &ids)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn eight_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("trackers.txt");
        let start = Barrier::new(8);
        let rings: Vec<Keyring> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        Keyring::load_or_create(&list).unwrap()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(rings.iter().all(|ring| ring.encode() == rings[0].encode()));
        assert_eq!(Keyring::load(&list).unwrap().public(), rings[0].public());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a draft was left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(keyring_path(&list)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let ring = Keyring::generate().unwrap();
        let shown = format!("{ring:?} {:?}", ring.opaque_current());
        let secrets = [ring.signing_key().to_bytes().to_vec(), ring.opaque_current().1.encode().to_vec()];
        for secret in secrets {
            assert!(!shown.contains(&data_encoding::HEXLOWER.encode(&secret[..8])));
            assert!(!shown.contains(&format!("{:?}", &secret[..8]).replace(['[', ']'], "")));
        }
        let tags = [ring.cluster.tag(), ring.public().tag()];
        assert_eq!(
            shown,
            format!(
                "Keyring {{ cluster: ClusterId({}), public: PublicKey({}), opaque: [1] }} (1, Setup(..))",
                tags[0], tags[1],
            )
        );
    }

    #[test]
    fn old_keys_stay_in_use() {
        let mut ring = Keyring::generate().unwrap();
        let old = (ring.public(), ring.opaque(1).unwrap().encode());
        ring.keys.push((2, SigningKey::from_bytes(&[2; 32])));
        ring.opaque.push((7, opaque::new_setup()));
        let ring = Keyring::decode(&ring.encode(), Path::new("k")).unwrap();
        assert_ne!(ring.public(), old.0);
        assert_eq!(ring.opaque_current().0, 7);
        assert_eq!(ring.opaque(1).unwrap().encode(), old.1);
        assert!(ring.opaque(2).is_none());
    }

    #[test]
    fn what_is_refused() {
        #[track_caller]
        fn check(bytes: &[u8], expected: Expect) {
            expected.assert_eq(&Keyring::decode(bytes, Path::new("t.keyring")).unwrap_err().to_string());
        }
        let ring = Keyring::generate().unwrap();
        let good = ring.encode();
        check(b"", expect!["`t.keyring` is not a keyring of version 1: end of input bytes"]);
        check(
            b"hello",
            expect![
                "`t.keyring` is not a keyring of version 1: unexpected type string at position 0: expected array"
            ],
        );
        check(
            &good[..good.len() - 1],
            expect!["`t.keyring` is not a keyring of version 1: end of input bytes"],
        );
        check(
            &[&good[..], &[0]].concat(),
            expect!["`t.keyring` is not a keyring of version 1: decode error: bytes after its end"],
        );
        let twice = Keyring {
            keys: vec![(1, SigningKey::from_bytes(&[2; 32])), (1, SigningKey::from_bytes(&[3; 32]))],
            ..ring
        };
        check(
            &twice.encode(),
            expect!["`t.keyring` is not a keyring of version 1: decode error: key ids do not rise"],
        );
        let none = Keyring { keys: Vec::new(), ..twice };
        check(
            &none.encode(),
            expect!["`t.keyring` is not a keyring of version 1: decode error: no keys or too many"],
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_readable_keyring_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("trackers.txt");
        Keyring::load_or_create(&list).unwrap();
        std::fs::set_permissions(keyring_path(&list), std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keyring::load_or_create(&list).unwrap_err().to_string();
        expect!["the keyring `DIR/trackers.txt.keyring` has mode 0640, expected 0600: run `chmod 600` on it"]
            .assert_eq(&error.replace(&dir.path().display().to_string(), "DIR"));
    }

    #[test]
    fn carried_as_text_or_as_file() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here.txt"), dir.path().join("there.txt"));
        let ring = Keyring::load_or_create(&here).unwrap();
        let from = Path::new("-");
        for carried in [ring.armored().as_bytes(), &ring.encode()[..]] {
            let offered = Keyring::parse(carried, from).unwrap();
            // The second time it is there already.
            offered.install(&there).unwrap();
            assert_eq!(Keyring::load(&there).unwrap().encode(), ring.encode());
        }
        let other = Keyring::generate().unwrap();
        let error = other.install(&there).unwrap_err();
        assert!(matches!(error, KeyringError::Taken { have, .. } if have == ring.cluster()), "{error}");
        assert_eq!(Keyring::load(&there).unwrap().cluster(), ring.cluster());
        let error = |bytes: &[u8]| Keyring::parse(bytes, from).unwrap_err().to_string();
        let text = error(b"good morning");
        expect!["`-` holds no keyring: there is no line `-----BEGIN PEERAGE KEYRING (SECRET)-----`"]
            .assert_eq(&text);
        let cut = ring.encode();
        let text = error(&cut[..cut.len() - 1]);
        expect!["`-` is not a keyring of version 1: end of input bytes"].assert_eq(&text);
    }
}
