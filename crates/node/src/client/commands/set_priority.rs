//! `set_priority`: which files of a folder come first, last, or not at all.

use peerage_swarm::Priority;
use peerage_wire::Bitfield;

use super::super::{GroupRef, Node, Refusal};
use super::pause_download::unfinished;
use super::select::select;

/// How much a file of a download is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePriority {
    /// Before everything else.
    High,
    /// Like most.
    Normal,
    /// When nothing else is left.
    Low,
    /// Not at all.
    Skip,
}

/// `set_priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrioritySet {
    /// Files that were meant.
    pub files: u32,
    /// Files that are fetched now.
    pub selected: u32,
    /// Files there are.
    pub total: u32,
}

impl Node {
    /// Says how much files of a folder that is being downloaded are wanted: those that any of the patterns picks, or all.
    /// It holds over restarts.
    pub async fn set_priority(
        &self,
        group: &GroupRef,
        file: &str,
        priority: FilePriority,
        only: &[String],
    ) -> Result<PrioritySet, Refusal> {
        let session = self.inner.session()?;
        let (info_hash, mut entry) = unfinished(&session, group, file)?;
        let metainfo = session.metainfo.get(&entry.metainfo).ok_or_else(|| {
            Refusal::Local(format!("what is known about {} is damaged; start it again", entry.label()))
        })?;
        if metainfo.is_single_file() {
            return Err(Refusal::NotAFolder);
        }
        let picked = select(&metainfo, only)?;
        let total = entry.files;
        let before = entry.wanted(&metainfo).unwrap_or_else(|| Bitfield::full(total));
        let mut wanted = before.clone();
        let mut levels = entry.levels();
        levels.resize(metainfo.files().len(), Priority::Normal);
        let mut files = 0;
        for (index, level) in (0..total).zip(&mut levels) {
            if !picked.as_ref().is_none_or(|picked| picked.get(index)) {
                continue;
            }
            files += 1;
            *level = match priority {
                FilePriority::High => Priority::First,
                FilePriority::Normal | FilePriority::Skip => Priority::Normal,
                FilePriority::Low => Priority::Low,
            };
            match priority {
                FilePriority::Skip => wanted.clear(index),
                _ => wanted.set(index),
            };
        }
        if wanted.count() == 0 {
            return Err(Refusal::Local(
                "no file of this download would be left: cancel_download ends it".to_owned(),
            ));
        }
        let more = wanted.iter_set().any(|index| !before.get(index));
        let sizes = (0..total).zip(metainfo.files()).filter(|(index, _)| wanted.get(*index));
        entry.size = sizes.map(|(_, file)| file.size).sum();
        let selected = wanted.count();
        entry.wanted = (!wanted.is_full()).then(|| wanted.to_wire().to_vec().into());
        entry.set_levels(&levels);
        let kept = session.downloads.update(&info_hash, |d| {
            (d.size, d.wanted, d.levels) = (entry.size, entry.wanted.clone(), entry.levels.clone());
        });
        kept.map_err(|error| Refusal::local("priorities cannot be kept", error))?;
        let running = session.engine.status().iter().any(|status| status.info_hash == info_hash);
        if running && more {
            // Something may lie at the place of a file that was not wanted before.
            session.engine.remove(info_hash).await;
            session.resume_download(&entry).await.map_err(Refusal::Local)?;
            session.announce_now().await;
        } else if running {
            session.engine.set_files(info_hash, entry.wanted(&metainfo), &entry.levels(), entry.preview);
        }
        Ok(PrioritySet { files, selected, total })
    }
}
