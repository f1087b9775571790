//! What connects a session with its engine: starting and resuming transfers, and sharing on what is complete.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_ledger::Body;
use peerage_metainfo::{Leaves, Metainfo};
use peerage_swarm::Rank;
use peerage_types::{GroupId, InfoHash, RecordId};

use super::Refusal;
use super::bundle::refused;
use super::downloads::{DownloadEntry, DownloadState};
use super::outbox::Unreachable;
use super::reply::Notice;
use super::session::Session;
use super::shares::{NotShared, ShareEntry};
use super::snapshot::{GroupState, unix_ms};
use crate::engine::{AddError, Source, TorrentSpec, TorrentState, TorrentStatus};

/// How long a download that was to be left is served after a restart at the most, as long as after its last piece.
const STAY_MAX: Duration = Duration::from_secs(60);

/// What came back at login.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    pub(super) shares: usize,
    pub(super) downloads: usize,
    pub(super) broken: Vec<String>,
}

impl Session {
    /// Brings back shares and unfinished downloads of groups that this user is still in, as trackers have said since
    /// `begun_unix_ms`, or as it is known from before.
    pub(super) async fn resume(&self, begun_unix_ms: u64) -> Resumed {
        let mut resumed = Resumed::default();
        for (info_hash, entry) in self.shares.all() {
            match self.resume_share(&entry, begun_unix_ms).await {
                Ok(true) => resumed.shares += 1,
                Ok(false) => self.forget_share(&info_hash),
                Err(why) => {
                    resumed.broken.push(match &why {
                        NotShared::Refused { changed: true, why } => {
                            format!(
                                "{}: `{}` is not shared any more: {why}; share it again",
                                entry.name, entry.path
                            )
                        }
                        why => format!("{}: {why}", entry.name),
                    });
                    self.not_shared().insert(info_hash, why);
                }
            }
        }
        let shared: Vec<InfoHash> = self.engine.status().iter().map(|s| s.info_hash).collect();
        for (_, entry) in self.downloads.all().into_iter().filter(|(hash, _)| !shared.contains(hash)) {
            match self.resume_download(&entry).await {
                Ok(true) => resumed.downloads += 1,
                Ok(false) => {}
                Err(error) => resumed.broken.push(format!("{}: {error}", entry.label())),
            }
        }
        resumed
    }

    /// Brings back the shares of a group that waited for a tracker to say who is in it, as trackers have said since
    /// `begun_unix_ms`.
    pub(super) async fn resume_shares(&self, group: GroupId, begun_unix_ms: u64) {
        for (info_hash, entry) in self.unconfirmed_shares().into_iter().filter(|(_, e)| e.group == group) {
            match self.resume_share(&entry, begun_unix_ms).await {
                Ok(true) => {
                    self.not_shared().remove(&info_hash);
                    self.announce_soon.notify_one();
                }
                Ok(false) => self.forget_share(&info_hash),
                Err(why) => _ = self.not_shared().insert(info_hash, why),
            }
        }
    }

    /// Shares that wait for a tracker to say who is in their group.
    pub(super) fn unconfirmed_shares(&self) -> Vec<(InfoHash, ShareEntry)> {
        let waits = |(hash, why): (&InfoHash, &NotShared)| (*why == NotShared::Unconfirmed).then_some(*hash);
        let waiting: Vec<InfoHash> = self.not_shared().iter().filter_map(waits).collect();
        waiting.into_iter().filter_map(|hash| Some((hash, self.shares.get(&hash)?))).collect()
    }

    /// False when it is certain that this user is not in the group any more.
    async fn resume_share(&self, entry: &ShareEntry, begun_unix_ms: u64) -> Result<bool, NotShared> {
        if !self.takes_part(&entry.group) {
            // What is kept may be older than the share.
            let confirmed = self.groups.get(&entry.group);
            return match confirmed.is_some_and(|state| state.fetched_unix_ms() >= begun_unix_ms) {
                true => Ok(false),
                false => Err(NotShared::Unconfirmed),
            };
        }
        let metainfo = self.metainfo.get(&entry.metainfo).ok_or(NotShared::Damaged)?;
        self.seed(entry.group, metainfo, PathBuf::from(&entry.path), None).await?;
        Ok(true)
    }

