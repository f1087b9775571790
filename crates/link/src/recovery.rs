//! Recovery codes: 128 random bits that a person writes down, and that open the identity key when the password is
//! lost.
//!
//! A code reads `7QJ2-…-0M4T`: eight groups of four symbols of Crockford's base32, which has no `I`, `L`, `O` and
//! `U`. It is 16 random bytes and the first 4 bytes of their hash, so that a slip of the pen is told from a wrong
//! code. Nobody can guess 128 bits, so the sealed key may be given to anybody who asks, and no stretching is needed.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const SECRET_BYTES: usize = 16;
const CHECK_BYTES: usize = 4;
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUP_CHARS: usize = 4;
/// Symbols of a code, without the hyphens: five bits each.
pub const CODE_CHARS: usize = (SECRET_BYTES + CHECK_BYTES) * 8 / 5;

const _: () = assert!(CODE_CHARS.is_multiple_of(GROUP_CHARS));

/// Why a text is no recovery code: whoever typed it should look again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Too short or too long.
    #[error("a recovery code has {CODE_CHARS} letters and digits, this one has {0}")]
    Length(usize),
    /// Not one of the symbols.
    #[error("a recovery code has no `{0}`")]
    Symbol(char),
    /// The parts do not fit together.
    #[error("a letter or digit of the recovery code is wrong")]
    Slip,
}

/// A recovery code. Wiped when dropped; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode([u8; SECRET_BYTES]);

impl RecoveryCode {
    /// A fresh code from the system's randomness.
    ///
    /// # Errors
    /// When there is none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut code = Self([0; SECRET_BYTES]);
        getrandom::fill(&mut code.0)?;
        Ok(code)
    }

    /// Reads what [`RecoveryCode::text`] wrote, in any case, with hyphens and spaces where one likes, and with `O`
    /// for 0 and `I` or `L` for 1.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let symbols: Vec<char> = text.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect();
        if symbols.len() != CODE_CHARS {
            return Err(CodeError::Length(symbols.len()));
        }
        let (mut bytes, mut bits, mut held) = (Vec::with_capacity(SECRET_BYTES + CHECK_BYTES), 0u32, 0u32);
        for symbol in symbols {
            held = (held << 5) | value(symbol).ok_or(CodeError::Symbol(symbol))?;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(((held >> bits) & 0xff) as u8);
            }
        }
        let bytes = Zeroizing::new(bytes);
        let code = bytes.first_chunk().copied().map(Self).ok_or(CodeError::Slip)?;
        if bytes[SECRET_BYTES..] == code.check() { Ok(code) } else { Err(CodeError::Slip) }
    }

    /// The code as people write it down.
    pub fn text(&self) -> String {
        let (mut text, mut bits, mut held) = (String::new(), 0u32, 0u32);
        for byte in self.0.into_iter().chain(self.check()) {
            held = (held << 8) | u32::from(byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                let symbols = text.chars().filter(|c| *c != '-').count();
                if symbols > 0 && symbols.is_multiple_of(GROUP_CHARS) {
                    text.push('-');
                }
                text.push(char::from(SYMBOLS[((held >> bits) & 31) as usize]));
            }
        }
        text
    }

    /// The key under which the identity key is sealed.
    pub(crate) fn key(&self) -> [u8; 32] {
        blake3::derive_key("peerage 2026 recovery vault key", &self.0)
    }

    fn check(&self) -> [u8; CHECK_BYTES] {
        let hash = blake3::derive_key("peerage 2026 recovery code check", &self.0);
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

fn value(symbol: char) -> Option<u32> {
    let symbol = match symbol.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = SYMBOLS.iter().position(|s| char::from(*s) == symbol)?;
    u32::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_paper() {
        let code = RecoveryCode(*b"sixteen bytes!!!");
        let text = code.text();
        assert_eq!(text, "EDMQ-GX35-CNQ2-0RKS-EHJQ-6891-47XY-8WA6");
        assert_eq!(RecoveryCode::parse(&text), Ok(code.clone()));
        let sloppy = text.to_lowercase().replace('-', " ").replace('0', "o");
        assert_eq!(RecoveryCode::parse(&sloppy), Ok(code));
        let (a, b) = (RecoveryCode::random().unwrap(), RecoveryCode::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(RecoveryCode::parse(&a.text()), Ok(a));
    }

    #[test]
    fn slips_are_told() {
        let text = RecoveryCode([7; SECRET_BYTES]).text();
        assert_eq!(RecoveryCode::parse(&text[1..]), Err(CodeError::Length(CODE_CHARS - 1)));
        assert_eq!(RecoveryCode::parse(""), Err(CodeError::Length(0)));
        assert_eq!(RecoveryCode::parse(&format!("U{}", &text[1..])), Err(CodeError::Symbol('U')));
        for at in (0..text.len()).filter(|at| text.as_bytes()[*at] != b'-') {
            let other = if text.as_bytes()[at] == b'7' { "8" } else { "7" };
            let wrong = [&text[..at], other, &text[at + 1..]].concat();
            assert_eq!(RecoveryCode::parse(&wrong), Err(CodeError::Slip), "symbol {at}");
        }
    }
}
