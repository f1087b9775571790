//! Reading what one wrote after going on with another tracker: a client says with its reads how much of the log it
//! has seen, and a tracker that has less of it catches up for a moment, then says that it is behind.

use data_encoding::BASE64URL_NOPAD;
use peerage_replica::Vector;

/// Request header: the CBOR of a [`Vector`] in base64url without padding.
pub const SEEN: &str = "peerage-seen";
/// Answer header, with any status: this tracker has less than the caller has seen, and the answer may be older.
pub const STALE: &str = "peerage-stale";
/// Origins in [`SEEN`]; a client names the ones that it heard of last. 64 of them are 3.3 KiB.
pub const SEEN_ORIGINS_MAX: usize = 64;
/// Longest header that is looked at.
const TEXT_BYTES_MAX: usize = SEEN_ORIGINS_MAX * 64;

/// The header's value; nothing to say about an empty vector.
pub fn encode(vector: &Vector) -> Option<String> {
    if vector.is_empty() || vector.len() > SEEN_ORIGINS_MAX {
        return None;
    }
    minicbor::to_vec(vector).ok().map(|bytes| BASE64URL_NOPAD.encode(&bytes))
}

/// What a client has seen; nothing if that cannot be read.
pub fn decode(text: &[u8]) -> Option<Vector> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(text).ok()?;
    minicbor::decode::<Vector>(&bytes).ok().filter(|vector| vector.len() <= SEEN_ORIGINS_MAX)
}

#[cfg(test)]
mod tests {
    use peerage_ledger::Origin;
    use peerage_types::TrackerId;

    use super::*;

    fn vector(origins: u8) -> Vector {
        let origin = |n| Origin { tracker: TrackerId([n; 16]), incarnation: u64::MAX - u64::from(n) };
        (0..origins).map(|n| (origin(n), u64::MAX)).collect()
    }

    #[test]
    fn comes_back_as_it_was_and_is_bounded() {
        let full = vector(SEEN_ORIGINS_MAX as u8);
        let text = encode(&full).unwrap();
        assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes", text.len());
        assert_eq!(decode(text.as_bytes()), Some(full));
        assert_eq!((encode(&vector(0)), encode(&vector(65))), (None, None));
        let too_many = BASE64URL_NOPAD.encode(&minicbor::to_vec(vector(65)).unwrap());
        for bad in [too_many.as_bytes(), b"", b"*", b"gA", &[b'A'; TEXT_BYTES_MAX + 1]] {
            assert!(decode(bad).is_none_or(|vector| vector.is_empty()));
        }
    }
}
