//! Files: what current members share.
//!
//! A Share is its author's word; the Manifest it names is only a description, so whoever wrote that may be
//! gone. Shares with equal descriptions are one file. Different contents under one name (they can only arise
//! while trackers cannot see each other) keep apart: the first shared has the name, the others show as
//! `name#tag`.

use std::collections::{BTreeMap, BTreeSet};

use peerage_types::{
    ContentId, DeviceId, FileName, InfoHash, InfoHashV1, MetainfoId, RecordId, Scope, UserId,
};

use super::members::Member;
use super::scene::Scene;
use crate::body::Body;
use crate::facts::{Fact, Rank};
use crate::names::shown_name;
use crate::receipt::Order;

/// A file or folder that at least one member shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileView {
    /// Its name.
    pub name: FileName,
    /// How to show and to call it: the name, or `name#tag` if another content came first.
    pub shown: String,
    /// The first Manifest with this description that an open Share names.
    pub manifest: RecordId,
    /// Bytes of content.
    pub size: u64,
    /// Content identity.
    pub content: ContentId,
    /// BEP 52 info hash.
    pub info_hash: InfoHash,
    /// BEP 3 info hash, unless the torrent is v2 only.
    pub info_hash_v1: Option<InfoHashV1>,
    /// Content address of the metainfo file.
    pub metainfo: MetainfoId,
    /// Bytes of the metainfo file.
    pub metainfo_bytes: u32,
    /// Bytes per piece.
    pub piece_length: u32,
    /// How many files a folder has; nothing for a single file.
    pub folder_files: Option<u32>,
    /// Open shares, first shared first; never empty.
    pub shares: Vec<ShareView>,
}

/// One open share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareView {
    /// The Share.
    pub share: RecordId,
    /// Who shares.
    pub user: UserId,
    /// On which device.
    pub device: DeviceId,
    /// Since when.
    pub order: Order,
}

pub(super) fn settle(scene: &Scene<'_>, members: &BTreeMap<UserId, Member>) -> Vec<FileView> {
    let closed: BTreeSet<(UserId, RecordId)> = scene
        .acts
        .iter()
        .filter_map(|fact| match fact.record.body() {
            Body::Unshare { share } => Some((fact.record.author(), *share)),
            _ => None,
        })
        .collect();
    // By description; `acts` are in order, so the shares of each are, too.
    let mut found: BTreeMap<&Body, (Rank, Vec<ShareView>)> = BTreeMap::new();
    for fact in &scene.acts {
        let record = &fact.record;
        let (user, share) = (record.author(), record.id());
        let Body::Share { manifest, incarnation } = record.body() else { continue };
        let current = members.get(&user).is_some_and(|member| member.incarnation == *incarnation);
        let Some(manifest) = described(scene, manifest).filter(|_| current) else { continue };
        if !closed.contains(&(user, share)) && scene.device_live(fact) {
            let view = ShareView { share, user, device: record.signer(), order: fact.order };
            let (first, shares) =
                found.entry(manifest.record.body()).or_insert_with(|| (manifest.rank(), Vec::new()));
            *first = manifest.rank().min(*first);
            shares.push(view);
        }
    }
    let mut files: Vec<FileView> =
        found.into_iter().filter_map(|(body, (first, shares))| file(body, first.1, shares)).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| first_share(a).cmp(&first_share(b))));
    show(&mut files);
    files
}

/// A Manifest of this group, by whomever.
fn described<'a>(scene: &Scene<'a>, manifest: &RecordId) -> Option<&'a Fact> {
    scene.facts.get(manifest).filter(|fact| {
        let record = &fact.record;
        record.scope() == Scope::Group(scene.group) && matches!(record.body(), Body::Manifest { .. })
    })
}

pub(super) fn file(body: &Body, manifest: RecordId, shares: Vec<ShareView>) -> Option<FileView> {
    let Body::Manifest {
        name,
        size,
        content,
        info_hash,
        info_hash_v1,
        metainfo,
        metainfo_bytes,
        piece_length,
        folder_files,
    } = body
    else {
        return None;
    };
    Some(FileView {
        name: name.clone(),
        shown: String::new(),
        manifest,
        size: *size,
        content: *content,
        info_hash: *info_hash,
        info_hash_v1: *info_hash_v1,
        metainfo: *metainfo,
        metainfo_bytes: *metainfo_bytes,
        piece_length: *piece_length,
        folder_files: *folder_files,
        shares,
    })
}

fn first_share(file: &FileView) -> Option<(Order, RecordId)> {
    file.shares.first().map(|share| (share.order, share.share))
}

/// Gives each file of a sorted list its shown name. A second description of one content (a false one, or an
/// unusual piece length) is told apart by its Manifest.
fn show(files: &mut [FileView]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut previous: Option<FileName> = None;
    for file in files {
        let first = previous.as_ref() != Some(&file.name);
        let name = file.name.as_str();
        file.shown = shown_name(name, first, &file.content.tag());
        if taken.contains(&file.shown) {
            file.shown = shown_name(name, false, &file.manifest.tag());
        }
        taken.insert(file.shown.clone());
        previous = Some(file.name.clone());
    }
}
