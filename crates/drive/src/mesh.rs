//! Trackers that see each other only through proxies, so that a test can part them and bring them together again.
//!
//! Each tracker has a tracker list of its own: its own line is where it listens, the other lines lead to the
//! proxies that stand between the two. Keyring and pin are copied beside each list, as an operator would do.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::{DriveError, Proxy, Tracker, free_addresses};

/// A cluster in a folder. Numbers are 1-based, as on the command line.
pub struct Mesh {
    trackers: Vec<Tracker>,
    addresses: Vec<SocketAddr>,
    /// By (from, to).
    links: BTreeMap<(usize, usize), Proxy>,
    folder: PathBuf,
}

impl Mesh {
    /// Starts `count` trackers, with everything they keep in `folder`, and all links healed.
    pub fn start(program: &Path, folder: &Path, count: usize) -> Result<Self, DriveError> {
        let setup = |what: &Path| {
            let what = what.to_owned();
            move |source| DriveError::Setup { what, source }
        };
        let addresses = free_addresses(count).map_err(setup(folder))?;
        let mut links = BTreeMap::new();
        for from in 1..=count {
            for to in (1..=count).filter(|to| *to != from) {
                let proxy = Proxy::start(addresses[to - 1]).map_err(setup(folder))?;
                links.insert((from, to), proxy);
            }
        }
        let mut mesh = Self { trackers: Vec::new(), addresses, links, folder: folder.to_owned() };
        for number in 1..=count {
            let list = mesh.tracker_list(number);
            fs::write(&list, mesh.lines_of(number)).map_err(setup(&list))?;
            // The first tracker makes the keyring and the pin.
            for ending in ["keyring", "pin"].into_iter().filter(|_| number > 1) {
                let copy = beside(&list, ending);
                fs::copy(beside(&mesh.tracker_list(1), ending), &copy).map_err(setup(&copy))?;
            }
            let data = mesh.folder.join(format!("tracker-{number}"));
            mesh.trackers.push(Tracker::start(program, &list, number, &data)?);
        }
        Ok(mesh)
    }

    /// The trackers, to be killed and restarted.
    pub fn tracker(&mut self, number: usize) -> &mut Tracker {
        &mut self.trackers[number - 1]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// A cluster without trackers?
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// A list for clients that names exactly these trackers, in this order, with the pin beside it.
    pub fn list_of(&self, numbers: &[usize]) -> Result<PathBuf, DriveError> {
        let name: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let list = self.folder.join(format!("members-{}.txt", name.join("-")));
        let lines: String =
            numbers.iter().map(|number| format!("{}\n", self.addresses[number - 1])).collect();
        let pin = beside(&list, "pin");
        fs::write(&list, lines)
            .and_then(|()| fs::copy(beside(&self.tracker_list(1), "pin"), pin))
            .map_err(|source| DriveError::Setup { what: list.clone(), source })?;
        Ok(list)
    }

    /// Nothing gets from one tracker to another on this way; the way back is another link.
    pub fn cut_link(&self, from: usize, to: usize) {
        if let Some(link) = self.links.get(&(from, to)) {
            link.cut();
        }
    }

    /// The opposite of [`Mesh::cut_link`].
    pub fn heal_link(&self, from: usize, to: usize) {
        if let Some(link) = self.links.get(&(from, to)) {
            link.heal();
        }
    }

    /// Parts these trackers from all others; among themselves they stay in touch.
    pub fn part(&self, numbers: &[usize]) {
        for ((from, to), link) in &self.links {
            if numbers.contains(from) != numbers.contains(to) {
                link.cut();
            }
        }
    }

    /// Everybody sees everybody again.
    pub fn heal(&self) {
        self.links.values().for_each(Proxy::heal);
    }

    /// The list that this tracker was started with.
    pub fn tracker_list(&self, number: usize) -> PathBuf {
        self.folder.join(format!("tracker-{number}.txt"))
    }

    fn lines_of(&self, number: usize) -> String {
        let line = |to: usize| match self.links.get(&(number, to)) {
            Some(proxy) => format!("{}\n", proxy.address()),
            None => format!("{}\n", self.addresses[to - 1]),
        };
        (1..=self.addresses.len()).map(line).collect()
    }
}

fn beside(list: &Path, ending: &str) -> PathBuf {
    let mut path = list.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}
