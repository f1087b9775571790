//! Arbitrary bytes: canonical bencode or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerage_bencode::fuzzing::run(data));
