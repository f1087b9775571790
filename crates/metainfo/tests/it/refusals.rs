//! What `parse` refuses: valid torrents with one thing changed. Each change keeps the bencode itself valid.

use expect_test::{Expect, expect};
use peerage_metainfo::Metainfo;

const FOLDER: &[u8] = include_bytes!("../../../../fuzz/corpus/metainfo/folder_mixed");
const SINGLE: &[u8] = include_bytes!("../../../../fuzz/corpus/metainfo/single_pieces");

/// Replaces the only occurrence of `from` and parses.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
fn check(base: &[u8], from: &str, to: &[u8], expected: Expect) {
    let is_there = |at: &usize| base[*at..].starts_with(from.as_bytes());
    let places: Vec<usize> = (0..base.len()).filter(is_there).collect();
    assert_eq!(places.len(), 1, "`{from}` at {places:?}");
    let at = places[0];
    let changed = [&base[..at], to, &base[at + from.len()..]].concat();
    match Metainfo::parse(&changed) {
        Ok(_) => expected.assert_eq("ok"),
        Err(e) => expected.assert_eq(&e.to_string()),
    }
}

#[test]
fn unchanged_is_accepted() {
    check(FOLDER, "12:meta version", b"12:meta version", expect!["ok"]);
    check(SINGLE, "12:meta version", b"12:meta version", expect!["ok"]);
}

#[test]
fn fields() {
    check(
        SINGLE,
        "12:meta versioni2e",
        b"12:meta versioni1e",
        expect!["the metainfo has version 1, expected 2 (BEP 52)"],
    );
    check(
        SINGLE,
        "12:meta versioni2e",
        b"",
        expect!["the metainfo's `meta version` is missing or not an integer"],
    );
    check(SINGLE, "7:privatei1e", b"7:privatei0e", expect!["the metainfo says private = 0, expected 1"]);
    check(SINGLE, "7:privatei1e", b"", expect!["the metainfo's `private` is missing or not an integer"]);
    check(
        SINGLE,
        "6:source64:5a",
        b"6:source64:xx",
        expect!["the metainfo's source is not a group id (64 hexadecimal digits)"],
    );
    check(
        SINGLE,
        "12:piece lengthi16384e",
        b"12:piece lengthi16385e",
        expect!["piece length 16385, expected a power of two from 16384 to 16777216"],
    );
    check(
        SINGLE,
        "12:piece lengthi16384e",
        b"12:piece lengthi33554432e",
        expect!["piece length 33554432, expected a power of two from 16384 to 16777216"],
    );
    check(
        SINGLE,
        "12:piece lengthi16384e",
        b"12:piece lengthi-16384e",
        expect!["piece length -16384, expected a power of two from 16384 to 16777216"],
    );
    check(
        SINGLE,
        "4:name13:single_pieces",
        b"4:name2:..",
        expect!["the metainfo's name is refused: `..` is not a valid file name: it names a folder"],
    );
    check(
        SINGLE,
        "4:name13:single_pieces",
        b"4:name1:\xff",
        expect!["the metainfo's `name` is missing or not text in UTF-8"],
    );
    check(
        SINGLE,
        "12:piece layers",
        b"12:piece_layers",
        expect!["the metainfo's `piece layers` is missing or not a dictionary"],
    );
}

