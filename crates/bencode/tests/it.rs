//! Properties on random input, and the replay of the fuzz corpus.

use std::path::Path;

use peerage_bencode::{Dict, Value, decode, encode, fuzzing};
use proptest::prelude::*;

/// An owned twin of [`Value`], because a strategy cannot hand out borrowed bytes.
#[derive(Clone, Debug)]
enum Tree {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(Vec<(Vec<u8>, Tree)>),
}

impl Tree {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::List(items) => items.iter().map(Self::value).collect(),
            Self::Dict(entries) => Value::Dict(
                entries.iter().map(|(key, item)| (key.as_slice(), item.value())).collect::<Dict<'_>>(),
            ),
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![any::<i64>().prop_map(Tree::Int), bytes().prop_map(Tree::Bytes)];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
            prop::collection::vec((bytes(), inner), 0..8).prop_map(Tree::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(tree in tree()) {
        let value = tree.value();
        let mut bytes = Vec::new();
        encode(&value, &mut bytes);
        prop_assert_eq!(decode(&bytes), Ok(value));
    }

    #[test]
    fn arbitrary_bytes_are_canonical_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        fuzzing::run(&bytes);
    }

    /// Random characters of the grammar get much further than random bytes.
    #[test]
    fn nearly_bencode_is_canonical_or_refused(text in "[ilde0-3:a-]{0,40}") {
        fuzzing::run(text.as_bytes());
    }

    #[test]
    fn one_changed_byte_is_canonical_or_refused(tree in tree(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = Vec::new();
        encode(&tree.value(), &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fuzzing::run(&bytes);
    }
}

#[test]
fn corpus_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/bencode");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        fuzzing::run(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "no seed in {}", folder.display());
}
