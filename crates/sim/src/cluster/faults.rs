//! One operation at a time: somebody does something, or something breaks.

use peerage_replica::{BatchId, Input};

use super::event::Event;
use super::image::Harm;
use super::network::Failure;
use super::node::{CLOCK_OFF_MS_MAX, Node, offset, peer_id};
use super::world::{TRACKERS_MAX, World};
use super::{Broken, Rule};

/// The power goes, instead of only the process.
const POWER_CUT_PERCENT: u64 = 60;
/// Of the other ends: somebody told the process to, and its disk has space.
const STOP_PERCENT: u64 = 40;
/// So long, and so often, a power cut waits for a disk that has something to lose.
const WAIT_MS: u64 = 5;
const WAITS_MAX: usize = 40;
/// Trackers that there were at most, with those that left.
const NODES_MAX: usize = 12;

impl World {
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        let (n, m) = (self.any_node(), self.any_node());
        let what = self.rng.between(0, 999);
        self.trace.add("operate", &[self.now.0, what, n as u64, m as u64]);
        match what {
            0..612 => self.act()?,
            612..630 => self.send_again()?,
            636..644 => self.cut_while_writing()?,
            660..668 => self.harm(n)?,
            630..633 | 668..671 => self.join()?,
            671..673 => self.retire(n)?,
            673..685 => self.break_snapshot()?,
            685..690 => self.handle(n, Input::CompareNow { ticket: None, damaged: Vec::new() })?,
            644..660 | 690..780 => self.forge()?,
            780..800 => {
                // A crash hurts most where something is on its way to the disk.
                let busy = (0..self.nodes.len()).find(|at| self.nodes[*at].disk.unsynced() > 0);
                self.crash(busy.unwrap_or(n))?;
            }
            800..870 => {
                let mut down = self.members();
                down.retain(|at| self.nodes[*at].run.is_none());
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
            633..636 | 932..934 => {
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
                let short = self.missing_entry();
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
                for node in self.members() {
                    self.start(node)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn start(&mut self, at: usize) -> Result<(), Broken> {
        if self.nodes[at].run.is_some() || self.nodes[at].retired {
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
        let power = self.rng.chance(POWER_CUT_PERCENT);
        if !power && !self.nodes[at].disk.full && self.rng.chance(STOP_PERCENT) {
            self.stop(at)?;
        }
        self.end(at, power)
    }

    /// The process is about to end in good order: its writer works off what it is given.
    fn stop(&mut self, at: usize) -> Result<(), Broken> {
        self.report.stopped += 1;
        self.trace.add("stop", &[self.now.0, at as u64]);
        self.handle(at, Input::Stopping)?;
        while let Some(commit) = self.nodes[at].disk.next_queued(BatchId(u64::MAX)) {
            let commit = commit.clone();
            self.checks.before_write(at, &self.nodes[at], &commit)?;
            self.nodes[at].disk.write();
        }
        self.settle_commits(at, BatchId(u64::MAX))?;
        self.checks.stopped(at, &self.nodes[at], self.waiting.values())
    }

    /// The power goes as soon as something is on its way to a disk.
    fn cut_while_writing(&mut self) -> Result<(), Broken> {
        for _ in 0..WAITS_MAX {
            match self.nodes.iter().position(|node| node.run.is_some() && node.disk.unsynced() > 0) {
                Some(busy) => return self.end(busy, true),
                None => self.rest(WAIT_MS)?,
            }
        }
        Ok(())
    }

    fn end(&mut self, at: usize, power: bool) -> Result<(), Broken> {
        self.report.crashes += 1;
        let unsynced = self.nodes[at].disk.unsynced() as u64;
        let kept = if power { self.rng.between(0, unsynced) } else { unsynced };
        self.trace.add("crash", &[self.now.0, at as u64, unsynced, kept]);
        let lost = self.nodes[at].disk.ended(kept as usize);
        self.settle_commits(at, BatchId(u64::MAX))?;
        self.report.torn += u64::from(!lost.is_empty());
        self.report.snapshots_cut += u64::from(self.source_of(at).is_some());
        self.report.sources_lost +=
            (0..self.nodes.len()).filter(|taker| self.source_of(*taker) == Some(at)).count() as u64;
        self.checks.dropped(at, &self.nodes[at], &lost)?;
        self.forget(at);
        let calls = self.nodes[at].run.take().map(|run| run.calls).unwrap_or_default();
        for call in calls.into_values() {
            // Its connections break, and most of those who wait notice.
            if self.rng.chance(70) {
                let failure = Failure { node: call.asker, life: call.life, peer: at, request: call.request };
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

    /// A tracker that does not list one of the others.
    fn missing_entry(&self) -> Option<(usize, usize)> {
        let members = self.members();
        let all = members.iter().flat_map(|at| members.iter().map(move |to| (*at, *to)));
        all.into_iter().find(|(at, to)| at != to && !self.nodes[*at].listed.contains(to))
    }

    /// A record on a disk is lost or damaged, and nobody is told.
    fn harm(&mut self, at: usize) -> Result<(), Broken> {
        if !self.harmful {
            return Ok(());
        }
        let disk = &mut self.nodes[at].disk;
        let Some(id) = disk.image().victim(&mut self.rng) else { return Ok(()) };
        let harm =
            *self.rng.pick(&[Harm::RecordLost, Harm::RowLost, Harm::Damaged]).unwrap_or(&Harm::Damaged);
        disk.image_mut().harm(&id, harm);
        disk.harmed += 1;
        self.checks.harm(at, id);
        self.report.harmed += 1;
        self.trace.add("harm", &[self.now.0, at as u64, harm as u64]);
        self.trace.note(|| format!("{harm:?} on {at}: {id:?}"));
        Ok(())
    }

    /// A new tracker, on everybody's list.
    fn join(&mut self) -> Result<(), Broken> {
        let members = self.members();
        if members.len() as u64 >= TRACKERS_MAX || self.nodes.len() >= NODES_MAX {
            return Ok(());
        }
        let at = self.nodes.len();
        self.nodes.push(Node::new(&mut self.rng, members.iter().copied().collect()));
        self.report.joined += 1;
        self.trace.add("join", &[self.now.0, at as u64]);
        for other in members {
            self.edit_list(other, at)?;
        }
        self.start(at)
    }

    /// A tracker leaves for good, with its disk, and everybody's list.
    fn retire(&mut self, at: usize) -> Result<(), Broken> {
        if self.members().len() < 2 {
            return Ok(());
        }
        self.crash(at)?;
        self.nodes[at].wipe(&mut self.rng);
        self.nodes[at].retired = true;
        self.report.retired += 1;
        self.trace.add("retire", &[self.now.0, at as u64]);
        for other in self.members() {
            if self.nodes[other].listed.contains(&at) {
                self.edit_list(other, at)?;
            }
        }
        Ok(())
    }

    /// From whom this tracker takes a snapshot now.
    fn source_of(&self, at: usize) -> Option<usize> {
        let status = self.nodes[at].run.as_ref()?.replica.status();
        status.snapshot_from.map(|peer| peer.0 as usize)
    }

    /// Whoever takes a snapshot fails in the middle of it, or its source does; that one may come back at once, as it
    /// was or with less.
    fn break_snapshot(&mut self) -> Result<(), Broken> {
        let takers: Vec<_> = (0..self.nodes.len()).filter_map(|at| Some((at, self.source_of(at)?))).collect();
        let Some((taker, source)) = self.rng.pick(&takers).copied() else { return Ok(()) };
        if self.rng.chance(40) {
            self.crash(taker)?;
            return if self.rng.chance(50) { self.start(taker) } else { Ok(()) };
        }
        self.crash(source)?;
        match self.rng.between(0, 3) {
            0 => self.nodes[source].wipe(&mut self.rng),
            1 => self.restore(source)?,
            _ => {}
        }
        if self.rng.chance(70) { self.start(source) } else { Ok(()) }
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
        let members = self.members();
        for &node in &members {
            self.nodes[node].disk.commit_ms_max = 20;
            self.nodes[node].disk.full = false;
            for &other in &members {
                if node != other && !self.nodes[node].listed.contains(&other) {
                    self.edit_list(node, other)?;
                }
            }
            self.start(node)?;
        }
        Ok(())
    }
}
