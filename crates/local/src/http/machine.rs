//! What the page needs to know of this machine: its folders, where a dropped file lies, and a picture for a camera.
//!
//! A file is shared where it lies, so what the node needs is its path. A browser gives a page the content of a dropped
//! file and never its path. So paths are chosen from a listing that the node makes, within the home folder of who runs
//! it, and a dropped file is looked for there by its name, size and time. Whoever has the token can type any path in the
//! command `upload_file`; what these requests are limited to is what they *show*.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use peerage_node::client::GroupRef;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Api, answer};
use crate::desktop;

/// Entries of a folder that are shown.
const ENTRIES_MAX: usize = 5_000;
/// Entries that are looked at, and how long, for a dropped file.
const LOOKED_AT_MAX: usize = 400_000;
const LOOK_MAX: Duration = Duration::from_secs(4);
/// Places that are named.
const FOUND_MAX: usize = 8;
/// Characters of a link that is made a picture of.
const QR_CHARS_MAX: usize = 2_000;

/// `POST /api/v1/folder`: what is in a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderQuery {
    /// The folder; the home folder if it is left out.
    pub path: Option<PathBuf>,
}

/// The answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Folder {
    /// The folder, absolute.
    pub path: String,
    /// The one above it, if that may be shown.
    pub parent: Option<String>,
    /// Folders first, then files, each by name; hidden ones are left out.
    pub entries: Vec<Entry>,
    /// There are more.
    pub more: bool,
}

/// What is in a folder.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes of a file.
    pub size: u64,
}

/// `POST /api/v1/find`: where a file lies that was dropped on the page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindQuery {
    /// Its name.
    pub name: String,
    /// Bytes; left out for a folder.
    pub size: Option<u64>,
    /// When it was changed last, milliseconds since 1970, if that is known.
    pub modified_unix_ms: Option<u64>,
}

/// The answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Found {
    /// Files or folders that it may be, best first.
    pub paths: Vec<String>,
    /// Everything was looked at.
    pub complete: bool,
}

/// `POST /api/v1/open`: a download whose folder is to be shown on the desktop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenQuery {
    /// The group.
    pub group: String,
    /// The file's name in it.
    pub file: String,
}

/// `POST /api/v1/qr`: a text as a picture for a camera.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QrQuery {
    /// The text.
    pub text: String,
}

/// The answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Qr {
    /// Width and height in modules, without the quiet zone of four around it.
    pub size: usize,
    /// An SVG path that fills the dark modules, each one unit wide.
    pub path: String,
}

pub(super) async fn folder(body: Bytes) -> Response {
    with(&body, |query: FolderQuery| {
        let home = home().ok_or("this user has no home folder")?;
        list(&home, query.path.as_deref().unwrap_or(&home))
    })
    .await
}

pub(super) async fn find(body: Bytes) -> Response {
    with(&body, |query: FindQuery| {
        let home = home().ok_or("this user has no home folder")?;
        Ok(look_for(&home, &query))
    })
    .await
}

pub(super) async fn open(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    with(&body, move |query: OpenQuery| {
        if !desktop::is_there() {
            return Err("this node runs on a machine without a desktop".to_owned());
        }
        let group: GroupRef = query.group.parse().map_err(|_| "No such group".to_owned())?;
        let (folder, place) =
            api.source.place_of_download(&group, &query.file).map_err(|refusal| refusal.to_string())?;
        desktop::show(&folder, &place)
            .map_err(|error| format!("`{}` cannot be shown: {error}", folder.display()))?;
        Ok(serde_json::json!({ "ok": true }))
    })
    .await
}

pub(super) async fn qr(body: Bytes) -> Response {
    with(&body, |query: QrQuery| picture(&query.text)).await
}

/// Where downloads go unless something else is said: `Downloads` below the home folder, if there is one.
pub(super) fn downloads_folder() -> Option<PathBuf> {
    let home = home()?;
    let downloads = home.join("Downloads");
    Some(if downloads.is_dir() { downloads } else { home })
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().and_then(|home| home.canonicalize().ok())
}

/// Parses the request and answers it where a slow disk keeps nobody waiting.
async fn with<Q, A>(body: &[u8], work: impl FnOnce(Q) -> Result<A, String> + Send + 'static) -> Response
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    let query: Q = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
        Ok(query) => query,
        Err(why) => return answer::error(StatusCode::BAD_REQUEST, &why.to_string()),
    };
    match tokio::task::spawn_blocking(move || work(query)).await {
        Ok(Ok(answer)) => answer::json(StatusCode::OK, &answer),
        Ok(Err(why)) => answer::error(StatusCode::CONFLICT, &why),
        Err(error) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Lists a folder that lies within `home`, whatever links lead there.
fn list(home: &Path, path: &Path) -> Result<Folder, String> {
    let fail = |error: std::io::Error| format!("`{}`: {error}", path.display());
    let place = path.canonicalize().map_err(fail)?;
    if !place.starts_with(home) {
        return Err(format!("only what is in `{}` is shown; `{}` is not", home.display(), path.display()));
    }
    let mut entries = Vec::new();
    let mut more = false;
    for entry in fs::read_dir(&place).map_err(fail)?.filter_map(Result::ok) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link to a file or folder counts as that.
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        if name.starts_with('.') || !(meta.is_dir() || meta.is_file()) {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            more = true;
            break;
        }
        let size = if meta.is_dir() { 0 } else { meta.len() };
        entries.push(Entry { name, folder: meta.is_dir(), size });
    }
    entries.sort_by_cached_key(|entry| (!entry.folder, entry.name.to_lowercase()));
    let parent = place.parent().filter(|parent| parent.starts_with(home));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Folder { path: text(&place), parent: parent.map(text), entries, more })
}

