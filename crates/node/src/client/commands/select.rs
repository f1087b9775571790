//! `download_file --only PATTERN`: which files of a folder a pattern picks.
//!
//! `*` and `?` stand for anything but a slash, `**` for anything. A pattern without a slash is held against each name of a
//! path, so `*.jpg` picks pictures in all folders, and `photos` the whole folder of that name; one with a slash against
//! the path from the top. What picks a folder picks all that is in it. Upper and lower case are told apart.

use peerage_metainfo::Metainfo;
use peerage_types::{FileName, SafePath};
use peerage_wire::Bitfield;

use super::super::Refusal;

/// Paths that are named when a pattern picks nothing.
const CLOSE_MAX: usize = 3;
/// Characters of names that are compared for that.
const COMPARED_MAX: usize = 64;

/// The files that any of the patterns picks; `None`: all, because there are no patterns.
///
/// # Errors
/// The share is no folder, or a pattern picks nothing.
pub(super) fn select(metainfo: &Metainfo, patterns: &[String]) -> Result<Option<Bitfield>, Refusal> {
    if patterns.is_empty() {
        return Ok(None);
    }
    if metainfo.is_single_file() {
        return Err(Refusal::NotAFolder);
    }
    let mut wanted = Bitfield::new(u32::try_from(metainfo.files().len()).unwrap_or(u32::MAX));
    for given in patterns {
        let pattern = Pattern::new(given);
        let mut any = false;
        for (file, entry) in (0..).zip(metainfo.files()) {
            if pattern.picks(&entry.path) {
                wanted.set(file);
                any = true;
            }
        }
        if !any {
            let close = close(given, metainfo.files().iter().map(|file| &file.path));
            return Err(Refusal::NoMatch { pattern: given.clone(), close });
        }
    }
    Ok((!wanted.is_full()).then_some(wanted))
}

struct Pattern {
    text: Vec<char>,
    from_the_top: bool,
}

impl Pattern {
    fn new(given: &str) -> Self {
        let text = given.trim_end_matches('/');
        let from_the_top = text.contains('/');
        let text = text.trim_start_matches('/');
        // As names in a share are; what is no name stays as it is.
        let parts = text.split('/').map(|part| match FileName::normalized(part) {
            Ok(name) => name.as_str().to_owned(),
            Err(_) => part.to_owned(),
        });
        let text = parts.collect::<Vec<_>>().join("/").chars().collect();
        Self { text, from_the_top }
    }

    fn picks(&self, path: &SafePath) -> bool {
        let depth = path.components().len();
        let matches = |text: &str| matches(&self.text, &text.chars().collect::<Vec<_>>());
        match self.from_the_top {
            true => (1..=depth).any(|count| matches(&path.prefix(count))),
            false => path.components().iter().any(|name| matches(name.as_str())),
        }
    }
}

/// Row by row, so that no pattern takes longer than its length times that of the text.
fn matches(pattern: &[char], text: &[char]) -> bool {
    // `row[i]`: whether the pattern so far matches the first `i` characters.
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    let mut at = 0;
    while let Some(c) = pattern.get(at) {
        let deep = *c == '*' && pattern.get(at + 1) == Some(&'*');
        at += if deep { 2 } else { 1 };
        if *c == '*' {
            for i in 0..text.len() {
                row[i + 1] |= row[i] && (deep || text[i] != '/');
            }
            continue;
        }
        for i in (0..text.len()).rev() {
            row[i + 1] = row[i] && (text[i] == *c || *c == '?' && text[i] != '/');
        }
        row[0] = false;
    }
    row.last().copied().unwrap_or(false)
}

/// The paths that come nearest to what was asked for.
fn close<'a>(given: &str, paths: impl Iterator<Item = &'a SafePath>) -> Vec<String> {
    let fold = |text: &str| text.to_lowercase().chars().take(COMPARED_MAX).collect::<Vec<char>>();
    let wanted = fold(given.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    let distance = |path: &SafePath| {
        let names = path.components().iter().map(|name| edits(&wanted, &fold(name.as_str())));
        names.min().unwrap_or(usize::MAX)
    };
    let mut ranked: Vec<(usize, &SafePath)> = paths.map(|path| (distance(path), path)).collect();
    ranked.sort();
    ranked.iter().take(CLOSE_MAX).map(|(_, path)| path.to_string()).collect()
}

/// Letters to insert, remove or change. Stars and question marks match anything.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let same = usize::from(x != y && !matches!(x, '*' | '?'));
            let changed = diagonal + same;
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j + 1] + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const PATHS: [&str; 7] = [
        "readme.txt",
        "photos/2024/a.jpg",
        "photos/2024/b.png",
        "photos/caf\u{e9}.jpg",
        "photos [raw]/a.jpg",
        "video/a.jpg.txt",
        "video/photos",
    ];

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
    fn check(pattern: &str, expected: Expect) {
        let paths: Vec<SafePath> = PATHS.iter().map(|path| SafePath::new(path.split('/')).unwrap()).collect();
        let made = Pattern::new(pattern);
        let picked: Vec<String> =
            paths.iter().filter(|path| made.picks(path)).map(ToString::to_string).collect();
        expected.assert_eq(&match picked.is_empty() {
            true => format!("close: {}", close(pattern, paths.iter()).join(", ")),
            false => picked.join(", "),
        });
    }

    #[test]
    fn patterns() {
        check("*.jpg", expect!["photos/2024/a.jpg, photos/caf\u{e9}.jpg, photos [raw]/a.jpg"]);
        check("photos", expect!["photos/2024/a.jpg, photos/2024/b.png, photos/caf\u{e9}.jpg, video/photos"]);
        check("photos/", expect!["photos/2024/a.jpg, photos/2024/b.png, photos/caf\u{e9}.jpg, video/photos"]);
        check("/photos", expect!["photos/2024/a.jpg, photos/2024/b.png, photos/caf\u{e9}.jpg"]);
        check("photos/*", expect!["photos/2024/a.jpg, photos/2024/b.png, photos/caf\u{e9}.jpg"]);
        check("photos/*.jpg", expect!["photos/caf\u{e9}.jpg"]);
        check("photos/**.jpg", expect!["photos/2024/a.jpg, photos/caf\u{e9}.jpg"]);
        check("**/a.???", expect!["photos/2024/a.jpg, photos [raw]/a.jpg"]);
        check("photos [raw]", expect!["photos [raw]/a.jpg"]);
        check("cafe\u{301}.jpg", expect!["photos/caf\u{e9}.jpg"]);
        check("readme.text", expect!["close: readme.txt, video/a.jpg.txt, photos/2024/a.jpg"]);
        check("foto", expect!["close: photos/2024/a.jpg, photos/2024/b.png, photos/caf\u{e9}.jpg"]);
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = "*a".repeat(200);
        let name = "a".repeat(199);
        assert!(!Pattern::new(&pattern).picks(&SafePath::new([name]).unwrap()));
    }
}
