//! The piece set against a plain `BTreeSet`.

use std::collections::BTreeSet;

use expect_test::expect;
use peerage_wire::Bitfield;
use proptest::prelude::*;

#[test]
fn golden_wire_form() {
    let mut bits = Bitfield::new(11);
    for piece in [0, 2, 9] {
        assert!(bits.set(piece));
    }
    assert_eq!(bits.to_wire(), [0b1010_0000, 0b0100_0000].as_slice());
    assert_eq!(Bitfield::from_wire(&bits.to_wire(), 11), Ok(bits));
    assert_eq!(Bitfield::full(11).to_wire(), [0xff, 0xe0].as_slice());
    assert_eq!(Bitfield::full(64).to_wire(), [0xff; 8].as_slice());
    assert!(Bitfield::new(0).is_full() && Bitfield::full(0).to_wire().is_empty());
}

#[test]
fn strangers_bitfields() {
    let error = |bytes: &[u8]| Bitfield::from_wire(bytes, 11).unwrap_err().to_string();
    expect!["the bitfield has 1 bytes, expected 2 for 11 pieces"].assert_eq(&error(&[0]));
    expect!["the bitfield has 3 bytes, expected 2 for 11 pieces"].assert_eq(&error(&[0; 3]));
    expect!["the bitfield has bits set behind its 11 pieces, expected zeros"].assert_eq(&error(&[0, 0x10]));
}

proptest! {
    #[test]
    fn behaves_like_a_set(len in 0_u32..200, steps in prop::collection::vec((any::<bool>(), 0_u32..220), 0..300)) {
        let (mut bits, mut set) = (Bitfield::new(len), BTreeSet::new());
        for (add, piece) in steps {
            match add {
                true => prop_assert_eq!(bits.set(piece), piece < len && set.insert(piece)),
                false => prop_assert_eq!(bits.clear(piece), set.remove(&piece)),
            }
            prop_assert_eq!(bits.get(piece), set.contains(&piece));
        }
        prop_assert_eq!(bits.count() as usize, set.len());
        prop_assert_eq!(bits.is_full(), set.len() == len as usize);
        prop_assert!(bits.iter_set().eq(set.iter().copied()));
        prop_assert_eq!(Bitfield::from_wire(&bits.to_wire(), len), Ok(bits.clone()));
        let full = Bitfield::full(len);
        prop_assert_eq!(full.difference_count(&bits), len - bits.count());
        prop_assert_eq!(bits.intersection_count(&full), bits.count());
    }
}
