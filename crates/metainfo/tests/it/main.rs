//! Golden torrents, refusals and the replay of the fuzz corpus, through the public interface only.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod golden;
mod refusals;

use std::path::Path;

use peerage_metainfo::fuzzing;

#[test]
fn corpus_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/metainfo");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        fuzzing::run(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "no seed in {}", folder.display());
}
