//! `upload_file`: hash in place, keep the metainfo on a tracker, state Manifest and Share. The file stays where it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use peerage_ledger::{Body, FileView};
use peerage_link::api::{ErrorCode, path};
use peerage_metainfo::{HashError, HashJob, Hashed, Leaves, Metainfo, Skipped, hash_path};
use peerage_types::{FileName, GroupId};

use super::super::bundle::refused;
use super::super::outbox::Unreachable;
use super::super::reply::{Notice, Uploaded};
use super::super::session::Session;
use super::super::shares::ShareEntry;
use super::super::snapshot::GroupState;
use super::super::transfers::refuse_add;
use super::super::{GroupRef, Node, Refusal};

/// Is told how far hashing is, from several threads, one at a time.
pub type HashReport = Arc<dyn Fn(HashStep) + Send + Sync>;

/// How far hashing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashStep {
    /// So many bytes are to be hashed; said once, first.
    Found(u64),
    /// So many are done.
    Done(u64),
}

/// Stops the hashing when the command is given up.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Node {
    /// Shares a file or a folder with a group, where it lies.
    pub async fn upload_file(
        &self,
        given: &Path,
        group: &GroupRef,
        report: HashReport,
    ) -> Result<Uploaded, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(group).await?;
        let (path, name) = source(given)?;
        let hashed = hash(path.clone(), name, state.view.group, report, given).await?;
        let skipped = skipped(&path, &hashed.skipped);
        let metainfo = Arc::new(hashed.metainfo);
        let file = listed(&state, &metainfo)?;
        let offered = offer(&session, &state, &metainfo, path, hashed.leaves).await?;
        if let Err(refusal) = publish(&session, &state, &metainfo, file.as_ref()).await {
            if offered {
                session.engine.remove(metainfo.info_hash()).await;
                session.forget_share(&metainfo.info_hash());
            }
            return Err(refusal);
        }
        session.announce_now().await;
        Ok(Uploaded {
            name: metainfo.name().to_string(),
            size: metainfo.total_bytes(),
            content: metainfo.content_id(),
            joined_existing: file.is_some(),
            skipped,
        })
    }
}

/// What was left out of the folder, a sentence each.
fn skipped(folder: &Path, skipped: &Skipped) -> Vec<String> {
    let short = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let named =
        skipped.named.iter().map(|(path, what)| format!("`{}` is {what} and was left out", short(path)));
    let mut lines: Vec<String> = named.collect();
    let more = skipped.count - skipped.named.len();
    if more > 0 {
        lines.push(format!("{more} more were left out"));
    }
    lines
}

/// The file or folder itself and the name that it is to have in the group.
fn source(given: &Path) -> Result<(PathBuf, FileName), Refusal> {
    let missing = |_| Refusal::NoSuchPath { path: given.to_owned() };
    let path = given.canonicalize().map_err(missing)?;
    // A link is shared under its own name.
    let name = given.file_name().or_else(|| path.file_name()).and_then(|n| n.to_str());
    let not_unicode = || Refusal::Local(format!("the name of `{}` is not Unicode", given.display()));
    if path.to_str().is_none() {
        return Err(not_unicode());
    }
    Ok((path.clone(), FileName::normalized(name.ok_or_else(not_unicode)?)?))
}

async fn hash(
    path: PathBuf,
    name: FileName,
    group: GroupId,
    report: HashReport,
    given: &Path,
) -> Result<Hashed, Refusal> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let _stop = CancelOnDrop(Arc::clone(&cancelled));
    let work = move || {
        hash_path(&HashJob {
            path: &path,
            name: &name,
            group,
            found: &|bytes| report(HashStep::Found(bytes)),
            progress: &|bytes| report(HashStep::Done(bytes)),
            cancelled: &cancelled,
        })
    };
    let hashed = tokio::task::spawn_blocking(work).await.map_err(|e| Refusal::Local(e.to_string()))?;
    hashed.map_err(|error| match error {
        HashError::NotFound(_) => Refusal::NoSuchPath { path: given.to_owned() },
        error @ HashError::Changed(_) => {
            Refusal::Local(format!("{error}: share it again when nothing writes to it any more"))
        }
        error => Refusal::Local(error.to_string()),
    })
}

/// The file as the group lists it, if it does. Another content of that name is refused.
fn listed(state: &GroupState, metainfo: &Metainfo) -> Result<Option<FileView>, Refusal> {
    let same_name = || state.view.files.iter().filter(|file| file.name == *metainfo.name());
    if let Some(file) = same_name().find(|file| file.info_hash == metainfo.info_hash()) {
        return Ok(Some(file.clone()));
    }
    match same_name().find(|file| file.content != metainfo.content_id()) {
        Some(file) => {
            Err(Refusal::SameNameOtherContent { ours: metainfo.content_id(), theirs: file.content })
        }
        None => Ok(None),
    }
}

