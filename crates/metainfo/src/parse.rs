//! Taking a metainfo file from outside.
//!
//! Only what carries information is read: name, group, piece length, file tree, hashes. The file is then written
//! anew and must come out the same, so every other rule (key sets, pad files, v1 list) has one source, `assemble`.

use std::collections::BTreeMap;

use peerage_bencode::{Dict, Value, decode};
use peerage_types::limits::{METAINFO_BYTES_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MIN};
use peerage_types::{FileName, GroupId, InfoHashV1, SafePath, Sha256};

use crate::assemble::{Draft, is_hybrid, layer_root};
use crate::error::MetainfoError;
use crate::layout::{Layout, PathBudget};
use crate::model::{FileEntry, Metainfo};
use crate::twins;

impl Metainfo {
    /// Checks everything that can be checked without the content: a canonical hybrid of v1 and v2 (v2 only above
    /// [`crate::HYBRID_FILES_MAX`] files) whose halves agree on files and number of pieces, whose piece layers
    /// belong to their roots, private, with a group id as its source, and byte for byte what we would write.
    ///
    /// What only someone with the content can check is that the SHA-1 pieces belong to the same content.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > METAINFO_BYTES_MAX {
            return Err(MetainfoError::TooLong(bytes.len() as u64));
        }
        let value = decode(bytes)?;
        let top = value.as_dict().ok_or(MetainfoError::Field { key: "info", expected: "a dictionary" })?;
        let info = dict(top, "info")?;
        check_constants(info)?;
        let name: FileName = text(info, "name")?.parse()?;
        let group = GroupId::from_hex(text(info, "source")?).ok_or(MetainfoError::Source)?;
        let piece_length = piece_length(info)?;

        let mut walk = Walk::default();
        walk.folder(dict(info, "file tree")?)?;
        let files = walk.files;
        if files.is_empty() {
            return Err(MetainfoError::NoFiles);
        }
        let single_file = info.get("length").is_some();
        let is_named = |file: &FileEntry| matches!(file.path.components(), [only] if *only == name);
        if single_file && !matches!(files.as_slice(), [file] if is_named(file)) {
            return Err(MetainfoError::SingleFile);
        }

        if !single_file {
            twins::check(&files.iter().map(|file| &file.path).collect::<Vec<_>>())?;
        }

        let layout = Layout::new(files.iter().map(|file| file.size), piece_length)?;
        let pieces_v1 = if is_hybrid(files.len()) { pieces_v1(info, &layout)? } else { &[] };
        let layers = layers(dict(top, "piece layers")?, &files, &layout)?;
        let draft = Draft { name, group, single_file, files, layout, layers, pieces_v1 };
        let metainfo = draft.seal()?;
        match metainfo.bytes == bytes {
            true => Ok(metainfo),
            false => Err(MetainfoError::NotCanonical { at: first_difference(&metainfo.bytes, bytes) }),
        }
    }
}

fn check_constants(info: &Dict<'_>) -> Result<(), MetainfoError> {
    match (integer(info, "meta version")?, integer(info, "private")?) {
        (2, 1) => Ok(()),
        (2, private) => Err(MetainfoError::NotPrivate(private)),
        (version, _) => Err(MetainfoError::Version(version)),
    }
}

fn piece_length(info: &Dict<'_>) -> Result<u32, MetainfoError> {
    let length = integer(info, "piece length")?;
    u32::try_from(length)
        .ok()
        .filter(|it| it.is_power_of_two() && (PIECE_BYTES_MIN..=PIECE_BYTES_MAX).contains(it))
        .ok_or(MetainfoError::PieceLength(length))
}

/// Collects the files of a file tree, which comes sorted. Bencode's depth bounds both the recursion and the paths, to
/// [`crate::PATH_DEPTH_MAX`] components.
#[derive(Default)]
struct Walk<'a> {
    path: Vec<&'a str>,
    files: Vec<FileEntry>,
    budget: PathBudget,
}

