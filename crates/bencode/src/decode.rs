//! Reading: everything that has a second spelling is refused.

use crate::value::{Dict, Value};

/// How deep lists and dictionaries may nest. Also bounds the recursion of whoever walks the result.
pub const DEPTH_MAX: usize = 32;

/// How many values one document may hold: a v2 file tree of a million files has four values per file.
/// At 32 bytes a value (48 with its key), and twice that while a list grows, this bounds the memory of a decoded
/// document to a few hundred MiB whatever its length.
pub const ITEMS_MAX: usize = 4 * 1024 * 1024;

/// Why bytes are not canonical bencode. Whoever sent them is at fault; `at` is the offset of the offence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// The input ends inside a value.
    #[error("the input ends at byte {at} inside of a value")]
    End {
        /// Length of the input.
        at: usize,
    },
    /// A byte that cannot stand here.
    #[error("byte {found:#04x} at {at}, expected {expected}")]
    Unexpected {
        /// Offset of the byte.
        at: usize,
        /// The byte.
        found: u8,
        /// What could stand here.
        expected: &'static str,
    },
    /// `-0`, or a leading zero: the same number has a shorter spelling.
    #[error("the number at byte {at} has a sign or zeros too many")]
    Number {
        /// Offset of its first character.
        at: usize,
    },
    /// An integer that does not fit 64 bits, signed.
    #[error("the integer at byte {at} does not fit 64 bits")]
    Overflow {
        /// Offset of its first character.
        at: usize,
    },
    /// A byte string longer than the rest of the input.
    #[error("the string at byte {at} claims to be longer than the {left} bytes that are left")]
    Length {
        /// Offset of its length.
        at: usize,
        /// How many bytes follow the length.
        left: usize,
    },
    /// Keys of a dictionary out of order, or twice.
    #[error("the dictionary key at byte {at} is not larger than the one before it")]
    KeyOrder {
        /// Offset of the key.
        at: usize,
    },
    /// More than [`DEPTH_MAX`] levels.
    #[error("the value at byte {at} is nested deeper than {DEPTH_MAX} levels")]
    Depth {
        /// Offset of the list or dictionary.
        at: usize,
    },
    /// More than [`ITEMS_MAX`] values.
    #[error("more than {ITEMS_MAX} values at byte {at}")]
    Items {
        /// Offset of the value that is one too many.
        at: usize,
    },
    /// Something follows the value.
    #[error("{left} bytes follow the value that ends at byte {at}")]
    Trailing {
        /// Where the value ends.
        at: usize,
        /// How many bytes follow.
        left: usize,
    },
}

/// Decodes one value that fills `bytes` exactly. Strict: canonical integers and lengths, sorted unique keys,
/// at most [`DEPTH_MAX`] levels and [`ITEMS_MAX`] values.
pub fn decode(bytes: &[u8]) -> Result<Value<'_>, BencodeError> {
    let (value, used) = decode_prefix(bytes)?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(BencodeError::Trailing { at: used, left }),
    }
}

