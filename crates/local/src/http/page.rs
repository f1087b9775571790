//! The page's files, which are part of the program.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::answer;

macro_rules! assets {
    ($($path:literal $file:literal $kind:literal)*) => {
        /// Path, type and content of each.
        const ASSETS: &[(&str, &str, &[u8])] =
            &[$(($path, $kind, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/", $file)))),*];
    };
}

assets! {
    "/" "index.html" "text/html; charset=utf-8"
    "/style.css" "style.css" "text/css; charset=utf-8"
    "/account.js" "account.js" "text/javascript; charset=utf-8"
    "/api.js" "api.js" "text/javascript; charset=utf-8"
    "/app.js" "app.js" "text/javascript; charset=utf-8"
    "/dom.js" "dom.js" "text/javascript; charset=utf-8"
    "/downloads.js" "downloads.js" "text/javascript; charset=utf-8"
    "/files.js" "files.js" "text/javascript; charset=utf-8"
    "/graphs.js" "graphs.js" "text/javascript; charset=utf-8"
    "/group.js" "group.js" "text/javascript; charset=utf-8"
    "/groups.js" "groups.js" "text/javascript; charset=utf-8"
    "/invite.js" "invite.js" "text/javascript; charset=utf-8"
    "/list.js" "list.js" "text/javascript; charset=utf-8"
    "/members.js" "members.js" "text/javascript; charset=utf-8"
    "/notices.js" "notices.js" "text/javascript; charset=utf-8"
    "/peers.js" "peers.js" "text/javascript; charset=utf-8"
    "/priorities.js" "priorities.js" "text/javascript; charset=utf-8"
    "/settings.js" "settings.js" "text/javascript; charset=utf-8"
    "/share.js" "share.js" "text/javascript; charset=utf-8"
    "/start.js" "start.js" "text/javascript; charset=utf-8"
    "/state.js" "state.js" "text/javascript; charset=utf-8"
    "/ui.js" "ui.js" "text/javascript; charset=utf-8"
    "/icon.svg" "icon.svg" "image/svg+xml"
}

/// One of the page's files.
pub(super) async fn asset(method: Method, uri: Uri) -> Response {
    let found = ASSETS.iter().find(|(path, ..)| *path == uri.path());
    match found {
        Some((_, kind, content)) if method == Method::GET || method == Method::HEAD => {
            ([(header::CONTENT_TYPE, *kind)], *content).into_response()
        }
        Some(_) => answer::error(StatusCode::METHOD_NOT_ALLOWED, "this is only to be read"),
        None => answer::error(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

#[cfg(test)]
mod tests {
    use super::ASSETS;

    #[test]
    fn every_module_that_is_imported_is_served() {
        for (path, _, content) in ASSETS {
            let text = String::from_utf8_lossy(content);
            for import in text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(
                    ASSETS.iter().any(|(served, ..)| *served == format!("/{import}")),
                    "{path}: {import}"
                );
            }
        }
    }
}
