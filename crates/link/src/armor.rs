//! Text armour: secret bytes as lines that survive mail, chat and terminals, with a checksum that notices what did not.
//!
//! ```text
//! -----BEGIN PEERAGE KEYRING (SECRET)-----
//! # lines for people
//! base64 (RFC 4648, 4), 64 characters a line
//! =checksum, 16 hex digits
//! -----END PEERAGE KEYRING-----
//! ```
//! What stands before and after is passed over, as are blanks, empty lines and the `>` of a quotation.

use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

/// Longest text that is looked at, in bytes: a keyring of the largest size and some talk around it.
pub const ARMOR_BYTES_MAX: usize = 256 * 1024;

const BEGIN: &str = "-----BEGIN PEERAGE KEYRING (SECRET)-----";
const END: &str = "-----END PEERAGE KEYRING-----";
/// Characters of one line of base64, as in PEM (RFC 7468, 2).
const LINE_CHARS: usize = 64;
/// Bytes of the checksum: finds accidents, not forgeries.
const SUM_BYTES: usize = 8;

/// Why a text is no armoured keyring, or not all of it. Whoever copied it must copy it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// Not text at all, or somebody else's.
    #[error("there is no line `{BEGIN}`")]
    NoBegin,
    /// The end was not copied.
    #[error("the line `{END}` is missing: copy all of it")]
    NoEnd,
    /// A line was changed.
    #[error("line {0} is not what `peerage cluster key export` writes: copy it again")]
    Line(usize),
    /// Something was lost or changed on the way.
    #[error("the checksum does not fit: something was lost or changed on the way, copy it again")]
    Checksum,
    /// More than [`ARMOR_BYTES_MAX`].
    #[error("it is longer than {ARMOR_BYTES_MAX} bytes")]
    TooLong,
}

/// The armoured text of `bytes`; each of `notes` becomes a line for people.
pub fn wrap(bytes: &[u8], notes: &[&str]) -> Zeroizing<String> {
    let coded = Zeroizing::new(BASE64.encode(bytes));
    let notes_len: usize = notes.iter().map(|note| note.len() + 3).sum();
    // Never grows: a secret that moves with its buffer would leave a copy behind.
    let capacity = BEGIN.len() + END.len() + notes_len + coded.len() * 2 + 2 * SUM_BYTES + 16;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    let mut line = |parts: &[&str]| {
        parts.iter().for_each(|part| text.push_str(part));
        text.push('\n');
    };
    line(&[BEGIN]);
    notes.iter().for_each(|note| line(&["# ", note]));
    let mut rest = coded.as_str();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(LINE_CHARS));
        line(&[now]);
        rest = later;
    }
    line(&["=", &checksum(bytes)]);
    line(&[END]);
    text
}

/// Does this look like armour, whole or not?
pub fn is_armored(text: &[u8]) -> bool {
    text.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// Is this the line behind which nothing more is to be read?
pub fn is_end(line: &str) -> bool {
    plain(line) == END
}

/// The bytes that [`wrap`] was given.
///
/// # Errors
/// [`ArmorError`].
pub fn unwrap(text: &str) -> Result<Zeroizing<Vec<u8>>, ArmorError> {
    if text.len() > ARMOR_BYTES_MAX {
        return Err(ArmorError::TooLong);
    }
    let mut lines = text.lines().map(plain).enumerate().skip_while(|(_, line)| *line != BEGIN);
    lines.next().ok_or(ArmorError::NoBegin)?;
    let mut coded = Zeroizing::new(String::with_capacity(text.len()));
    let mut sum = None;
    for (index, line) in lines {
        match line {
            END => {
                let bytes = BASE64.decode(coded.as_bytes()).map(Zeroizing::new);
                let bytes = bytes.map_err(|_| ArmorError::Checksum)?;
                let fits = sum == Some(checksum(&bytes));
                return if fits { Ok(bytes) } else { Err(ArmorError::Checksum) };
            }
            line if line.is_empty() || line.starts_with('#') => {}
            line => match line.strip_prefix('=') {
                // Padding alone on its line is none of ours.
                Some(found) if sum.is_none() => sum = Some(found.trim().to_ascii_lowercase()),
                None if sum.is_none() && line.chars().all(coded_char) => {
                    coded.extend(line.chars().filter(|c| !c.is_whitespace()));
                }
                _ => return Err(ArmorError::Line(index + 1)),
            },
        }
    }
    Err(ArmorError::NoEnd)
}

/// Without blanks around it and the marks of a quotation before it.
fn plain(line: &str) -> &str {
    line.trim_start_matches(|c: char| c == '>' || c.is_whitespace()).trim_end()
}

fn coded_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_whitespace()
}

fn checksum(bytes: &[u8]) -> String {
    let sum = blake3::derive_key("peerage 2026 armour checksum", bytes);
    HEXLOWER.encode(&sum[..SUM_BYTES])
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn sample() -> String {
        let bytes: Vec<u8> = (0..100).collect();
        wrap(&bytes, &["Secret."]).to_string()
    }

    #[test]
    fn looks_like_this() {
        expect![[r#"
            -----BEGIN PEERAGE KEYRING (SECRET)-----
            # Secret.
            AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v
            MDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5f
            YGFiYw==
            =d0d459ee8488c1a6
            -----END PEERAGE KEYRING-----
        "#]]
        .assert_eq(&sample());
    }

    #[test]
    fn survives_what_mail_and_chat_do() {
        let bytes: Vec<u8> = (0..100).collect();
        for changed in [
            sample().replace('\n', "\r\n"),
            sample().lines().map(|line| format!("> {line}\n")).collect(),
            sample().lines().map(|line| format!("   {line}  \n\n")).collect(),
            format!("Hello Ben,\n\n{}\nBye", sample()),
            sample().replace("AAECAwQF", "AAEC AwQF"),
        ] {
            assert_eq!(unwrap(&changed).as_deref(), Ok(&bytes), "{changed}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&unwrap(text).unwrap_err().to_string());
    }

    #[test]
    fn what_is_refused() {
        let good = sample();
        check("", expect!["there is no line `-----BEGIN PEERAGE KEYRING (SECRET)-----`"]);
        let cut: String = good.lines().take(4).map(|line| format!("{line}\n")).collect();
        check(&cut, expect!["the line `-----END PEERAGE KEYRING-----` is missing: copy all of it"]);
        let lost: String =
            good.lines().enumerate().filter(|(i, _)| *i != 3).map(|(_, line)| format!("{line}\n")).collect();
        check(
            &lost,
            expect!["the checksum does not fit: something was lost or changed on the way, copy it again"],
        );
        for (from, to) in [("AAEC", "AAED"), ("YGFiYw==", "YGFiYw=")] {
            check(
                &good.replace(from, to),
                expect!["the checksum does not fit: something was lost or changed on the way, copy it again"],
            );
        }
        check(
            &good.replace("AAEC", "AA-C"),
            expect!["line 3 is not what `peerage cluster key export` writes: copy it again"],
        );
        check(&"x".repeat(ARMOR_BYTES_MAX + 1), expect!["it is longer than 262144 bytes"]);
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            let text = wrap(&bytes, &[]);
            let back = unwrap(&text);
            prop_assert_eq!(back.as_deref(), Ok(&bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = unwrap(&format!("{BEGIN}\n{text}\n{END}"));
        }
    }
}
