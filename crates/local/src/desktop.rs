//! What a person sees on this machine, if it has a screen.

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

/// Opens a file or folder with the program that the desktop has for it, and does not wait for that.
///
/// # Errors
/// When that cannot be started.
pub fn open(path: &Path) -> io::Result<()> {
    let mut command = if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/c", "start", ""]);
        command
    } else {
        Command::new(if cfg!(target_os = "macos") { "open" } else { "xdg-open" })
    };
    let quiet = command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn()?;
    // So that it is no zombie afterwards.
    std::thread::spawn(move || child.wait());
    Ok(())
}
