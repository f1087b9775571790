//! What the fuzz target and the corpus replay both call. No part of the interface.

use crate::{Value, decode, decode_prefix, encode};

/// Decodes arbitrary bytes and asserts that what is accepted is canonical.
pub fn run(data: &[u8]) {
    let whole = decode(data);
    match decode_prefix(data) {
        Err(e) => assert_eq!(whole, Err(e)),
        Ok((value, used)) => {
            assert_eq!(whole.is_ok(), used == data.len());
            let mut again = Vec::new();
            encode(&value, &mut again);
            assert_eq!(data.get(..used), Some(again.as_slice()), "two spellings of one value");
            walk(&value);
        }
    }
}

/// Every dictionary finds its own keys, in strictly rising order.
fn walk(value: &Value<'_>) {
    for item in value.as_list().unwrap_or_default() {
        walk(item);
    }
    if let Some(dict) = value.as_dict() {
        assert!(dict.iter().map(|(key, _)| key).is_sorted_by(|a, b| a < b));
        for (key, inner) in dict.iter() {
            assert_eq!(dict.get(key), Some(inner));
            walk(inner);
        }
    }
}
