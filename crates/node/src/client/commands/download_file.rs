//! `download_file`: starts in the background, if somebody offers the file now.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_ledger::FileView;
use peerage_link::api::path;
use peerage_metainfo::Metainfo;
use peerage_types::InfoHash;
use peerage_types::limits::METAINFO_BYTES_MAX;
use peerage_wire::Bitfield;

use super::super::destination::Destination;
use super::super::downloads::{DownloadEntry, DownloadState};
use super::super::reply::Started;
use super::super::session::Session;
use super::super::snapshot::{GroupState, unix_ms};
use super::super::transfers::refuse_add;
use super::super::{GroupRef, Node, Refusal};
use super::select::select;
use super::upload_file::folder_files;
use crate::engine::TorrentState;

/// Trackers tell each other every second who is online.
const PRESENCE_TRIES: u32 = 5;
const PRESENCE_PAUSE: Duration = Duration::from_millis(300);
/// How long a command waits until what lies at the place was read, and how often it looks.
const CHECK_WAIT_MAX: Duration = Duration::from_secs(3);
const CHECK_LOOK: Duration = Duration::from_millis(20);

/// How to download.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownloadOptions {
    /// Patterns of files inside of a folder; all files if there are none. See `select`.
    pub only: Vec<String>,
    /// Overwrite files of other content that lie at the place.
    pub into_existing: bool,
    /// Fetch the beginning and the end of each file first.
    pub preview: bool,
    /// Do not share it on when it is complete, beyond what the others need to do without us.
    pub leave: bool,
}

impl Node {
    /// Starts a download, or adds files to one of some files of a folder. `destination` is a folder or a file name.
    pub async fn download_file(
        &self,
        group: &GroupRef,
        file: &str,
        destination: &str,
        options: &DownloadOptions,
    ) -> Result<Started, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let file = listed(&state, file).ok_or(Refusal::FileUnknown)?;
        let place = Destination::resolve(destination, &file.name)?;
        let before = session.downloads.get(&file.info_hash);
        let before = before.filter(|entry| entry.wanted.is_some() && entry.path() == place.path());
        if before.is_none() {
            not_here(&session, &file.info_hash)?;
        }
        somebody_offers(&session, &state, file).await?;
        let metainfo = metainfo(&session, file).await?;
        let mut wanted = select(&metainfo, &options.only)?;
        if let Some(before) = &before {
            wanted = joined(wanted, before.wanted(&metainfo));
        }
        let files = (0_u32..).zip(metainfo.files());
        let files = files.filter(|(file, _)| wanted.as_ref().is_none_or(|wanted| wanted.get(*file)));
        let size = files.map(|(_, file)| file.size).sum();
        let entry = DownloadEntry {
            group: state.view.group,
            group_name: group.to_string(),
            name: file.shown.clone(),
            metainfo: file.metainfo,
            manifest: file.manifest,
            size,
            folder: unicode(&place.folder)?,
            file_name: place.file_name.clone(),
            state: DownloadState::Running,
            started_unix_ms: unix_ms(),
            took_ms: None,
            sources: Vec::new(),
            wanted: wanted.map(|wanted| wanted.to_wire().to_vec().into()),
            paused: false,
            preview: options.preview,
            into_existing: options.into_existing,
            levels: before.and_then(|before| before.levels),
            files: folder_files(&metainfo).unwrap_or(0),
            leave: options.leave,
            left: false,
        };
        let starting = Starting::begin(&session, file.info_hash);
        let peers = start(&session, file.info_hash, entry, metainfo).await;
        let peers = peers.inspect_err(|_| starting.answered())?;
        Ok(Started { name: file.shown.clone(), size, path: place.path(), peers })
    }

    /// Refuses names that the group does not list.
    pub async fn all_listed(&self, group: &GroupRef, names: &[String]) -> Result<(), Refusal> {
        let state = self.inner.session()?.my_group(group).await?;
        Refusal::unless_listed(names, |name| listed(&state, name).is_some()).map_or(Ok(()), Err)
    }
}

/// While the command that starts a download has not answered: why it ends meanwhile is that answer, and no notice.
struct Starting<'a> {
    session: &'a Session,
    info_hash: InfoHash,
}

impl<'a> Starting<'a> {
    fn begin(session: &'a Session, info_hash: InfoHash) -> Self {
        session.starting().insert(info_hash, None);
        Self { session, info_hash }
    }

    /// The command says why it did not work.
    fn answered(&self) {
        self.session.starting().remove(&self.info_hash);
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let ended = self.session.starting().remove(&self.info_hash).flatten();
        if let Some(why) = ended {
            self.session.stopped(&self.info_hash, why);
        }
    }
}

/// Both selections; all files if one is all.
fn joined(a: Option<Bitfield>, b: Option<Bitfield>) -> Option<Bitfield> {
    let (mut a, b) = (a?, b?);
    for file in b.iter_set() {
        a.set(file);
    }
    (!a.is_full()).then_some(a)
}

/// The file that a command names: as it is shown, in any Unicode form.
pub(super) fn listed<'a>(state: &'a GroupState, name: &str) -> Option<&'a FileView> {
    state.view.file(name).or_else(|| {
        let normal = peerage_types::FileName::normalized(name).ok()?;
        state.view.file(normal.as_str())
    })
}