    pub(super) async fn resume_download(&self, entry: &DownloadEntry) -> Result<bool, String> {
        // What is complete is a share, unless it is only some files of a folder, or was to be fetched only, or the
        // program ended before it had become one.
        let running = entry.state == DownloadState::Running;
        let served = match entry.leave {
            true => !entry.left,
            false => entry.wanted.is_some() || entry.state == DownloadState::Verified,
        };
        if entry.paused || !(running || served) || !self.takes_part(&entry.group) {
            return Ok(false);
        }
        let metainfo =
            self.metainfo.get(&entry.metainfo).ok_or("what is known about it is damaged; start it again")?;
        if !running && !is_there(entry, &metainfo) {
            return Ok(false);
        }
        let info_hash = metainfo.info_hash();
        self.fetch(entry, metainfo, true).await.map_err(|e| e.to_string())?;
        if !running && entry.leave {
            self.staying().insert(info_hash, Instant::now());
        }
        Ok(running)
    }

    fn takes_part(&self, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|state| state.view.is_member(&self.user))
    }

    /// Offers a complete file. `leaves` as hashing gave them; `None` when the engine has seen it before.
    pub(super) async fn seed(
        &self,
        group: GroupId,
        metainfo: Arc<Metainfo>,
        path: PathBuf,
        leaves: Option<Leaves>,
    ) -> Result<(), AddError> {
        self.add(group, metainfo, Source::Seed { path, leaves }).await
    }

    /// Starts a download, or continues it when `continued`: what the user has put into its place since then is never
    /// overwritten.
    pub(super) async fn fetch(
        &self,
        entry: &DownloadEntry,
        metainfo: Arc<Metainfo>,
        continued: bool,
    ) -> Result<(), AddError> {
        let folder = PathBuf::from(&entry.folder);
        let source = Source::Download {
            folder,
            file_name: entry.file_name.clone(),
            wanted: entry.wanted(&metainfo),
            levels: entry.levels(),
            preview: entry.preview,
            into_existing: entry.into_existing && !continued,
        };
        self.add(entry.group, metainfo, source).await
    }

    async fn add(&self, group: GroupId, metainfo: Arc<Metainfo>, source: Source) -> Result<(), AddError> {
        let rank = self.groups.get(&group).and_then(|state| rank(&state, self));
        let mut seed = [0; 8];
        // Any number does; only ties between pieces hang on it.
        let _ = getrandom::fill(&mut seed);
        self.engine.add(TorrentSpec { group, metainfo, source, rank, seed: u64::from_le_bytes(seed) }).await
    }

    /// What people call a torrent of this device.
    pub(super) fn label(&self, info_hash: &InfoHash) -> String {
        let shared = self.shares.get(info_hash).map(|share| share.name);
        let fetched = || self.downloads.get(info_hash).map(|download| download.name);
        shared.or_else(fetched).unwrap_or_else(|| info_hash.tag())
    }

    /// A download has all its bytes: from now on this member counts as a sharer.
    pub(super) async fn completed(self: &Arc<Self>, info_hash: InfoHash) {
        let Some(entry) = self.downloads.get(&info_hash) else { return };
        // Who has only some files, or goes soon, serves them, but does not count as a sharer.
        let shares = entry.wanted.is_none() && !entry.leave;
        // First, for what is not to be done any more once it is verified would be missing if the program ended here.
        if entry.state != DownloadState::Complete && shares && self.shares.get(&info_hash).is_none() {
            let share = ShareEntry {
                group: entry.group,
                name: entry.name.clone(),
                metainfo: entry.metainfo,
                path: entry.path().to_string_lossy().into_owned(),
            };
            if let Err(error) = self.shares.put(info_hash, share) {
                self.notify(Notice::Warning(format!(
                    "{} cannot be remembered as a share: {error}",
                    entry.name
                )));
            }
        }
        if entry.state == DownloadState::Running {
            let status = self.engine.status().into_iter().find(|s| s.info_hash == info_hash);
            let sources = status.map(|s| self.sources(&s)).unwrap_or_default();
            let took = unix_ms().saturating_sub(entry.started_unix_ms);
            self.change_download(&info_hash, |d| {
                d.state = DownloadState::Verified;
                d.took_ms = Some(took);
                d.sources = sources;
            });
        }
        if shares && let Err(error) = self.publish_share(entry.group, &info_hash, entry.manifest).await {
            tracing::info!(%error, "the completed file is not listed as shared by us");
        }
        self.change_download(&info_hash, |d| d.state = DownloadState::Complete);
        self.announce_now().await;
        let (group, name, path) = (entry.group_name.clone(), entry.name.clone(), entry.path());
        self.notify(Notice::Completed { group, name, path });
    }

    /// Completes what turns out to be complete: the file was there already, or the program ended before it was shared.
    pub(super) async fn complete_leftovers(self: &Arc<Self>) {
        for (info_hash, entry) in self.downloads.all() {
            let done = entry.state == DownloadState::Verified && self.takes_part(&entry.group);
            if done || (entry.state == DownloadState::Running && self.is_seeding(&info_hash)) {
                self.completed(info_hash).await;
            } else if entry.leave && !entry.left && entry.state == DownloadState::Complete {
                self.leave_if_due(&info_hash, entry).await;
            }
        }
    }

    /// Ends what was to be fetched only, when the others can do without it.
    async fn leave_if_due(&self, info_hash: &InfoHash, entry: DownloadEntry) {
        let Some(status) = self.engine.torrent(info_hash).filter(|status| status.may_leave) else { return };
        // After a restart others have yet to find their way back.
        let sent = status.peers.iter().map(|peer| peer.bytes_to).sum::<u64>();
        let piece_bytes = status.bytes_total / u64::from(status.piece_map.len().max(1));
        let since = self.staying().get(info_hash).copied();
        if since.is_some_and(|since| since.elapsed() < STAY_MAX && sent < piece_bytes) {
            return;
        }
        // Somebody who shares it by hand meanwhile stays.
        if self.shares.get(info_hash).is_none() {
            self.change_download(info_hash, |d| d.left = true);
            self.engine.remove(*info_hash).await;
            self.staying().remove(info_hash);
            self.announce_anew().await;
            self.notify(Notice::Left { group: entry.group_name, name: entry.name });
        }
    }

    pub(super) fn not_shared(&self) -> MutexGuard<'_, BTreeMap<InfoHash, NotShared>> {
        // As for `staying`.
        self.not_shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn starting(&self) -> MutexGuard<'_, BTreeMap<InfoHash, Option<String>>> {
        // As for `staying`.
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staying(&self) -> MutexGuard<'_, BTreeMap<InfoHash, Instant>> {
        // Single inserts and removes leave the map whole.
        self.staying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the engine have all of it?
    pub(super) fn is_seeding(&self, info_hash: &InfoHash) -> bool {
        self.engine.torrent(info_hash).is_some_and(|status| status.state == TorrentState::Seeding)
    }

    /// States that this device shares a file, unless it has said so already. Without a tracker the outbox says it
    /// later.
    async fn publish_share(
        &self,
        group: GroupId,
        info_hash: &InfoHash,
        manifest: RecordId,
    ) -> Result<(), Refusal> {
        let state = self.refresh(group).await?;
        let Some(member) = state.view.members.get(&self.user) else { return Err(Refusal::NotMember) };
        let file = state.view.files.iter().find(|f| f.info_hash == *info_hash);
        if file.is_some_and(|f| f.shares.iter().any(|s| s.device == self.device)) {
            return Ok(());
        }
        let manifest = file.map_or(manifest, |f| f.manifest);
        let incarnation = member.incarnation;
        let mut bundle = self.bundle(group, state.facts()).await;
        bundle.add(Body::Share { manifest, incarnation });
        let sent = bundle.send(Unreachable::Keep).await;
        if let Err(error) = &sent {
            tracing::debug!(refused = ?refused(error), "share record");
        }
        sent.map_err(|error| self.refuse_send(error))
    }

    /// Bytes per member, by shown name.
    pub(super) fn sources(&self, status: &TorrentStatus) -> Vec<(String, u64)> {
        let state = self.groups.get(&status.group);
        let name = |user| match &state {
            Some(state) => state.user(user),
            None => format!("user#{}", user.tag()),
        };
        let mut sources: Vec<(String, u64)> =
            status.sources.iter().map(|(user, n)| (name(user), *n)).collect();
        sources.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sources
    }

    /// Changes what is kept about a download; a disk that refuses is reported, the transfer goes on.
    pub(super) fn change_download(&self, info_hash: &InfoHash, change: impl FnOnce(&mut DownloadEntry)) {
        if let Err(error) = self.downloads.update(info_hash, change) {
            self.notify(Notice::Warning(format!("the state of a download cannot be kept: {error}")));
        }
    }

    /// Forgets a share; the file itself stays.
    pub(super) fn forget_share(&self, info_hash: &InfoHash) {
        self.not_shared().remove(info_hash);
        if let Err(error) = self.shares.remove(info_hash) {
            self.notify(Notice::Warning(format!("a share cannot be forgotten: {error}")));
        }
    }

    /// Stops everything that belongs to a group which this user is no longer in. Unfinished downloads stay listed;
    /// they go on if the user comes back.
    pub(super) async fn leave_swarms(&self, group: GroupId) {
        let running = self.engine.status().into_iter().filter(|s| s.group == group);
        for info_hash in running.map(|s| s.info_hash) {
            self.engine.remove(info_hash).await;
            self.forget_share(&info_hash);
        }
        self.announce_soon.notify_one();
    }

    /// Forgets a group's unfinished downloads, because the user has left by their own choice.
    pub(super) fn forget_downloads(&self, group: GroupId) {
        let unfinished = |d: &DownloadEntry| d.group == group && d.state == DownloadState::Running;
        for (info_hash, _) in self.downloads.all().into_iter().filter(|(_, d)| unfinished(d)) {
            if let Err(error) = self.downloads.remove(&info_hash) {
                self.notify(Notice::Warning(format!("a download cannot be forgotten: {error}")));
            }
        }
    }

    /// Why an unfinished download stands still.
    pub(super) fn why_not_running(&self, entry: &DownloadEntry) -> String {
        let why = match (self.takes_part(&entry.group), entry.paused) {
            (false, _) => "you are not in this group",
            (true, true) => "paused",
            (true, false) => "not running",
        };
        why.to_owned()
    }

    /// Lets downloads go on that stopped when this user was put out of the group.
    pub(super) async fn resume_downloads(&self, group: GroupId) {
        let running: Vec<InfoHash> = self.engine.status().iter().map(|s| s.info_hash).collect();
        for (info_hash, entry) in self.downloads.all() {
            if entry.group != group || running.contains(&info_hash) {
                continue;
            }
            match self.resume_download(&entry).await {
                Ok(true) => self.announce_soon.notify_one(),
                Ok(false) => {}
                Err(error) => tracing::info!(%error, "a download does not go on"),
            }
        }
    }
}