/// As [`decode`], but lets other bytes follow; returns how many bytes the value used (BEP 10 payloads such as
/// BEP 9 metadata pieces append raw data to a dictionary).
pub fn decode_prefix(bytes: &[u8]) -> Result<(Value<'_>, usize), BencodeError> {
    let mut reader = Reader { bytes, at: 0, items: 0 };
    let value = reader.value(0)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        let at = self.at;
        self.items += 1;
        if self.items > ITEMS_MAX {
            return Err(BencodeError::Items { at });
        }
        let first = self.peek()?;
        if matches!(first, b'l' | b'd') {
            if depth == DEPTH_MAX {
                return Err(BencodeError::Depth { at });
            }
            self.at += 1;
        }
        match first {
            b'l' => self.list(depth + 1),
            b'd' => self.dict(depth + 1),
            b'i' => {
                self.at += 1;
                self.integer().map(Value::Int)
            }
            b'0'..=b'9' => self.string().map(Value::Bytes),
            found => Err(BencodeError::Unexpected { at, found, expected: "a value" }),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        let mut items = Vec::new();
        while self.peek()? != b'e' {
            items.push(self.value(depth)?);
        }
        self.at += 1;
        Ok(Value::List(items))
    }

    fn dict(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        let mut dict = Dict::new();
        loop {
            let at = self.at;
            match self.peek()? {
                b'e' => break,
                b'0'..=b'9' => {}
                found => return Err(BencodeError::Unexpected { at, found, expected: "a key or `e`" }),
            }
            let key = self.string()?;
            if dict.last_key().is_some_and(|last| last >= key) {
                return Err(BencodeError::KeyOrder { at });
            }
            let value = self.value(depth)?;
            dict.insert(key, value);
        }
        self.at += 1;
        Ok(Value::Dict(dict))
    }

    /// After the `i`: an optional sign, digits, `e`.
    fn integer(&mut self) -> Result<i64, BencodeError> {
        let at = self.at;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let digits = self.digits(b'e', "a digit or `e`")?;
        if digits.first() == Some(&b'0') && (negative || digits.len() > 1) {
            return Err(BencodeError::Number { at });
        }
        // Counted downwards, because the smallest i64 has no positive twin.
        let below = digits
            .iter()
            .try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0')));
        let number = if negative { below } else { below.and_then(i64::checked_neg) };
        number.ok_or(BencodeError::Overflow { at })
    }

    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let at = self.at;
        let digits = self.digits(b':', "a digit or `:`")?;
        if digits.first() == Some(&b'0') && digits.len() > 1 {
            return Err(BencodeError::Number { at });
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        digits
            .iter()
            .try_fold(0_usize, |sum, digit| sum.checked_mul(10)?.checked_add(usize::from(digit - b'0')))
            .and_then(|len| rest.get(..len))
            .inspect(|string| self.at += string.len())
            .ok_or(BencodeError::Length { at, left: rest.len() })
    }

    /// At least one digit, then `end`, which is consumed but not returned.
    fn digits(&mut self, end: u8, expected: &'static str) -> Result<&'a [u8], BencodeError> {
        let start = self.at;
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        let (at, found) = (self.at, self.peek()?);
        let digits = self.bytes.get(start..at).unwrap_or_default();
        match found == end && !digits.is_empty() {
            true => self.at += 1,
            false => return Err(BencodeError::Unexpected { at, found, expected }),
        }
        Ok(digits)
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.bytes.get(self.at).copied().ok_or(BencodeError::End { at: self.bytes.len() })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
    fn check(input: impl AsRef<[u8]>, expected: Expect) {
        match decode(input.as_ref()) {
            Ok(_) => expected.assert_eq("ok"),
            Err(e) => expected.assert_eq(&e.to_string()),
        }
    }

    #[test]
    fn accepts_canonical() {
        for input in
            ["i0e", "i-1e", "i9223372036854775807e", "i-9223372036854775808e", "0:", "3:a:b", "le", "de"]
        {
            check(input, expect!["ok"]);
        }
        check("d0:le1:a1:b2:aai5e1:bdee", expect!["ok"]);
    }

    #[test]
    fn refuses_second_spellings() {
        check("i-0e", expect!["the number at byte 1 has a sign or zeros too many"]);
        check("i00e", expect!["the number at byte 1 has a sign or zeros too many"]);
        check("i-01e", expect!["the number at byte 1 has a sign or zeros too many"]);
        check("01:a", expect!["the number at byte 0 has a sign or zeros too many"]);
        check("i+1e", expect!["byte 0x2b at 1, expected a digit or `e`"]);
        check("d1:bi1e1:ai1ee", expect!["the dictionary key at byte 7 is not larger than the one before it"]);
        check("d1:ai1e1:ai1ee", expect!["the dictionary key at byte 7 is not larger than the one before it"]);
        check("i1ei2e", expect!["3 bytes follow the value that ends at byte 3"]);
    }

    #[test]
    fn refuses_malformed() {
        check("", expect!["the input ends at byte 0 inside of a value"]);
        check("i1", expect!["the input ends at byte 2 inside of a value"]);
        check("ie", expect!["byte 0x65 at 1, expected a digit or `e`"]);
        check("i-e", expect!["byte 0x65 at 2, expected a digit or `e`"]);
        check("l", expect!["the input ends at byte 1 inside of a value"]);
        check("x", expect!["byte 0x78 at 0, expected a value"]);
        check("e", expect!["byte 0x65 at 0, expected a value"]);
        check("-1:a", expect!["byte 0x2d at 0, expected a value"]);
        check("1a", expect!["byte 0x61 at 1, expected a digit or `:`"]);
        check("di1ei2ee", expect!["byte 0x69 at 1, expected a key or `e`"]);
        check("d1:ae", expect!["byte 0x65 at 4, expected a value"]);
        check("2:a", expect!["the string at byte 0 claims to be longer than the 1 bytes that are left"]);
        check("i9223372036854775808e", expect!["the integer at byte 1 does not fit 64 bits"]);
        check("i-9223372036854775809e", expect!["the integer at byte 1 does not fit 64 bits"]);
        check(
            "99999999999999999999999:a",
            expect!["the string at byte 0 claims to be longer than the 1 bytes that are left"],
        );
    }

    #[test]
    fn bounds_depth_and_items() {
        check("l".repeat(32) + &"e".repeat(32), expect!["ok"]);
        check(
            "l".repeat(33) + &"e".repeat(33),
            expect!["the value at byte 32 is nested deeper than 32 levels"],
        );
        check("d1:a".repeat(33), expect!["the value at byte 128 is nested deeper than 32 levels"]);
        // The list itself is the first item.
        check(format!("l{}e", "0:".repeat(ITEMS_MAX - 1)), expect!["ok"]);
        check(format!("l{}e", "0:".repeat(ITEMS_MAX)), expect!["more than 4194304 values at byte 8388607"]);
    }

    #[test]
    fn prefix_says_where_it_ends() {
        let (value, used) = decode_prefix(b"d5:piecei0eeRAW").unwrap();
        assert_eq!(value.as_dict().and_then(|d| d.get("piece")).and_then(Value::as_int), Some(0));
        assert_eq!(used, 12);
    }
}
