//! Every input the fuzzer kept stays an ordinary test.

use std::path::Path;

#[test]
fn fuzz_corpus_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wire");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        peerage_wire::fuzzing::run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", folder.display());
}
