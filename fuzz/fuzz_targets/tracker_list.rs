//! Arbitrary bytes: an error, or a tracker list that reads the same when written plainly.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerage_link::fuzzing::tracker_list(data));
