//! What must hold for any input. Driven by `fuzz/fuzz_targets/record.rs` and by the corpus replay test.

use minicbor::{decode, to_vec};
use peerage_types::ClusterId;

use crate::{Body, Kind, Receipt, Record};

/// The cluster for which the corpus' records are made.
pub const CLUSTER: ClusterId = ClusterId([0xc1; 16]);

/// Takes `data` as a record, as a kind number with a body, and as a receipt, and asserts what each promises.
pub fn run(data: &[u8]) {
    if let Ok(record) = Record::decode(data, &CLUSTER) {
        assert_eq!(record.bytes(), data);
        assert_eq!(Record::decode(record.bytes(), &CLUSTER), Ok(record));
    }
    if let Some((number, bytes)) = data.split_first_chunk() {
        let kind = Kind::from_number(u16::from_be_bytes(*number));
        if let Ok(body) = Body::decode(kind, bytes) {
            let encoded = body.encode();
            assert_eq!(body.kind(), kind);
            assert!(matches!(Body::decode(kind, &encoded), Ok(again) if again == body));
        }
    }
    if let Ok(receipt) = decode::<Receipt>(data) {
        let encoded = to_vec(&receipt).unwrap_or_default();
        assert!(matches!(decode::<Receipt>(&encoded), Ok(again) if again == receipt));
    }
}
