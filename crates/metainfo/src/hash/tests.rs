//! Hashing against a slow reference, and everything that can go wrong on a disk.

use std::fs::{self, File};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};
use peerage_bencode::{Value, decode};
use proptest::prelude::*;
use sha1::{Digest, Sha1};

use super::*;
use crate::merkle;

fn hash(
    path: &Path,
    piece_length: Option<u32>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Hashed, HashError> {
    let job = HashJob {
        path,
        name: &"share".parse().unwrap(),
        group: GroupId([1; 32]),
        found: &|_| (),
        progress,
        cancelled: &AtomicBool::new(false),
    };
    hash_with(&job, piece_length)
}

fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|i| (i / 251 + i * 7 + seed * 31) as u8).collect()
}

/// Every block is a leaf, every leaf is in the right place, and the v1 pieces are those of the padded concatenation.
fn check_against_slow(hashed: &Hashed, contents: &[Vec<u8>]) {
    let metainfo = &hashed.metainfo;
    let piece_length = metainfo.piece_length() as usize;
    let leaves: Vec<Sha256> =
        contents.iter().flat_map(|content| content.chunks(16_384)).map(merkle::leaf).collect();
    assert_eq!(hashed.leaves.kept(), leaves);
    assert_eq!(metainfo.leaf_total(), leaves.len() as u64);

    let mut padded: Vec<u8> = Vec::new();
    for content in contents.iter().filter(|content| !content.is_empty()) {
        padded.resize(padded.len().next_multiple_of(piece_length), 0);
        padded.extend(content);
    }
    let pieces: Vec<u8> = padded.chunks(piece_length).flat_map(Sha1::digest).collect();
    let decoded = decode(metainfo.bytes()).unwrap();
    let info = decoded.as_dict().unwrap().get("info").unwrap().as_dict().unwrap();
    assert_eq!(info.get("pieces").and_then(Value::as_bytes), Some(pieces.as_slice()));

    for (file, content) in metainfo.files().iter().zip(contents) {
        let own: Vec<_> = content.chunks(16_384).map(merkle::leaf).collect();
        let root = (!own.is_empty()).then(|| merkle::root(&own, own.len()));
        assert_eq!((file.size, file.root), (content.len() as u64, root), "{}", file.path);
    }
}