#[test]
fn other_spellings() {
    // Upper-case hex is the same group, but not the canonical bytes.
    check(
        SINGLE,
        "6:source64:5a",
        b"6:source64:5A",
        expect!["the metainfo differs from its canonical form from byte 340 on"],
    );
    // An unknown key, in and outside of `info`.
    check(
        SINGLE,
        "12:piece layers",
        b"5:nodes0:12:piece layers",
        expect!["the metainfo differs from its canonical form from byte 404 on"],
    );
    check(
        SINGLE,
        "6:source64:",
        b"2:sai1e6:source64:",
        expect!["the metainfo differs from its canonical form from byte 328 on"],
    );
    check(
        SINGLE,
        "d4:info",
        b"d8:announce3:udp4:info",
        expect!["the metainfo differs from its canonical form from byte 1 on"],
    );
    // A layer that belongs to no file.
    check(
        SINGLE,
        "12:piece layersd",
        b"12:piece layersd32:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x000:",
        expect!["the metainfo differs from its canonical form from byte 423 on"],
    );
    check(
        FOLDER,
        "5:filesld6:lengthi0e4:pathl1:a5:emptyee",
        b"5:filesl",
        expect!["the metainfo differs from its canonical form from byte 474 on"],
    );
    check(
        FOLDER,
        "4:attr1:p6:lengthi12768e",
        b"4:attr1:x6:lengthi12768e",
        expect!["the metainfo differs from its canonical form from byte 569 on"],
    );
    check(
        FOLDER,
        "4:pathl7:z_emptyee",
        b"4:pathl7:Z_emptyee",
        expect!["the metainfo differs from its canonical form from byte 767 on"],
    );
    // A key inside of a file's leaf.
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_emptyd0:d4:attr1:x6:lengthi0eee",
        expect!["the metainfo differs from its canonical form from byte 442 on"],
    );
}

#[test]
fn file_tree() {
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_emptyd0:d6:lengthi-1eee",
        expect!["`z_empty` has length -1"],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_emptyd0:d6:lengthi1eee",
        expect!["`z_empty` needs a `pieces root` of 32 bytes exactly if it has content"],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_emptyde",
        expect!["the file tree's entry `z_empty` is neither a file nor a folder"],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_emptyi1e",
        expect!["the file tree's entry `z_empty` is neither a file nor a folder"],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_emptyd0:d6:lengthi0ee1:xd0:d6:lengthi0eeee",
        expect!["the file tree's entry `z_empty` is neither a file nor a folder"],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z\x1b[31mxd0:d6:lengthi0eee",
        expect![[
            r#"a path in the metainfo is refused: `z\u{1b}[31mx` is not a valid file name: it contains a control character"#
        ]],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_\xffmptyd0:d6:lengthi0eee",
        expect![[r#"the file tree's entry `z_\xffmpty` is neither a file nor a folder"#]],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_/../.d0:d6:lengthi0eee",
        expect![
            "a path in the metainfo is refused: `z_/../.` is not a valid file name: it contains a path separator"
        ],
    );
    // Not in NFC.
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        b"7:z_eme\xcc\x81d0:d6:lengthi0eee",
        expect![
            "a path in the metainfo is refused: `z_emé` is not a valid file name: it is not in Unicode NFC"
        ],
    );
    // 28 components are accepted as such, one more is not.
    let deep = |levels| {
        [b"7:z_emptyd".as_slice(), &b"1:xd".repeat(levels), b"0:d6:lengthi0ee", &b"e".repeat(levels + 1)]
            .concat()
    };
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        &deep(27),
        expect!["the metainfo differs from its canonical form from byte 909 on"],
    );
    check(
        FOLDER,
        "7:z_emptyd0:d6:lengthi0eee",
        &deep(28),
        expect![
            "the metainfo is not canonical bencode: the value at byte 553 is nested deeper than 32 levels"
        ],
    );
    check(
        FOLDER,
        "lengthi49152e11",
        b"lengthi9223372036854775807e11",
        expect!["the files make more than 16777088 pieces"],
    );
    // The single file under another name than the torrent's.
    check(
        SINGLE,
        "9:file treed13:single_pieces",
        b"9:file treed13:single_Pieces",
        expect!["a single file must have the metainfo's name as its only path"],
    );
}

