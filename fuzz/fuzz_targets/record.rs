//! Arbitrary bytes: a verified record, a body or a receipt in its one form, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerage_ledger::fuzzing::run(data));