/// A piece is verified by its own leaves and by nothing else.
fn check_verification(hashed: &Hashed) {
    let metainfo = &hashed.metainfo;
    for piece in 0..metainfo.piece_count() {
        let start = metainfo.leaf_start(piece) as usize;
        let own = &hashed.leaves.kept()[start..start + metainfo.leaf_count(piece) as usize];
        assert!(metainfo.verify_leaves(piece, own));
        for at in 0..own.len() {
            let mut changed = own.to_vec();
            changed[at].0[at % 32] ^= 1;
            assert!(!metainfo.verify_leaves(piece, &changed), "leaf {at} of piece {piece}");
        }
        assert!(!metainfo.verify_leaves(piece, &own[1..]));
        // Padding is no leaf.
        assert!(!metainfo.verify_leaves(piece, &[own, &[merkle::LEAF_PAD]].concat()));
    }
    assert!(!metainfo.verify_leaves(metainfo.piece_count(), &[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn folders_agree_with_the_slow_way(
        sizes in prop::collection::vec(prop_oneof![0..3_usize, 16_383..16_386_usize, 0..150_000_usize], 1..6),
        shift in 0..4_u32,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let contents: Vec<_> = sizes.iter().enumerate().map(|(seed, size)| content(seed, *size)).collect();
        for (i, content) in contents.iter().enumerate() {
            // Two levels, so that the walk's order is not the tree's.
            let parent = folder.path().join(format!("d{}", i / 2));
            fs::create_dir_all(&parent).unwrap();
            fs::write(parent.join(format!("f{i}")), content).unwrap();
        }
        let hashed = hash(folder.path(), Some(16_384 << shift), &|_| ()).unwrap();
        let parsed = Metainfo::parse(hashed.metainfo.bytes());
        prop_assert_eq!(parsed.as_ref(), Ok(&hashed.metainfo));
        prop_assert!(!hashed.metainfo.is_single_file());
        check_against_slow(&hashed, &contents);
        check_verification(&hashed);
    }

    #[test]
    fn single_files_agree_with_the_slow_way(size in 0..400_000_usize, shift in 0..4_u32) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local name");
        fs::write(&path, content(9, size)).unwrap();
        let hashed = hash(&path, Some(16_384 << shift), &|_| ()).unwrap();
        let parsed = Metainfo::parse(hashed.metainfo.bytes());
        prop_assert_eq!(parsed.as_ref(), Ok(&hashed.metainfo));
        prop_assert!(hashed.metainfo.is_single_file());
        prop_assert_eq!(hashed.metainfo.files()[0].path.to_string(), "share");
        check_against_slow(&hashed, &[content(9, size)]);
        check_verification(&hashed);
    }
}

/// Many runs per worker, pieces larger than a read, and progress that only grows.
#[test]
fn many_runs_and_progress() {
    let folder = tempfile::tempdir().unwrap();
    let contents = [content(1, 21_000_001), content(2, 9_000_000)];
    for (i, content) in contents.iter().enumerate() {
        fs::write(folder.path().join(i.to_string()), content).unwrap();
    }
    for piece_length in [16_384, 524_288, 16_777_216] {
        let seen = Mutex::new(Vec::new());
        let hashed =
            hash(folder.path(), Some(piece_length), &|done| seen.lock().unwrap().push(done)).unwrap();
        check_against_slow(&hashed, &contents);
        let seen = seen.into_inner().unwrap();
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert_eq!(seen.last(), Some(&30_000_001));
    }
}

/// Data at these offsets, a block each; the rest is a hole as far as the file system can.
fn sparse_file(path: &Path, size: u64, data: &[u64]) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for at in data {
        file.seek(SeekFrom::Start(*at)).unwrap();
        file.write_all(&content(*at as usize, 5_000)).unwrap();
    }
}

/// Whether pieces are skipped or read, the hashes are the same; and what was skipped is told from the hashes.
#[test]
fn holes_hash_to_what_zeros_do() {
    const PIECE: u64 = 65_536;
    let folder = tempfile::tempdir().unwrap();
    let sizes = [10 * PIECE, 3 * PIECE + 7, 20, PIECE, 4 * PIECE, 5 * PIECE + 99];
    let data: [&[u64]; 6] = [&[3 * PIECE - 100, 9 * PIECE], &[], &[], &[], &[], &[0, PIECE, 3 * PIECE]];
    let mut contents = Vec::new();
    for (name, (size, data)) in sizes.into_iter().zip(data).enumerate() {
        let path = folder.path().join(name.to_string());
        sparse_file(&path, size, data);
        contents.push(fs::read(&path).unwrap());
    }
    let seen = Mutex::new(Vec::new());
    let hashed = hash(folder.path(), Some(PIECE as u32), &|done| seen.lock().unwrap().push(done)).unwrap();
    assert_eq!(seen.into_inner().unwrap().last(), Some(&sizes.iter().sum()));
    // Written out, so that there is no hole anywhere.
    for (name, content) in contents.iter().enumerate() {
        fs::write(folder.path().join(name.to_string()), content).unwrap();
    }
    let dense = hash(folder.path(), Some(PIECE as u32), &|_| ()).unwrap();
    check_against_slow(&dense, &contents);
    assert_eq!(hashed.metainfo, dense.metainfo);

    let metainfo = &hashed.metainfo;
    let zeros: Vec<u32> = metainfo.zero_pieces().collect();
    let all = dense.leaves.kept();
    let is_zero = |piece: &u32| {
        let start = metainfo.leaf_start(*piece) as usize;
        let own = &all[start..][..metainfo.leaf_count(*piece) as usize];
        own.len() == 4 && own.iter().all(|leaf| *leaf == merkle::zero_leaf())
    };
    // The fourth file's only piece is not known by a piece layer.
    let only = metainfo.file_pieces(3).start;
    let expected: Vec<u32> =
        (0..metainfo.piece_count()).filter(is_zero).filter(|piece| *piece != only).collect();
    assert_eq!(zeros, expected);
    for (first, run) in hashed.leaves.runs() {
        assert_eq!(run, &all[first as usize..][..run.len()]);
    }
    let blocks = zeros.len() as u64 * 4;
    let kept = hashed.leaves.kept().len() as u64;
    assert!(
        kept == hashed.leaves.total() - blocks || kept == hashed.leaves.total(),
        "all holes, or none: {kept}"
    );
    #[cfg(target_os = "linux")]
    assert_eq!(kept, hashed.leaves.total() - blocks);
}

#[test]
fn the_same_content_gives_the_same_bytes_and_another_group_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&a, content(5, 70_000)).unwrap();
    fs::write(&b, content(5, 70_000)).unwrap();
    let of = |path, group| {
        let (name, cancelled) = ("same".parse().unwrap(), AtomicBool::new(false));
        hash_path(&HashJob {
            path,
            name: &name,
            group,
            found: &|_| (),
            progress: &|_| (),
            cancelled: &cancelled,
        })
        .unwrap()
        .metainfo
    };
    let (first, second, other) =
        (of(&a, GroupId([1; 32])), of(&b, GroupId([1; 32])), of(&b, GroupId([2; 32])));
    assert_eq!(first, second);
    assert_ne!(first.info_hash(), other.info_hash());
    assert_eq!(first.content_id(), other.content_id());
}

