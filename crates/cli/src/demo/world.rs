//! The demo's processes and its folder.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use peerage_drive::{Client, ClientOptions, Killer, Tracker, free_addresses};
use tempfile::TempDir;

/// Who takes part: the first one owns the group and has the file.
pub const MEMBERS: [&str; 4] = ["olivia", "ben", "carla", "dan"];
/// The group's name.
pub const GROUP: &str = "demo";
/// Size of the generated file.
const GENERATED_BYTES: u64 = 256 * 1024 * 1024;
/// How long a process may take to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that must be ended when the user stops the demo.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Processes>>);

#[derive(Default)]
struct Processes {
    stopped: bool,
    killers: Vec<Killer>,
}

impl Registry {
    /// Kills all, and whatever is still going to be registered.
    pub fn stop(&self) {
        let mut processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        processes.stopped = true;
        processes.killers.iter().for_each(Killer::kill);
    }

    /// One more.
    pub fn add(&self, killer: Killer) {
        let mut processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if processes.stopped {
            killer.kill();
        }
        processes.killers.push(killer);
    }
}

/// A member's shell, with where its copy goes.
pub struct Member {
    pub name: &'static str,
    pub client: Client,
    pub folder: PathBuf,
}

/// Two trackers, four members, one temporary folder. Dropping it ends all and removes the folder.
pub struct World {
    pub trackers: Vec<Tracker>,
    pub members: Vec<Member>,
    pub source: PathBuf,
    pub bytes: u64,
    // Last, so that the processes are gone before their folder.
    folder: TempDir,
}

impl World {
    /// Makes the folder and the file, and starts the trackers.
    pub fn start(path: Option<&Path>, registry: &Registry) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let folder =
            tempfile::Builder::new().prefix("peerage-demo-").tempdir().context("no temporary folder")?;
        let (source, bytes) = match path {
            Some(path) => checked(path)?,
            None => generated(&folder.path().join("film.bin"))?,
        };
        let addresses = free_addresses(2 + MEMBERS.len())?;
        let (tracker_addresses, client_addresses) = addresses.split_at(2);
        let list = folder.path().join("tracker_info.txt");
        fs::write(&list, tracker_addresses.iter().map(|a| format!("{a}\n")).collect::<String>())?;
        let mut trackers = Vec::new();
        for number in 1..=tracker_addresses.len() {
            let data = folder.path().join(format!("tracker-{number}"));
            let tracker = Tracker::start(&program, &list, number, &data)?;
            registry.add(tracker.killer());
            trackers.push(tracker);
        }
        let mut members = Vec::new();
        for (name, listen) in MEMBERS.into_iter().zip(client_addresses) {
            members.push(member(name, *listen, &program, &list, folder.path(), registry)?);
        }
        Ok(Self { trackers, members, source, bytes, folder })
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets everyone log out, ends the trackers and removes the folder.
    pub fn close(self) -> Result<()> {
        for member in self.members {
            member.client.close(END_TIMEOUT)?;
        }
        // Tracker 1 was killed in the middle.
        for mut tracker in self.trackers.into_iter().skip(1) {
            tracker.quit(END_TIMEOUT)?;
        }
        self.folder.close().context("cannot remove the demo's folder")
    }
}

fn member(
    name: &'static str,
    listen: SocketAddr,
    program: &Path,
    list: &Path,
    base: &Path,
    registry: &Registry,
) -> Result<Member> {
    let folder = base.join(format!("{name}-files"));
    fs::create_dir(&folder)?;
    let options = ClientOptions {
        program: program.into(),
        listen,
        list: list.into(),
        data: base.join(format!("{name}-data")),
    };
    let client = Client::start(name, &options)?;
    registry.add(client.killer());
    Ok(Member { name, client, folder })
}

fn checked(path: &Path) -> Result<(PathBuf, u64)> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if metadata.is_dir() {
        bail!("`{}` is a folder; the demo shares one file", path.display());
    }
    ensure!(metadata.len() > 0, "`{}` is empty; choose a file with something in it", path.display());
    Ok((path.canonicalize()?, metadata.len()))
}

/// Bytes that do not compress: the keystream of an extendable hash.
fn generated(path: &Path) -> Result<(PathBuf, u64)> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut stream = blake3::Hasher::new().update(b"peerage demo").finalize_xof();
    std::io::copy(&mut stream.by_ref().take(GENERATED_BYTES), &mut out)
        .context("cannot write the demo's file")?;
    out.flush()?;
    Ok((path.into(), GENERATED_BYTES))
}
