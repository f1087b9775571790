//! One operation at a time: somebody does something, or something breaks.

use peerage_replica::Input;

use super::event::Event;
use super::network::Failure;
use super::node::{CLOCK_OFF_MS_MAX, CallKind, offset, peer_id};
use super::world::World;
use super::{Broken, Rule};

/// The power goes, instead of only the process.
const POWER_CUT_PERCENT: u64 = 60;

impl World {
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        let (n, m) = (self.any_node(), self.any_node());
        let what = self.rng.between(0, 999);
        self.trace.add("operate", &[self.now.0, what, n as u64, m as u64]);
        match what {
            0..690 => self.act()?,
            690..780 => self.forge()?,
            780..800 => {
                // A crash hurts most where something is on its way to the disk.
                let busy = (0..self.nodes.len()).find(|at| self.nodes[*at].disk.unsynced() > 0);
                self.crash(busy.unwrap_or(n))?;
            }
            800..870 => {
                let down: Vec<_> = (0..self.nodes.len()).filter(|at| self.nodes[*at].run.is_none()).collect();
                let at = self.rng.pick(&down).copied();
                at.map_or(Ok(()), |at| self.start(at))?;
            }
            870..885 => self.network.block(n, m),
            885..890 => self.network.split(&mut self.rng, self.nodes.len()),
            890..898 => self.network.unblock_one(&mut self.rng),
            898..910 => self.network.unblock_all(),
            910..920 => self.network.clog(n, m),
            920..932 => {
                let held = self.network.unclog_one(&mut self.rng);
                self.release(held);
            }
            932..934 => {
                self.crash(n)?;
                self.nodes[n].wipe(&mut self.rng);
            }
            934..943 => self.nodes[n].disk.back_up(),
            943..946 => self.restore(n)?,
            946..954 => {
                self.nodes[n].disk.commit_ms_max = *self.rng.pick(&[1, 20, 300, 3_000]).unwrap_or(&20);
            }
            954..960 => self.nodes[n].clock_offset_ms = offset(&mut self.rng, CLOCK_OFF_MS_MAX),
            960..963 => self.nodes[n].disk.full = true,
            963..980 => {
                if let Some(full) = self.nodes.iter_mut().find(|node| node.disk.full) {
                    full.disk.full = false;
                }
            }
            980..984 => {
                let all = (0..self.nodes.len()).flat_map(|at| (0..self.nodes.len()).map(move |to| (at, to)));
                let short = all.into_iter().find(|(at, to)| at != to && !self.nodes[*at].listed.contains(to));
                let (at, other) = short.filter(|_| self.rng.chance(60)).unwrap_or((n, m));
                self.edit_list(at, other)?;
            }
            984..988 => self.crash_client()?,
            988..994 => {
                let person = self.rng.between(0, self.people.len() as u64 - 1) as usize;
                self.network.toggle_client(person, m);
            }
            994..997 => {
                for node in 0..self.nodes.len() {
                    self.crash(node)?;
                }
            }
            _ => {
                for node in 0..self.nodes.len() {
                    self.start(node)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn start(&mut self, at: usize) -> Result<(), Broken> {
        if self.nodes[at].run.is_some() {
            return Ok(());
        }
        self.trace.add("start", &[self.now.0, at as u64]);
        self.nodes[at].start(&self.cluster, at, &mut self.rng, self.now);
        self.pump(at)
    }

    /// The process ends, or the power with it.
    pub(super) fn crash(&mut self, at: usize) -> Result<(), Broken> {
        if self.nodes[at].run.is_none() {
            return Ok(());
        }
        self.report.crashes += 1;
        let power = self.rng.chance(POWER_CUT_PERCENT);
        let unsynced = self.nodes[at].disk.unsynced() as u64;
        let kept = if power { self.rng.between(0, unsynced) } else { unsynced };
        self.trace.add("crash", &[self.now.0, at as u64, unsynced, kept]);
        let lost = self.nodes[at].disk.power_cut(kept as usize)?;
        self.report.torn += u64::from(!lost.is_empty());
        self.views.disk(at, self.nodes[at].disk.image())?;
        self.checks.dropped(at, &self.nodes[at], &lost)?;
        self.forget(at);
        let calls = self.nodes[at].run.take().map(|run| run.calls).unwrap_or_default();
        for call in calls.into_values() {
            // Its connections break, and most of those who wait notice.
            if self.rng.chance(70) {
                let batch = match call.kind {
                    CallKind::Push(batch) => Some(batch),
                    CallKind::Pull => None,
                };
                let failure = Failure { node: call.asker, life: call.life, peer: at, batch };
                self.schedule(1, Event::Fail(failure));
            }
        }
        Ok(())
    }

    /// An old copy takes the disk's place.
    fn restore(&mut self, at: usize) -> Result<(), Broken> {
        self.crash(at)?;
        if self.nodes[at].disk.restore() {
            self.trace.add("restore", &[self.now.0, at as u64]);
            self.checks.restored(at, &self.nodes[at]);
        }
        Ok(())
    }

    /// Somebody takes a tracker off another one's list, or puts it there again.
    fn edit_list(&mut self, at: usize, other: usize) -> Result<(), Broken> {
        if at == other {
            return Ok(());
        }
        self.trace.add("list", &[self.now.0, at as u64, other as u64]);
        let peer = peer_id(other);
        let removed = self.nodes[at].listed.remove(&other);
        if !removed {
            self.nodes[at].listed.insert(other);
        }
        let input = if removed { Input::PeerRemoved { peer } } else { Input::PeerAdded { peer } };
        self.handle(at, input)
    }

    fn crash_client(&mut self) -> Result<(), Broken> {
        let person = self.rng.between(0, self.people.len() as u64 - 1) as usize;
        self.trace.add("client", &[self.now.0, person as u64]);
        let crashed = self.people[person].crash();
        crashed.map_err(|what| Broken { rule: Rule::Liveness, what })?;
        self.look(person, 500);
        Ok(())
    }

    /// Every fault ends, everything runs.
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.trace.add("heal", &[self.now.0]);
        let held = self.network.heal();
        self.release(held);
        for node in 0..self.nodes.len() {
            self.nodes[node].disk.commit_ms_max = 20;
            self.nodes[node].disk.full = false;
            for other in 0..self.nodes.len() {
                if !self.nodes[node].listed.contains(&other) {
                    self.edit_list(node, other)?;
                }
            }
            self.start(node)?;
        }
        Ok(())
    }
}
