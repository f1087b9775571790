//! The crate from outside.

use std::path::Path;

/// Every input the fuzzer kept stays an ordinary test, and so does what lies right beside it.
#[test]
fn fuzz_corpus_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tracker_list");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let mut data = std::fs::read(entry.unwrap().path()).unwrap();
        peerage_link::fuzzing::tracker_list(&data);
        for i in 0..data.len() {
            peerage_link::fuzzing::tracker_list(&data[..i]);
            let original = data[i];
            for byte in *b"\0\n #.-:[]=a0\x7f\xff" {
                data[i] = byte;
                peerage_link::fuzzing::tracker_list(&data);
            }
            data[i] = original;
        }
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", folder.display());
}