/// What would be opened outside of the folder, as something else, or over another file of the same folder.
#[test]
fn path_tricks() {
    let first = "1:ad5:empty";
    check(
        FOLDER,
        first,
        b"2:..d5:empty",
        expect!["a path in the metainfo is refused: `..` is not a valid file name: it names a folder"],
    );
    check(
        FOLDER,
        first,
        b"1:.d5:empty",
        expect!["a path in the metainfo is refused: `.` is not a valid file name: it names a folder"],
    );
    check(
        FOLDER,
        first,
        b"0:d5:empty",
        expect!["a path in the metainfo is refused: `` is not a valid file name: it is empty"],
    );
    check(
        FOLDER,
        first,
        b"4:/etcd5:empty",
        expect![
            "a path in the metainfo is refused: `/etc` is not a valid file name: it contains a path separator"
        ],
    );
    check(
        FOLDER,
        first,
        b"3:C:\\d5:empty",
        expect![[
            r#"a path in the metainfo is refused: `C:\` is not a valid file name: it contains a path separator"#
        ]],
    );
    check(
        FOLDER,
        first,
        b"2:a\0d5:empty",
        expect![[
            r#"a path in the metainfo is refused: `a\u{0}` is not a valid file name: it contains a control character"#
        ]],
    );
    check(
        FOLDER,
        first,
        b"3:Nuld5:empty",
        expect![
            "a path in the metainfo is refused: `Nul` is not a valid file name: it is a device on Windows"
        ],
    );
    check(
        FOLDER,
        first,
        b"8:COM1.txtd5:empty",
        expect![
            "a path in the metainfo is refused: `COM1.txt` is not a valid file name: it is a device on Windows"
        ],
    );
    check(
        FOLDER,
        first,
        b"4:.padd5:empty",
        expect!["`.pad/empty` is where pad files are (BEP 47): use another name"],
    );
    check(
        FOLDER,
        "5:emptyd0:",
        b"5:EMPTYd0:d6:lengthi0eee5:emptyd0:",
        expect!["`a/EMPTY` and `a/empty` are one name on other systems: rename one of them"],
    );
    check(
        FOLDER,
        "5:a.txtd0:",
        b"2:a.d0:",
        expect!["`a` and `a.` are one name on other systems: rename one of them"],
    );
    // Long enough to go past any name that a file system takes.
    let long = [b"300:".as_slice(), &[b'A'; 300], b"d5:empty"].concat();
    check(
        FOLDER,
        first,
        &long,
        expect![
            "a path in the metainfo is refused: `AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA…` is not a valid file name: it is longer than 255 bytes"
        ],
    );
}

#[test]
fn hashes() {
    check(
        SINGLE,
        "6:pieces120:",
        b"6:pieces121:x",
        expect!["`pieces` has 121 bytes, expected 120 (20 for each piece)"],
    );
    check(
        FOLDER,
        "lengthi49152e11",
        b"lengthi49153e11",
        expect!["`pieces` has 200 bytes, expected 220 (20 for each piece)"],
    );
    // The same number of pieces, so only the v1 list tells.
    check(
        FOLDER,
        "lengthi40000e11",
        b"lengthi40001e11",
        expect!["the metainfo differs from its canonical form from byte 729 on"],
    );
    check(
        FOLDER,
        "lengthi40000e11",
        b"lengthi4000e11",
        expect!["`pieces` has 200 bytes, expected 160 (20 for each piece)"],
    );
    check(
        SINGLE,
        "192:",
        b"193:x",
        expect!["the piece layer of `single_pieces` has 193 bytes, expected 192 (32 for each piece)"],
    );
}

#[test]
fn a_forged_layer_is_refused() {
    let mut forged = SINGLE.to_vec();
    let last_hash = forged.len() - 3;
    forged[last_hash] ^= 1;
    check(
        &forged,
        "12:meta version",
        b"12:meta version",
        expect!["the piece layer of `single_pieces` does not belong to its `pieces root`"],
    );
}

#[test]
fn too_long() {
    check(
        SINGLE,
        "12:piece layers",
        &vec![b'x'; 32 * 1024 * 1024],
        expect!["the metainfo has 33555070 bytes, at most 33554432 are allowed"],
    );
}

/// A changed bit is either refused, or it is in what only the content can refute (the v1 pieces, the name …) and gives
/// another info hash.
#[test]
fn no_byte_is_without_meaning() {
    let original = Metainfo::parse(FOLDER).unwrap();
    for at in 0..FOLDER.len() {
        let mut changed = FOLDER.to_vec();
        changed[at] ^= 1;
        if let Ok(other) = Metainfo::parse(&changed) {
            assert_eq!(other.bytes(), &changed);
            assert_ne!(other.info_hash(), original.info_hash(), "byte {at}");
        }
    }
}