/// Refuses what this device has or fetches already.
fn not_here(session: &Session, info_hash: &InfoHash) -> Result<(), Refusal> {
    let running = session.engine.status().into_iter().find(|s| s.info_hash == *info_hash);
    let failed = running.as_ref().is_some_and(|s| matches!(s.state, TorrentState::Failed { .. }));
    match (session.downloads.get(info_hash), session.shares.get(info_hash)) {
        _ if failed => Ok(()),
        (Some(entry), _) if entry.state == DownloadState::Running && running.is_some() => {
            Err(Refusal::AlreadyDownloading { path: entry.path() })
        }
        (_, Some(entry)) if running.is_some() => Err(Refusal::AlreadyShared { path: entry.path.into() }),
        _ => Ok(()),
    }
}

/// Refuses what nobody offers. A sharer that has just come may not be known everywhere yet.
async fn somebody_offers(session: &Session, state: &GroupState, file: &FileView) -> Result<(), Refusal> {
    for _ in 0..PRESENCE_TRIES {
        let online = session.presence(state.view.group).await.map_err(|e| session.refuse(e))?;
        if online.get(&file.info_hash).is_some_and(|f| f.seeders + f.leechers > 0) {
            return Ok(());
        }
        tokio::time::sleep(PRESENCE_PAUSE).await;
    }
    Err(Refusal::NobodySharing)
}

/// The metainfo file, from here or from a tracker, checked against what the group says.
pub(super) async fn metainfo(session: &Session, file: &FileView) -> Result<Arc<Metainfo>, Refusal> {
    if let Some(kept) = session.metainfo.get(&file.metainfo) {
        return Ok(kept);
    }
    let bytes = session.trackers.get_bytes(&path::metainfo(&file.metainfo), METAINFO_BYTES_MAX).await;
    let bytes = bytes.map_err(|error| session.refuse(error))?;
    let parsed = tokio::task::spawn_blocking(move || Metainfo::parse(&bytes)).await;
    let metainfo =
        parsed.map_err(|e| Refusal::Local(e.to_string()))?.map_err(|e| Refusal::Untrusted(e.to_string()))?;
    let as_signed = metainfo.id() == file.metainfo
        && metainfo.info_hash() == file.info_hash
        && metainfo.content_id() == file.content
        && metainfo.total_bytes() == file.size
        && folder_files(&metainfo) == file.folder_files;
    if !as_signed {
        return Err(Refusal::Untrusted("the metainfo is not the one that the sharer signed".to_owned()));
    }
    session.metainfo.put(&metainfo).map_err(|e| Refusal::Local(e.to_string()))?;
    Ok(Arc::new(metainfo))
}

/// Starts it, and takes everything back if there turns out to be nobody to ask. Tells how many peers there are.
async fn start(
    session: &Arc<Session>,
    info_hash: InfoHash,
    entry: DownloadEntry,
    metainfo: Arc<Metainfo>,
) -> Result<usize, Refusal> {
    let local = |e: super::super::folder::FolderError| Refusal::Local(e.to_string());
    let before = session.downloads.get(&info_hash);
    // What failed earlier may still be there.
    session.engine.remove(info_hash).await;
    session.downloads.put(info_hash, entry.clone()).map_err(local)?;
    if let Err(error) = session.fetch(&entry, metainfo, false).await {
        restore(session, info_hash, before).await.map_err(local)?;
        return Err(refuse_add(error));
    }
    if let Some(why) = ended_at_once(session, &info_hash).await {
        session.engine.remove(info_hash).await;
        restore(session, info_hash, before).await.map_err(local)?;
        return Err(Refusal::Local(why));
    }
    if session.is_seeding(&info_hash) {
        // The very file lies there already.
        session.completed(info_hash).await;
        return Ok(0);
    }
    let announced = session.announce(Some(&BTreeSet::from([info_hash]))).await;
    let announced = announced.map_err(|error| session.refuse(error));
    let peers =
        announced.map(|a| a.peers.iter().find(|(hash, _)| *hash == info_hash).map(|(_, peers)| *peers));
    match peers {
        // Checking what lies at the place comes first; peers are asked for afterwards.
        Ok(None) => Ok(0),
        Ok(Some(peers)) if peers > 0 => Ok(peers),
        refused => {
            session.engine.remove(info_hash).await;
            restore(session, info_hash, before).await.map_err(local)?;
            session.announce_anew().await;
            Err(refused.err().unwrap_or(Refusal::NobodySharing))
        }
    }
}

/// Why a download has ended before it began: something of the right size lies at its place, and is other content. Reading
/// what is large takes longer than a command should; then the download itself tells.
async fn ended_at_once(session: &Session, info_hash: &InfoHash) -> Option<String> {
    let started = Instant::now();
    loop {
        match &session.engine.torrent(info_hash)?.state {
            TorrentState::Failed { why } => return Some(why.clone()),
            TorrentState::Checking if started.elapsed() < CHECK_WAIT_MAX => {}
            _ => return None,
        }
        tokio::time::sleep(CHECK_LOOK).await;
    }
}

/// As it was before; what was running goes on.
async fn restore(
    session: &Session,
    info_hash: InfoHash,
    before: Option<DownloadEntry>,
) -> Result<(), super::super::folder::FolderError> {
    let Some(entry) = before else { return session.downloads.remove(&info_hash).map(|_| ()) };
    session.downloads.put(info_hash, entry.clone())?;
    if let Err(error) = session.resume_download(&entry).await {
        tracing::info!(%error, "the earlier download does not go on");
    }
    Ok(())
}

fn unicode(path: &Path) -> Result<String, Refusal> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Refusal::Local(format!("the path `{}` is not Unicode", path.display())))
}