/// Looks through `home`, folders near the top first. Links are not followed.
fn look_for(home: &Path, query: &FindQuery) -> Found {
    let began = Instant::now();
    let mut found = Vec::new();
    let mut folders = VecDeque::from([home.to_owned()]);
    let mut looked_at = 0;
    while let Some(folder) = folders.pop_front() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            looked_at += 1;
            if looked_at > LOOKED_AT_MAX || began.elapsed() > LOOK_MAX {
                return Found { paths: best_first(found), complete: false };
            }
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if kind.is_dir() && !hidden {
                folders.push_back(entry.path());
            }
            let wanted = if query.size.is_some() { kind.is_file() } else { kind.is_dir() };
            if !wanted || name.to_str() != Some(&query.name) || found.len() == FOUND_MAX {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            if query.size.is_none_or(|size| size == meta.len()) {
                found.push((same_time(&meta, query.modified_unix_ms), entry.path()));
            }
        }
    }
    Found { paths: best_first(found), complete: true }
}

/// Those of the same time first.
fn best_first(mut found: Vec<(bool, PathBuf)>) -> Vec<String> {
    found.sort_by_key(|(same_time, path)| (!same_time, path.components().count(), path.clone()));
    found.into_iter().map(|(_, path)| path.to_string_lossy().into_owned()).collect()
}

fn same_time(meta: &fs::Metadata, modified_unix_ms: Option<u64>) -> bool {
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
    let modified = meta.modified().ok().and_then(since).map(|since| since.as_millis());
    modified.is_some() && modified == modified_unix_ms.map(u128::from)
}

fn picture(text: &str) -> Result<Qr, String> {
    if text.chars().count() > QR_CHARS_MAX {
        return Err(format!("a picture holds {QR_CHARS_MAX} characters"));
    }
    let code = qrcode::QrCode::new(text.as_bytes()).map_err(|error| error.to_string())?;
    let size = code.width();
    let modules = code.to_colors();
    let mut path = String::new();
    for (y, row) in modules.chunks(size).enumerate() {
        let mut x = 0;
        // Each run of dark modules is one rectangle.
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&qrcode::Color::Dark) {
                path.push_str(&format!("M{x} {y}h{}v1h-{}z", run.len(), run.len()));
            }
            x += run.len();
        }
    }
    Ok(Qr { size, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap().join("home");
        fs::create_dir_all(home.join("films/old")).unwrap();
        fs::create_dir_all(home.join(".secret")).unwrap();
        fs::write(home.join("films/a.bin"), "12345").unwrap();
        fs::write(home.join("films/old/a.bin"), "12345").unwrap();
        fs::write(home.join("a.bin"), "other").unwrap();
        fs::write(home.join(".secret/a.bin"), "12345").unwrap();
        fs::write(home.join("films/notes"), "").unwrap();
        (dir, home)
    }

    #[test]
    fn only_what_is_at_home_is_shown() {
        let (_dir, home) = tree();
        let folder = list(&home, &home.join("films")).unwrap();
        let names: Vec<(&str, bool)> = folder.entries.iter().map(|e| (e.name.as_str(), e.folder)).collect();
        assert_eq!(names, [("old", true), ("a.bin", false), ("notes", false)]);
        assert_eq!(folder.parent.as_deref(), home.to_str());
        let top = list(&home, &home).unwrap();
        assert_eq!((top.parent, top.entries.len()), (None, 2), "hidden ones are left out");
        for outside in [home.join(".."), home.join("films/../.."), PathBuf::from("/")] {
            assert!(list(&home, &outside).unwrap_err().contains("only what is in"), "{}", outside.display());
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/", home.join("out")).unwrap();
            assert!(list(&home, &home.join("out")).unwrap_err().contains("only what is in"));
        }
    }

    #[test]
    fn a_dropped_file_is_found_by_name_size_and_time() {
        let (_dir, home) = tree();
        let modified = fs::metadata(home.join("films/old/a.bin")).unwrap().modified().unwrap();
        for other in ["films/a.bin", "a.bin"] {
            let other = fs::File::options().write(true).open(home.join(other)).unwrap();
            other.set_modified(modified - Duration::from_secs(60)).unwrap();
        }
        let same = fs::File::options().write(true).open(home.join("films/old/a.bin")).unwrap();
        same.set_modified(modified).unwrap();
        let modified_unix_ms = u64::try_from(modified.duration_since(UNIX_EPOCH).unwrap().as_millis()).ok();
        let file = FindQuery { name: "a.bin".into(), size: Some(5), modified_unix_ms };
        let found = look_for(&home, &file);
        let path = |name: &str| home.join(name).to_str().unwrap().to_owned();
        assert!(found.complete);
        assert_eq!(found.paths[0], path("films/old/a.bin"), "the same time first");
        assert_eq!(found.paths.len(), 3, "hidden folders are left out");
        let folder = FindQuery { name: "old".into(), size: None, modified_unix_ms: None };
        assert_eq!(look_for(&home, &folder).paths, [path("films/old")]);
        let gone = FindQuery { name: "b.bin".into(), size: Some(5), modified_unix_ms: None };
        assert!(look_for(&home, &gone).paths.is_empty());
    }

    #[test]
    fn pictures_are_made_of_rectangles() {
        let qr = picture("peerage:x").unwrap();
        // A finder pattern begins with seven dark modules.
        assert!(qr.path.starts_with("M0 0h7v1h-7z") && qr.size == 21, "{qr:?}");
        assert!(picture(&"x".repeat(QR_CHARS_MAX + 1)).is_err());
    }
}
