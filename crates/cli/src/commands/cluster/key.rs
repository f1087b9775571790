//! `peerage cluster key export|import`: the keyring as text, out of one machine and into another.

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use peerage_link::armor::{self, ARMOR_BYTES_MAX};
use peerage_link::keyring::{Keyring, KeyringError, keyring_path};
use peerage_link::list::{self, ListError, TrackerList};
use zeroize::Zeroizing;

use super::Failed;

/// The two directions.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the keyring of this machine as text. It is secret: whoever has it can run trackers of the cluster
    Export {
        /// The tracker list
        #[arg(value_name = "TRACKER_INFO")]
        list: PathBuf,
        /// A new file, readable by you alone; `-`: standard output
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// Show it although standard output is a terminal, where others may look and scroll back
        #[arg(long)]
        show: bool,
    },
    /// Take over the keyring that `export` wrote on another machine
    Import {
        /// The tracker list
        #[arg(value_name = "TRACKER_INFO")]
        list: PathBuf,
        /// The file that `export` wrote; `-`: standard input
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },
}

/// Runs one of them.
pub fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Export { list, file, show } => export(&list, &file, show),
        Command::Import { list, file } => import(&list, &file),
    }
}

fn export(list: &Path, file: &Path, show: bool) -> Result<ExitCode, Failed> {
    let ring = Keyring::load(list).map_err(|error| keyring_failed(error, list))?;
    let text = ring.armored();
    if file != Path::new("-") {
        write_private(file, text.as_bytes()).map_err(|why| {
            let failed = Failed::new(format!("cannot write `{}`: {why}", file.display()));
            match why.kind() {
                std::io::ErrorKind::AlreadyExists => failed.hint("name a file that does not exist yet"),
                _ => failed,
            }
        })?;
        println!("Keyring exported");
        let (file, list) = (file.display(), list.display());
        eprintln!(
            "hint: carry `{file}` to the other machine as a secret, run `peerage cluster key import {list} FILE` there, and delete it"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() && !show {
        return Err(Failed::new("the keyring is secret, and standard output is a terminal")
            .hint("name a file, pipe it (for example through ssh), or add --show")
            .code(2));
    }
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|why| Failed::new(format!("cannot write to standard output: {why}")))?;
    Ok(ExitCode::SUCCESS)
}

fn import(path: &Path, file: &Path) -> Result<ExitCode, Failed> {
    let list = TrackerList::load(path)?;
    let content = if file == Path::new("-") { from_stdin() } else { from_file(file) };
    let content = content.map_err(|why| Failed::new(format!("cannot read `{}`: {why}", file.display())))?;
    let ring = Keyring::parse(&content, file).map_err(|error| keyring_failed(error, path))?;
    // Looked at first: what clients trust stays, and a keyring that does not fit it is of no use here.
    if let Some(have) = list.pin.filter(|pinned| *pinned != ring.public()) {
        let error = ListError::PinConflict { path: list::pin_path(path), have, other: ring.public() };
        return Err(Failed::new(error).hint(format!(
            "this is the keyring of another cluster than this list's; if the list is to move to it, run `peerage trust {}` where its trackers are up",
            path.display()
        )));
    }
    ring.install(path).map_err(|error| keyring_failed(error, path))?;
    list::write_pin(path, &ring.public()).map_err(Failed::new)?;
    println!("Keyring imported");
    eprintln!(
        "hint: cluster {}; next: `peerage tracker {} NUMBER`, and delete what you carried",
        ring.cluster().tag(),
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The way out of what is wrong with a keyring.
pub fn keyring_failed(error: KeyringError, list: &Path) -> Failed {
    let (list, path) = (list.display(), keyring_path(list));
    let path = path.display();
    match &error {
        KeyringError::Read { why, .. } if why.kind() == std::io::ErrorKind::NotFound => {
            Failed::new(format!("there is no keyring `{path}` on this machine")).hint(format!(
                "it lies where a tracker of the list has run; there: `peerage cluster key export {list}`"
            ))
        }
        KeyringError::Taken { .. } => Failed::new(error).hint(format!(
            "to join the other cluster, move `{path}` and the tracker's data folder out of the way first"
        )),
        _ => Failed::new(error),
    }
}

/// Line by line up to the end of the armour, so that a person who pastes needs no Ctrl-D.
fn from_stdin() -> std::io::Result<Zeroizing<Vec<u8>>> {
    let stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        eprintln!("paste what `peerage cluster key export` wrote:");
    }
    let mut input = stdin.take(ARMOR_BYTES_MAX as u64 + 1);
    let mut content = Zeroizing::new(Vec::with_capacity(ARMOR_BYTES_MAX + 1));
    loop {
        let begun = content.len();
        if input.read_until(b'\n', &mut content)? == 0 {
            return Ok(content);
        }
        if std::str::from_utf8(&content[begun..]).is_ok_and(armor::is_end) {
            return Ok(content);
        }
    }
}

fn from_file(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(ARMOR_BYTES_MAX + 1));
    std::fs::File::open(file)?.take(ARMOR_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
