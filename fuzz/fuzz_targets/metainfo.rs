//! Arbitrary bytes: a canonical metainfo file or an error; and files laid out from them always parse.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerage_metainfo::fuzzing::run(data));
