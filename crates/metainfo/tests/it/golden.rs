//! Torrents whose hashes were computed elsewhere: by a short Python program with `hashlib`, straight from the BEPs,
//! which gives the same bytes; and by libtorrent 2.1, which reads them with these info hashes, recognises the content
//! on disk as complete, and creates the same bytes itself (with `canonical_files_no_tail_padding`). Three cases have
//! the word of Python only: libtorrent knows no torrent without any bytes, and where a folder `a` meets a file `a.txt`
//! it accepts our order, the file tree's, but creates another for v1.

use std::fs;
use std::sync::atomic::AtomicBool;

use expect_test::{Expect, expect};
use peerage_metainfo::{HashJob, Metainfo, hash_path};
use peerage_types::GroupId;

/// Little-endian 64-bit words `i * A + seed * B`, cut to `size` bytes.
fn content(seed: u64, size: usize) -> Vec<u8> {
    let word =
        |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    let mut bytes: Vec<u8> = (0..size.div_ceil(8) as u64).flat_map(|i| word(i).to_le_bytes()).collect();
    bytes.truncate(size);
    bytes
}

/// `files`: path, size and seed; a single file has the path "". Prints both info hashes, the hash of the whole
/// metainfo, the content id, and the numbers.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
fn check(name: &str, files: &[(&str, usize, u64)], expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(name);
    for (path, size, seed) in files {
        let path = if path.is_empty() { root.clone() } else { root.join(path) };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(*seed, *size)).unwrap();
    }
    let cancelled = AtomicBool::new(false);
    let name = name.parse().unwrap();
    let job = HashJob {
        path: &root,
        name: &name,
        group: GroupId([0x5a; 32]),
        found: &|_| (),
        progress: &|_| (),
        cancelled: &cancelled,
    };
    let metainfo = hash_path(&job).unwrap().metainfo;
    assert_eq!(Metainfo::parse(metainfo.bytes()).as_ref(), Ok(&metainfo));
    expected.assert_eq(&format!(
        "v2 {}\nv1 {}\nmetainfo {}\ncontent {}\n{} bytes, {} pieces of {}, {} leaves",
        metainfo.info_hash(),
        metainfo.info_hash_v1().unwrap(),
        metainfo.id(),
        metainfo.content_id(),
        metainfo.total_bytes(),
        metainfo.piece_count(),
        metainfo.piece_length(),
        metainfo.leaf_total(),
    ));
}

