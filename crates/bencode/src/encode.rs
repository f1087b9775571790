//! Writing: there is one way to write each value, so nothing can fail.

use crate::value::Value;

/// Appends the canonical encoding of `value` (BEP 3, "bencoding") to `out`.
pub fn encode(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Int(number) => {
            out.push(b'i');
            out.extend_from_slice(number.to_string().as_bytes());
            out.push(b'e');
        }
        Value::Bytes(bytes) => encode_bytes(bytes, out),
        Value::List(items) => {
            out.push(b'l');
            for item in items {
                encode(item, out);
            }
            out.push(b'e');
        }
        Value::Dict(dict) => {
            out.push(b'd');
            for (key, value) in dict.iter() {
                encode_bytes(key, out);
                encode(value, out);
            }
            out.push(b'e');
        }
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Dict;

    #[test]
    fn golden() {
        let value = Value::from(
            Dict::new()
                .with("spam", vec![Value::from("a"), Value::from(b"\x00\xff")])
                .with("", i64::MIN)
                .with("cow", Dict::new().with("zero", 0_u32)),
        );
        let mut out = b"kept ".to_vec();
        encode(&value, &mut out);
        assert_eq!(out, b"kept d0:i-9223372036854775808e3:cowd4:zeroi0ee4:spaml1:a2:\x00\xffee".as_slice());
    }
}