/// Hashes a folder with one file `f`, does `meddle` to that file at the first progress, and prints the outcome.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
fn check_meddling(meddle: impl Fn(&Path) + Sync, expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, content(0, 5_000_000)).unwrap();
    // In the past, so that no clock is too coarse to show the change.
    set_modified(&path, 1_000_000);
    let first = Mutex::new(true);
    let result = hash(folder.path(), None, &|_| {
        if std::mem::take(&mut *first.lock().unwrap()) {
            meddle(&path);
        }
    });
    print(folder.path(), result, &expected);
}

fn set_modified(path: &Path, unix_seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[track_caller]
fn print(root: &Path, result: Result<Hashed, HashError>, expected: &Expect) {
    let text = match result {
        Ok(hashed) => {
            let files = hashed.metainfo.files().iter().map(|file| format!("{} ", file.path));
            let skipped =
                hashed.skipped.named.iter().map(|(path, what)| format!("- {}: {what} ", path.display()));
            files.chain(skipped).collect::<String>()
        }
        Err(e) => e.to_string(),
    };
    expected.assert_eq(&text.replace(&root.display().to_string(), "ROOT"));
}

#[test]
fn changes_are_noticed() {
    check_meddling(|_| (), expect!["f "]);
    check_meddling(
        |path| fs::write(path, content(1, 5_000_000)).unwrap(),
        expect!["`ROOT/f` changed while it was being hashed"],
    );
    check_meddling(
        |path| fs::write(path, content(0, 5_000_001)).unwrap(),
        expect!["`ROOT/f` changed while it was being hashed"],
    );
    check_meddling(
        |path| fs::write(path, b"").unwrap(),
        expect!["`ROOT/f` changed while it was being hashed"],
    );
    check_meddling(
        |path| fs::remove_file(path).unwrap(),
        expect!["`ROOT/f` changed while it was being hashed"],
    );
}

/// Its change time tells.
#[cfg(unix)]
#[test]
fn an_edit_that_puts_the_time_back_is_noticed() {
    check_meddling(
        |path| {
            fs::write(path, content(1, 5_000_000)).unwrap();
            set_modified(path, 1_000_000);
        },
        expect!["`ROOT/f` changed while it was being hashed"],
    );
}

#[test]
fn the_looks_are_those_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, size) in [("b", 5), ("a/c", 70_000), ("empty", 0)] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(size, size)).unwrap();
    }
    let hashed = hash(folder.path(), None, &|_| ()).unwrap();
    let files = hashed.metainfo.files().iter();
    let looks: Vec<Look> =
        files.map(|file| Look::of(&fs::metadata(file.path.under(folder.path())).unwrap())).collect();
    assert_eq!(hashed.leaves.looks(), looks);
}

#[cfg(unix)]
#[test]
fn a_replaced_file_is_noticed() {
    let replace = |path: &Path| {
        let other = path.with_extension("other");
        fs::write(&other, content(1, 5_000_000)).unwrap();
        set_modified(&other, 1_000_000);
        fs::rename(other, path).unwrap();
    };
    check_meddling(replace, expect!["`ROOT/f` changed while it was being hashed"]);
}

#[test]
fn cancelling_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), content(0, 5_000_000)).unwrap();
    let cancelled = AtomicBool::new(false);
    let progress = |_| cancelled.store(true, Ordering::Relaxed);
    let name = "share".parse().unwrap();
    let job = HashJob {
        path: folder.path(),
        name: &name,
        group: GroupId([1; 32]),
        found: &|_| (),
        progress: &progress,
        cancelled: &cancelled,
    };
    assert!(matches!(hash_path(&job), Err(HashError::Cancelled)));
}

