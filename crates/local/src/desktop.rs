//! What a person sees on this machine, if it has a screen.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether windows can be opened.
pub fn is_there() -> bool {
    cfg!(not(all(unix, not(target_os = "macos"))))
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|key| std::env::var_os(key).is_some_and(|value| !value.is_empty()))
}

/// Opens a file of ours with the program that the desktop has for it, and does not wait for that.
///
/// # Errors
/// When that cannot be started.
pub fn open(own: &Path) -> io::Result<()> {
    let program = match () {
        () if cfg!(windows) => "explorer.exe",
        () if cfg!(target_os = "macos") => "open",
        () => "xdg-open",
    };
    start(program, &[own.as_os_str()])
}

/// Shows in the desktop's file manager the folder that a download goes to, and does not wait for that.
///
/// The names of what lies in it were chosen by other members, so no launcher ever gets such a name to *open*: it would
/// start a program, and on macOS a mere folder whose name ends in `.app` is one. Only the folder is opened that the user
/// chose; on macOS the Finder is asked to reveal what is in it (`-R`), which opens nothing. No shell takes part: Windows'
/// `cmd /c start` would run what follows a `&` in a folder's name.
///
/// # Errors
/// When `folder` is no folder (any more), or the file manager cannot be started.
pub fn show(folder: &Path, place: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "there is no such folder"));
    }
    let (program, args) = shower(folder, place);
    start(program, &args)
}

fn start(program: &str, args: &[&OsStr]) -> io::Result<()> {
    let mut command = Command::new(program);
    let quiet = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn()?;
    // So that it is no zombie afterwards.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// The file manager and what it is given.
fn shower<'a>(folder: &'a Path, place: &'a Path) -> (&'static str, Vec<&'a OsStr>) {
    if cfg!(windows) {
        ("explorer.exe", vec![folder.as_os_str()])
    } else if cfg!(target_os = "macos") {
        let shown = if place.exists() { place } else { folder };
        ("open", vec![OsStr::new("-R"), shown.as_os_str()])
    } else {
        ("xdg-open", vec![folder.as_os_str()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_named_is_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["film.app", "a&calc.exe", "-a Calculator", "notes.desktop"] {
            let place = dir.path().join(name);
            std::fs::create_dir(&place).unwrap();
            let (program, args) = shower(dir.path(), &place);
            assert!(!program.contains("cmd"));
            // The folder above it; to be revealed, not opened, where it is named at all.
            assert!(args == [dir.path()] || args == [Path::new("-R"), &place], "{program} {args:?}");
            assert!(show(&place.join("gone"), &place).is_err());
        }
    }
}