#[test]
fn single_small() {
    let files = [("", 100, 1)];
    check(
        "single_small",
        &files,
        expect![[r#"
        v2 9843ce2f5a1c8c36d43f312c680b580d5b92dee5764d97997e90a1d2ca706572
        v1 718341e8064de81a00349e6954a1ed75b165be4d
        metainfo 9afd80e22b50b6a97da104cac37964247c4609a54ad1eb0014d5d41dae9dae22
        content 12818bcb1e8f56cc4107677d7278d24ba645793ea08e8c331ae8dd164cec90fd
        100 bytes, 1 pieces of 16384, 1 leaves"#]],
    );
}

#[test]
fn single_block() {
    let files = [("", 16384, 1)];
    check(
        "single_block",
        &files,
        expect![[r#"
        v2 d863b079b91a692a5a5ca8b8001d664510f862b2bda5abf178dab9780991f1f0
        v1 2113a081a8f1ae923d56e581e52eacd23ed62b98
        metainfo aabfeb17c7ed4de6ec84cc832257f2497aaea1d42b265a18f675516e98097b29
        content a35fb08058d20f99e0b1f35f83a35e7c17dcca6b198a572cbaaf3b5a51ce4655
        16384 bytes, 1 pieces of 16384, 1 leaves"#]],
    );
}

#[test]
fn single_two() {
    let files = [("", 16385, 1)];
    check(
        "single_two",
        &files,
        expect![[r#"
        v2 62b48d82c8bdd962aaa621420aa3ea596030dda1a9f521ac9df5f995c28b9c5f
        v1 8b669053106aaa3f64e1c5a2152489e4cffcf151
        metainfo 177911c51b6fe310e1f17bce537753361fcc04c846bbab58fc047ee50b4a787a
        content 6aa76df606ff421d715ddc5c79033229632998817d91d794a0c2f17fe618f2dc
        16385 bytes, 2 pieces of 16384, 2 leaves"#]],
    );
}

#[test]
fn single_pieces() {
    let files = [("", 81997, 1)];
    check(
        "single_pieces",
        &files,
        expect![[r#"
        v2 aab32b5caf5367bec59565d6426a659ca3f6621b5c80f33cdd9a352b4d748eac
        v1 3ebdee8d552066ca9536ab159bcfdb54e0b201b1
        metainfo c456af711928a0843b6644de7c0f5594093943058306e6be9164f53f14768400
        content af63f87a72710a6b34b44ed503d67692e14dc2c2274602c4ad480a7d1184a5f6
        81997 bytes, 6 pieces of 16384, 6 leaves"#]],
    );
}

#[test]
fn single_wide() {
    let files = [("", 32780345, 1)];
    check(
        "single_wide",
        &files,
        expect![[r#"
        v2 ea6fe363538775a7b582029e44c0026821499436603cd1f0d58285db85d23795
        v1 585b77220aed6151015084f009275c8e6fb5b349
        metainfo 8680a9f62b864e9473d75e8103cc173f4b0ad9c7ec133bfbf24bd0e4b411fd69
        content cf03a7f919b836e2aa1e06e89e193d9a46ca0e97aad8c9874c39b4728785d8fb
        32780345 bytes, 1001 pieces of 32768, 2001 leaves"#]],
    );
}

#[test]
fn single_empty() {
    let files = [("", 0, 1)];
    check(
        "single_empty",
        &files,
        expect![[r#"
        v2 3dbc36ae123b628c79b8af82c51aa7474dbdea12fc877451e032fe569d9cc57f
        v1 51e457d2665490472c67f8ecc577b3744be561cd
        metainfo 5bceb8edc94388b6e74a0fc959445bac0401caeb16b3ddbd823293ce80329d20
        content 7e7f8c0b440a3ab954871e491ed9ecedc3da52a5391ec481a40c325170038df4
        0 bytes, 0 pieces of 16384, 0 leaves"#]],
    );
}

#[test]
fn folder_mixed() {
    let files = [
        ("a/empty", 0, 1),
        ("a/one", 16384, 2),
        ("a.txt", 20000, 3),
        ("b", 1, 4),
        ("c/d/deep", 49152, 5),
        ("c/e", 40000, 6),
        ("z_empty", 0, 7),
    ];
    check(
        "folder_mixed",
        &files,
        expect![[r#"
        v2 2f96a8699c081d2a20d08470c6909152d2e10e1f20f8dd690c6a8a446b40a59d
        v1 b44ec33be4dc4aff820ce9b8468e338645388bbb
        metainfo 8e0fc2dac4e5101724ce3feeb3a94c0ebba2dd5285f2717ae5b244c32e24c67a
        content 5e8d439863cc0fc76d09a878ce8accf9a3d3feb9d6836917602f06e6953e1ff8
        125537 bytes, 10 pieces of 16384, 10 leaves"#]],
    );
}

#[test]
fn folder_wide() {
    let files = [("big", 32768000, 1), ("mid", 65536, 2), ("small", 33000, 3), ("tail", 7, 4)];
    check(
        "folder_wide",
        &files,
        expect![[r#"
        v2 6dad87508099a640d73a6238eb3675c07e97634b8517a1bb5b0fb77f479c4c50
        v1 557d54261b8489d5f8b5da2ca1d43a72c31e8b35
        metainfo 03c34423ed105d9f962dccb8e28b35b951bfc9d68662ba84d9ed1cc034e53005
        content 8e63589c8a3e0e7f3796ddd343d44d6c67bdbb6f532e5014d646f50202c107f0
        32866543 bytes, 1005 pieces of 32768, 2008 leaves"#]],
    );
}

#[test]
fn folder_twins() {
    let files = [("x", 50000, 1), ("y", 50000, 1)];
    check(
        "folder_twins",
        &files,
        expect![[r#"
        v2 19ea279e973d32aefb8984e62bcf795d814c39b629b3c82e8ba922aeff4f2a1f
        v1 cfe897362a280dea96e1cb6e7d2681f76c4a4bf2
        metainfo fb07d883bcfe80a3624c0fd7886bc86f95e8229fdac142d78a5ec27e3663a52b
        content 4fbe310e11f414c1a23fd243eec444a89f31f87df74cfc4f8cb1e83829684ac5
        100000 bytes, 8 pieces of 16384, 8 leaves"#]],
    );
}

#[test]
fn folder_one() {
    let files = [("only", 20000, 1)];
    check(
        "folder_one",
        &files,
        expect![[r#"
        v2 e9f802b394f79c90019b974f6c699a95a5d6dfb5b8c3def91bc7d7da6f652b8e
        v1 05c6313d1faec1183c765f7bc3226fd8b851197e
        metainfo 79cb680acbfcd21ade8de03967bbf897c9c888e248a0e1635008b26f6b0bd891
        content 249102b16ca4a154522640532250bcf5eb6921ec34ce556170272a2f1cf1f7c2
        20000 bytes, 2 pieces of 16384, 2 leaves"#]],
    );
}

#[test]
fn folder_zero() {
    let files = [("e1", 0, 1), ("e2", 0, 2)];
    check(
        "folder_zero",
        &files,
        expect![[r#"
        v2 75d9892a1cddeb7dca1a02d642c07493c3bda224ee9056b8613103a472c2d159
        v1 b04694a8e62193ef61210b60430f774a47dce445
        metainfo f4fd50191bce97be50661dac9eb462d99b7ba5bd83de16d519607b049d0def8f
        content 04faad327c1eb7a18ac7874f3116d61da36ebb20dc5f0c5141ef3fc78efd643b
        0 bytes, 0 pieces of 16384, 0 leaves"#]],
    );
}
