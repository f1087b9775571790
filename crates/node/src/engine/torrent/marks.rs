//! What a repair is about to write over complete files is saved first, durably.
//!
//! A program that is killed while it repairs leaves a file with another time and half a piece. At the next start that is
//! known for its own work by these marks, and by nothing else: without one it is somebody's edit.

use std::io;

use super::Owner;
use super::work::RETRY_EVERY;

impl Owner {
    /// Whether a piece goes below the part, or it is saved that it is put over what is complete.
    pub(super) fn may_write(&self, piece: u32) -> bool {
        let file = self.shared.metainfo.piece_file(piece).file;
        !self.shared.storage.files().is_settled(file) || self.work.marks.get(&piece) == Some(&true)
    }

    /// Has it saved which pieces are about to be put over files at their final place.
    pub(super) fn mark_repairs(&mut self) {
        let unsaved = |owner: &Self| -> Vec<u32> {
            let pieces = owner.work.queue.iter().map(|job| job.piece);
            pieces.filter(|piece| !owner.may_write(*piece)).collect()
        };
        let pieces = unsaved(self);
        if pieces.is_empty() {
            return;
        }
        pieces.into_iter().for_each(|piece| _ = self.work.marks.insert(piece, false));
        if !self.work.saving {
            self.report.progress();
            self.save(self.now(), true);
        }
        if !self.work.saving {
            // It is not shared any more, so nothing of it is mended.
            for piece in unsaved(self) {
                self.work.marks.remove(&piece);
                self.work.queue.retain(|job| job.piece != piece);
            }
        }
    }

    /// It could not be saved which pieces are about to be written: they are kept and tried again.
    pub(super) fn marks_failed(&mut self, error: &io::Error) {
        let now = self.now();
        let (ready, failed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.work.queue).into_iter().partition(|job| self.may_write(job.piece));
        self.work.queue = ready.into();
        if !failed.is_empty() {
            failed.iter().for_each(|job| _ = self.work.marks.remove(&job.piece));
            self.work.stuck.extend(failed);
            self.repair_failed(now, error);
            self.work.retry_at = Some(now.after(RETRY_EVERY));
        }
    }

    /// A piece is written, or was not: what its file looks like now is to be saved.
    pub(super) fn unmark(&mut self, piece: u32) {
        if self.work.marks.remove(&piece).is_some() {
            self.report.progress();
        }
    }
}
