//! What must not stand on the command line, where others can read it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// Where secrets come from.
pub enum Secrets {
    /// They are asked for and not shown.
    Terminal,
    /// One a line.
    Lines(Box<dyn Iterator<Item = io::Result<String>>>),
}

impl Secrets {
    /// `file` if there is one, else the terminal, else standard input.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn of(file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(match file {
            Some(path) => {
                let file = File::open(path);
                let file = file.with_context(|| format!("the password file `{}`", path.display()))?;
                Self::Lines(Box::new(BufReader::new(file).lines()))
            }
            None if io::stdin().is_terminal() => Self::Terminal,
            None => Self::Lines(Box::new(io::stdin().lines())),
        })
    }

    /// The next one. One that is being set is asked for twice on a terminal.
    ///
    /// # Errors
    /// When there is none.
    pub fn next(&mut self, name: &str, is_new: bool) -> anyhow::Result<String> {
        let label = match name {
            "old" => "Old password",
            "new" => "New password",
            "code" => "Recovery code",
            _ => "Password",
        };
        let line = match self {
            Self::Terminal => {
                let first = rpassword::prompt_password(format!("{label}: "))?;
                let again = if is_new { rpassword::prompt_password("Again: ")? } else { first.clone() };
                anyhow::ensure!(first == again, "the two are not the same; nothing was changed");
                return Ok(first);
            }
            Self::Lines(lines) => lines.next(),
        };
        let missing =
            || format!("{label}: a line with it was expected on standard input or in --password-file");
        Ok(line.with_context(missing)??)
    }
}

/// One line of standard input, before any secrets; asked for on a terminal.
///
/// # Errors
/// When there is none.
pub fn line(label: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        eprint!("{label}: ");
        io::stderr().flush()?;
    }
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line)?;
    anyhow::ensure!(read > 0, "{label}: a line with it was expected on standard input");
    Ok(line)
}
