//! Splits a command line into words the way people expect from a shell: blanks separate, `'…'` and `"…"` keep
//! blanks, a backslash takes the next character as it is (outside single quotes).

/// Why a line has no words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote was opened and never closed.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    /// The line ends in a backslash.
    #[error("nothing follows the backslash at the end")]
    OpenEscape,
}

/// Splits `line`. An empty pair of quotes is an empty word.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(chars.next().ok_or(SplitError::OpenEscape)?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(open) => Err(SplitError::OpenQuote(open)),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

/// Writes a word so that [`split`] reads it back; plain words stay as they are.
pub fn quote(word: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\');
    if !word.is_empty() && !word.contains(special) {
        return word.to_owned();
    }
    let escaped: String =
        word.chars().flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Expect) {
        expected.assert_eq(&match split(line) {
            Ok(words) => words.join("|"),
            Err(e) => format!("error: {e}"),
        });
    }

    #[test]
    fn words() {
        check("  upload_file  a.txt\tg1 ", expect!["upload_file|a.txt|g1"]);
        check(r#"upload_file "my file.txt" 'g 1'"#, expect!["upload_file|my file.txt|g 1"]);
        check(r"upload_file my\ file.txt g1", expect!["upload_file|my file.txt|g1"]);
        check(r#"a"b c"d"#, expect!["ab cd"]);
        check(r#"x "" y"#, expect!["x||y"]);
        check(r#"'it\' "a\"b""#, expect![[r#"it\|a"b"#]]);
        check("download_file g café\u{3000}x", expect!["download_file|g|café|x"]);
        check("", expect![""]);
        check("a 'b", expect!["error: the quote ' is not closed"]);
        check("a\\", expect!["error: nothing follows the backslash at the end"]);
    }

    #[test]
    fn quoting_reads_back() {
        for word in ["plain", "", "two words", r#"q"uo'te\"#, "tab\tnew\nline", "中 文"] {
            assert_eq!(split(&quote(word)), Ok(vec![word.to_owned()]), "{word}");
        }
    }
}
