//! Paths that would meet on somebody's disk: names that other systems take for one, and the pad files of the v1 half.

use peerage_types::{FileName, SafePath};

use crate::error::MetainfoError;

/// The folder that BEP 47 gives to pad files.
const PAD_FOLDER: &str = ".pad";

/// Refuses a folder's files, sorted by path, of which two cannot lie side by side everywhere.
pub(crate) fn check(files: &[&SafePath]) -> Result<(), MetainfoError> {
    let is_pad = |path: &&&SafePath| component(path, 0).is_some_and(|name| name.folded() == PAD_FOLDER);
    if let Some(path) = files.iter().find(is_pad) {
        return Err(MetainfoError::PadFolder(path.to_string()));
    }
    check_below(files, 0)
}

/// The entries of the folder that `depth` components of all `files` lead to, then those below.
fn check_below(files: &[&SafePath], depth: usize) -> Result<(), MetainfoError> {
    let entries = || files.chunk_by(|a, b| component(a, depth) == component(b, depth));
    let mut folded: Vec<(String, &SafePath)> = entries()
        .filter_map(|group| Some((component(group.first()?, depth)?.folded(), *group.first()?)))
        .collect();
    folded.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    if let Some([(_, first), (_, second)]) = folded.array_windows().find(|[a, b]| a.0 == b.0) {
        let place = |path: &SafePath| path.prefix(depth + 1);
        return Err(MetainfoError::Twins { first: place(first), second: place(second) });
    }
    drop(folded);
    // A folder's files have one component more. `files` never holds a file and a folder of one name.
    let folders =
        entries().filter(|group| group.first().is_some_and(|path| component(path, depth + 1).is_some()));
    folders.into_iter().try_for_each(|group| check_below(group, depth + 1))
}

fn component(path: &SafePath, depth: usize) -> Option<&FileName> {
    path.components().get(depth)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "callers write `expect![…]`")]
    fn check_paths(paths: &str, expected: Expect) {
        let mut paths: Vec<SafePath> =
            paths.split_whitespace().map(|path| SafePath::new(path.split('/')).unwrap()).collect();
        paths.sort();
        let paths: Vec<&SafePath> = paths.iter().collect();
        expected.assert_eq(&check(&paths).map_or_else(|e| e.to_string(), |()| "ok".to_owned()));
    }

    #[test]
    fn twins() {
        check_paths("a b/a b/b c/a", expect!["ok"]);
        check_paths("x.pad/1 a/.pad/2 .padding", expect!["ok"]);
        check_paths(
            "a/README a/b a/Readme",
            expect!["`a/README` and `a/Readme` are one name on other systems: rename one of them"],
        );
        check_paths(
            "A/x/1 B/y a/z/2",
            expect!["`A` and `a` are one name on other systems: rename one of them"],
        );
        check_paths(
            "a/b a/B/c",
            expect!["`a/B` and `a/b` are one name on other systems: rename one of them"],
        );
        check_paths("f f.", expect!["`f` and `f.` are one name on other systems: rename one of them"]);
        check_paths("Äh äh", expect!["`Äh` and `äh` are one name on other systems: rename one of them"]);
        check_paths(".PAD/1 a", expect!["`.PAD/1` is where pad files are (BEP 47): use another name"]);
    }
}