/// Whether the files that a finished download wanted still lie there: what the user took away is not fetched again.
fn is_there(entry: &DownloadEntry, metainfo: &Metainfo) -> bool {
    let (wanted, place) = (entry.wanted(metainfo), entry.path());
    if metainfo.is_single_file() {
        return place.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == entry.size);
    }
    let files = (0_u32..).zip(metainfo.files());
    let mut wanted = files.filter(|(file, _)| wanted.as_ref().is_none_or(|wanted| wanted.get(*file)));
    wanted.all(|(_, file)| {
        let meta = file.path.under(&place).symlink_metadata();
        meta.is_ok_and(|meta| meta.is_file() && meta.len() == file.size)
    })
}

/// Our place among the members: each starts with other pieces.
fn rank(state: &GroupState, session: &Session) -> Option<Rank> {
    let rank = state.view.members.keys().position(|user| *user == session.user)?;
    Some(Rank { rank: u32::try_from(rank).ok()?, of: u32::try_from(state.view.members.len()).ok()? })
}

/// What a refused torrent means to a command.
pub(super) fn refuse_add(error: AddError) -> Refusal {
    match error {
        AddError::PathTaken { path, why } => Refusal::DestinationTaken { path, why },
        AddError::PathInUse { path } => {
            Refusal::DestinationTaken { path, why: "another transfer uses it".to_owned() }
        }
        error => Refusal::Local(error.to_string()),
    }
}