/// Makes a folder with `make` and prints what hashing it gives.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
fn check(make: impl Fn(&Path), expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    print(folder.path(), hash(folder.path(), None, &|_| ()), &expected);
}

#[test]
fn folders() {
    check(|_| (), expect!["there is no file to share in the folder `ROOT`"]);
    check(
        |root| fs::create_dir_all(root.join("a/b")).unwrap(),
        expect!["there is no file to share in the folder `ROOT`"],
    );
    let ordered = |root: &Path| {
        fs::create_dir_all(root.join("a")).unwrap();
        for path in ["a.txt", "a/z", "a/b", "B", "ä", ".hidden"] {
            fs::write(root.join(path), path).unwrap();
        }
    };
    check(ordered, expect![".hidden B a/b a/z a.txt ä "]);
    let deep = |root: &Path, levels| {
        let folder = root.join(vec!["d"; levels].join("/"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("f"), "deep").unwrap();
    };
    check(|root| deep(root, 27), expect!["d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/f "]);
    check(
        |root| deep(root, 28),
        expect![
            "this cannot be shared as one: the path of `ROOT/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/f` has more than 28 components"
        ],
    );
    let missing = Path::new("no/such/file");
    print(missing, hash(missing, None, &|_| ()), &expect!["no such file: `ROOT`"]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_shared() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let skipped = |root: &Path| {
        symlink("/etc/hostname", root.join("link")).unwrap();
        symlink("/etc", root.join("folder")).unwrap();
        symlink("nowhere", root.join("\u{1}")).unwrap();
        drop(UnixListener::bind(root.join("socket")).unwrap());
    };
    check(skipped, expect!["there is no file to share in the folder `ROOT`"]);
    let skipped = |root: &Path| {
        skipped(root);
        fs::write(root.join("f"), "x").unwrap();
    };
    check(
        skipped,
        expect![
            "f - ROOT/: a symbolic link - ROOT/folder: a symbolic link - ROOT/link: a symbolic link - ROOT/socket: neither a file nor a folder "
        ],
    );
    check(
        |root| fs::write(root.join(OsStr::from_bytes(b"\xff")), "x").unwrap(),
        expect!["the name of `ROOT/�` is not Unicode"],
    );
    check(
        |root| fs::write(root.join("a\\b"), "x").unwrap(),
        expect![[
            r#"`ROOT/a\b` cannot be shared: `a\b` is not a valid file name: it contains a path separator"#
        ]],
    );
    check(|root| fs::write(root.join("cafe\u{301}"), "x").unwrap(), expect!["café "]);
    let twins = |root: &Path| {
        fs::write(root.join("cafe\u{301}"), "x").unwrap();
        fs::write(root.join("caf\u{e9}"), "x").unwrap();
    };
    check(twins, expect!["`ROOT/café` and `ROOT/café` have the same name once normalized"]);
    let twins = |root: &Path| {
        fs::create_dir(root.join("Music")).unwrap();
        for path in ["Music/a", "music"] {
            fs::write(root.join(path), "x").unwrap();
        }
    };
    check(twins, expect!["`ROOT/Music` and `ROOT/music` are one name on other systems: rename one of them"]);
    let pad = |root: &Path| {
        fs::create_dir(root.join(".pad")).unwrap();
        fs::write(root.join(".pad/7"), "x").unwrap();
    };
    check(
        pad,
        expect!["this cannot be shared as one: `.pad/7` is where pad files are (BEP 47): use another name"],
    );
    check(
        |root| fs::write(root.join("aux.c"), "x").unwrap(),
        expect!["`ROOT/aux.c` cannot be shared: `aux.c` is not a valid file name: it is a device on Windows"],
    );

    let folder = tempfile::tempdir().unwrap();
    let (socket, link) = (folder.path().join("socket"), folder.path().join("link"));
    let _listener = UnixListener::bind(&socket).unwrap();
    print(
        folder.path(),
        hash(&socket, None, &|_| ()),
        &expect!["`ROOT/socket` is neither a file nor a folder"],
    );
    // The user's own path may be a link.
    fs::write(folder.path().join("target"), "x").unwrap();
    symlink("target", &link).unwrap();
    print(folder.path(), hash(&link, None, &|_| ()), &expect!["share "]);
}