/// Lets the engine offer it. False when this device offers it already.
async fn offer(
    session: &Session,
    state: &GroupState,
    metainfo: &Arc<Metainfo>,
    path: PathBuf,
    leaves: Leaves,
) -> Result<bool, Refusal> {
    let (group, info_hash) = (state.view.group, metainfo.info_hash());
    let running = session.engine.status().into_iter().find(|s| s.info_hash == info_hash);
    let known = session.shares.get(&info_hash);
    if known.as_ref().is_some_and(|k| Path::new(&k.path) == path) && running.as_ref().is_some_and(is_offered)
    {
        return Ok(false);
    }
    if let Some(running) = &running {
        if session.downloads.get(&info_hash).is_some_and(|d| d.took_ms.is_none()) {
            return Err(Refusal::AlreadyDownloading { path: running.path.clone() });
        }
        session.engine.remove(info_hash).await;
    }
    session.metainfo.put(metainfo).map_err(|e| Refusal::Local(e.to_string()))?;
    if let Err(error) = session.seed(group, Arc::clone(metainfo), path.clone(), Some(leaves)).await {
        if running.is_some() {
            put_back(session, metainfo, known).await;
        }
        return Err(refuse_add(error));
    }
    // Whoever shares it now does not want to leave it any more.
    session.change_download(&info_hash, |d| d.leave = false);
    let entry = ShareEntry {
        group,
        name: metainfo.name().to_string(),
        metainfo: metainfo.id(),
        path: path.to_string_lossy().into_owned(),
    };
    session.shares.put(info_hash, entry).map_err(|e| Refusal::Local(e.to_string()))?;
    Ok(known.is_none())
}

/// What ran before goes on, because it cannot be offered as asked.
async fn put_back(session: &Session, metainfo: &Arc<Metainfo>, known: Option<ShareEntry>) {
    let back = match (known, session.downloads.get(&metainfo.info_hash())) {
        (Some(share), _) => {
            let path = PathBuf::from(&share.path);
            let added = session.seed(share.group, Arc::clone(metainfo), path, None).await;
            added.map_err(|error| error.to_string())
        }
        (None, Some(download)) => session.resume_download(&download).await.map(drop),
        (None, None) => Ok(()),
    };
    if let Err(error) = back {
        session.notify(Notice::Warning(format!("{} is not served any more: {error}", metainfo.name())));
    }
}

/// How many files a folder has; nothing for a single file.
pub(super) fn folder_files(metainfo: &Metainfo) -> Option<u32> {
    let count = || u32::try_from(metainfo.files().len()).unwrap_or(u32::MAX);
    (!metainfo.is_single_file()).then(count)
}

fn is_offered(status: &crate::engine::TorrentStatus) -> bool {
    status.state == crate::engine::TorrentState::Seeding
}

/// States what the file is, unless the group knows it, and that this device shares it, unless it has said so.
async fn publish(
    session: &Session,
    state: &GroupState,
    metainfo: &Arc<Metainfo>,
    file: Option<&FileView>,
) -> Result<(), Refusal> {
    if file.is_some_and(|file| file.shares.iter().any(|share| share.device == session.device)) {
        return Ok(());
    }
    let incarnation = state.view.members.get(&session.user).ok_or(Refusal::NotMember)?.incarnation;
    if file.is_none() {
        let place = path::metainfo_of(&metainfo.group(), &metainfo.id());
        let put = session.trackers.put_bytes(&place, metainfo.bytes()).await;
        put.map_err(|error| session.refuse(error))?;
    }
    let mut bundle = session.bundle(state.view.group, state.facts()).await;
    let manifest = match file {
        Some(file) => file.manifest,
        None => bundle.add(Body::Manifest {
            name: metainfo.name().clone(),
            size: metainfo.total_bytes(),
            content: metainfo.content_id(),
            info_hash: metainfo.info_hash(),
            info_hash_v1: metainfo.info_hash_v1(),
            metainfo: metainfo.id(),
            metainfo_bytes: u32::try_from(metainfo.bytes().len()).unwrap_or(u32::MAX),
            piece_length: metainfo.piece_length(),
            folder_files: folder_files(metainfo),
        }),
    };
    bundle.add(Body::Share { manifest, incarnation });
    bundle.send(Unreachable::GiveUp).await.map_err(|error| match refused(&error) {
        Some(e) if e.code == ErrorCode::SameNameOtherContent => Refusal::SameNameOtherContent {
            ours: metainfo.content_id(),
            theirs: e.theirs.unwrap_or(metainfo.content_id()),
        },
        _ => session.refuse_send(error),
    })
}
