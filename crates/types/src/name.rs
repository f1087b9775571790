//! Names that people choose: user and group names, and file names.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits::{FILE_NAME_BYTES_MAX, NAME_BYTES_MAX};

/// Why a name is refused. The caller chose it and must choose another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// User or group name outside its alphabet or length.
    #[error("`{0}` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -")]
    Name(String),
    /// File name that cannot be stored safely.
    #[error("`{0}` is not a valid file name: {1}")]
    FileName(String, &'static str),
}

/// A user or group name: 1–64 of `A–Z a–z 0–9 . _ -`. Keeps its spelling; compared through [`Name::folded`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A [`Name`] in lower case: the form under which it is unique.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(String);

impl Name {
    /// The spelling its owner chose.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that decides whether two names are the same.
    pub fn folded(&self) -> FoldedName {
        FoldedName(self.0.to_ascii_lowercase())
    }
}

impl FoldedName {
    /// The lower-case text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(NameError::Name(printable(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a shared file or folder, and of each path component inside a folder: Unicode in NFC, 1–255
/// bytes, no separators, no control characters, not `.` or `..`, not what Windows calls a device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a name as a local file system gives it and brings it into NFC first.
    pub fn normalized(text: &str) -> Result<Self, NameError> {
        text.nfc().collect::<String>().parse()
    }

    /// What decides on other systems whether two names are the same: letter case does not count there, nor do dots and
    /// spaces at the end.
    pub fn folded(&self) -> String {
        self.0.to_lowercase().trim_end_matches(['.', ' ']).to_owned()
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError::FileName(printable(text), why));
        match text {
            "" => refuse("it is empty"),
            "." | ".." => refuse("it names a folder"),
            _ if text.len() > FILE_NAME_BYTES_MAX => refuse("it is longer than 255 bytes"),
            _ if text.contains(['/', '\\']) => refuse("it contains a path separator"),
            _ if text.contains(':') => {
                refuse("it contains a colon, which names a drive or a stream on Windows")
            }
            _ if text.chars().any(is_hidden) => refuse("it contains a control character"),
            _ if !is_nfc(text) => refuse("it is not in Unicode NFC"),
            _ if is_device(text) => refuse("it is a device on Windows"),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// Control characters, and the bidirectional overrides with which `exe.txt` can be made to look harmless.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows opens a device under this name, whatever its extension.
fn is_device(name: &str) -> bool {
    const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
    const PORTS: [&str; 2] = ["COM", "LPT"];
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let same = |device: &str| stem.eq_ignore_ascii_case(device);
    let is_port = |port: &str| {
        let number = stem.get(..3).filter(|word| word.eq_ignore_ascii_case(port)).and_then(|_| stem.get(3..));
        number.is_some_and(|n| {
            matches!(n, "\u{b9}" | "\u{b2}" | "\u{b3}") || n.len() == 1 && n.as_bytes()[0].is_ascii_digit()
        })
    };
    DEVICES.into_iter().any(same) || PORTS.into_iter().any(is_port)
}

/// What may be echoed to a terminal: control characters escaped, length bounded.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut safe = String::new();
    for c in text.chars().take(CHARS_MAX) {
        if is_hidden(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        safe.push('…');
    }
    safe
}

macro_rules! text_impls {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let at = d.position();
                d.str()?
                    .parse()
                    .map_err(|e: NameError| minicbor::decode::Error::message(e.to_string()).at(at))
            }
        }
    };
}

text_impls!(Name);
text_impls!(FileName);

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check<T: FromStr<Err = NameError>>(text: &str, expected: Expect) {
        match text.parse::<T>() {
            Ok(_) => expected.assert_eq("ok"),
            Err(e) => expected.assert_eq(&e.to_string()),
        }
    }

    #[test]
    fn names() {
        check::<Name>("Ada.Lovelace-1_x", expect!["ok"]);
        check::<Name>("", expect!["`` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"]);
        check::<Name>("a b", expect!["`a b` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"]);
        check::<Name>("é", expect!["`é` is not a valid name: use 1 to 64 of A-Z a-z 0-9 . _ -"]);
        assert_eq!("AdA".parse::<Name>().unwrap().folded(), "aDa".parse::<Name>().unwrap().folded());
    }

    #[test]
    fn file_names() {
        check::<FileName>("café 中文.txt", expect!["ok"]);
        check::<FileName>("..", expect!["`..` is not a valid file name: it names a folder"]);
        check::<FileName>("a/b", expect!["`a/b` is not a valid file name: it contains a path separator"]);
        check::<FileName>("a\\b", expect![[r"`a\b` is not a valid file name: it contains a path separator"]]);
        check::<FileName>(
            "a\nb",
            expect![[r"`a\u{a}b` is not a valid file name: it contains a control character"]],
        );
        check::<FileName>(
            "cafe\u{301}",
            expect!["`café` is not a valid file name: it is not in Unicode NFC"],
        );
        assert_eq!(FileName::normalized("cafe\u{301}").unwrap().as_str(), "café");
        check::<FileName>(
            "nul.txt",
            expect!["`nul.txt` is not a valid file name: it is a device on Windows"],
        );
        check::<FileName>("Com7", expect!["`Com7` is not a valid file name: it is a device on Windows"]);
        for fine in ["console", "com", "com10", "nully.txt", "x.nul", "lptä"] {
            check::<FileName>(fine, expect!["ok"]);
        }
        let folded = |text: &str| text.parse::<FileName>().unwrap().folded();
        assert_eq!((folded("Ärger.TXT. "), folded("a")), ("ärger.txt".to_owned(), "a".to_owned()));
    }
}