impl<'a> Walk<'a> {
    fn folder(&mut self, folder: &Dict<'a>) -> Result<(), MetainfoError> {
        for (name, value) in folder.iter() {
            let Ok(text) = std::str::from_utf8(name) else {
                return Err(MetainfoError::Entry(name.escape_ascii().to_string()));
            };
            self.path.push(text);
            let inner = value.as_dict().filter(|inner| !inner.is_empty());
            let inner = inner.ok_or_else(|| MetainfoError::Entry(self.place()))?;
            match inner.get("") {
                Some(leaf) if inner.len() == 1 => self.file(leaf)?,
                Some(_) => return Err(MetainfoError::Entry(self.place())),
                None => self.folder(inner)?,
            }
            self.path.pop();
        }
        Ok(())
    }

    fn file(&mut self, leaf: &Value<'a>) -> Result<(), MetainfoError> {
        self.budget.charge(self.path.iter().copied())?;
        let path = SafePath::new(&self.path)?;
        let leaf = leaf.as_dict().ok_or_else(|| MetainfoError::Entry(path.to_string()))?;
        let length = integer(leaf, "length")?;
        let size =
            u64::try_from(length).map_err(|_| MetainfoError::Length { path: path.to_string(), length })?;
        let root = leaf.get("pieces root").and_then(Value::as_bytes).and_then(Sha256::from_slice);
        if root.is_some() != (size > 0) {
            return Err(MetainfoError::Root(path.to_string()));
        }
        self.files.push(FileEntry { path, size, root });
        Ok(())
    }

    /// The current path for a message: escaped and bounded, because it is not checked yet.
    fn place(&self) -> String {
        self.path.join("/").escape_debug().take(200).collect()
    }
}

fn pieces_v1<'a>(info: &Dict<'a>, layout: &Layout) -> Result<&'a [u8], MetainfoError> {
    let pieces = bytes(info, "pieces")?;
    let expected = u64::from(layout.piece_count) * InfoHashV1::LEN as u64;
    match pieces.len() as u64 == expected {
        true => Ok(pieces),
        false => Err(MetainfoError::Pieces { found: pieces.len(), expected }),
    }
}

/// The layers that the files need, each checked once against its root however many files share it.
fn layers<'a>(
    found: &Dict<'a>,
    files: &[FileEntry],
    layout: &Layout,
) -> Result<BTreeMap<Sha256, &'a [u8]>, MetainfoError> {
    let mut layers = BTreeMap::new();
    for span in layout.spans.iter().filter(|span| layout.has_layer(span)) {
        let Some((file, root)) = files.get(span.file).and_then(|file| Some((file, file.root?))) else {
            continue;
        };
        let layer = found.get(&root.0).and_then(Value::as_bytes).unwrap_or_default();
        let expected = u64::from(layout.pieces_of(span)) * Sha256::LEN as u64;
        if layer.len() as u64 != expected {
            let path = file.path.to_string();
            return Err(MetainfoError::LayerLength { path, found: layer.len(), expected });
        }
        if layers.insert(root, layer).is_none() {
            let hashes: Vec<Sha256> =
                layer.chunks_exact(Sha256::LEN).filter_map(Sha256::from_slice).collect();
            if layer_root(&hashes, layout) != root {
                return Err(MetainfoError::LayerRoot(file.path.to_string()));
            }
        }
    }
    Ok(layers)
}

fn dict<'d, 'a>(dict: &'d Dict<'a>, key: &'static str) -> Result<&'d Dict<'a>, MetainfoError> {
    let value = dict.get(key).and_then(Value::as_dict);
    value.ok_or(MetainfoError::Field { key, expected: "a dictionary" })
}

fn bytes<'a>(dict: &Dict<'a>, key: &'static str) -> Result<&'a [u8], MetainfoError> {
    let value = dict.get(key).and_then(Value::as_bytes);
    value.ok_or(MetainfoError::Field { key, expected: "a byte string" })
}

fn text<'a>(dict: &Dict<'a>, key: &'static str) -> Result<&'a str, MetainfoError> {
    dict.get(key).and_then(Value::as_str).ok_or(MetainfoError::Field { key, expected: "text in UTF-8" })
}

fn integer(dict: &Dict<'_>, key: &'static str) -> Result<i64, MetainfoError> {
    dict.get(key).and_then(Value::as_int).ok_or(MetainfoError::Field { key, expected: "an integer" })
}

fn first_difference(ours: &[u8], theirs: &[u8]) -> usize {
    ours.iter().zip(theirs).take_while(|(a, b)| a == b).count()
}
