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
    "/app.js" "app.js" "text/javascript; charset=utf-8"
    "/api.js" "api.js" "text/javascript; charset=utf-8"
    "/dom.js" "dom.js" "text/javascript; charset=utf-8"
    "/account.js" "account.js" "text/javascript; charset=utf-8"
    "/groups.js" "groups.js" "text/javascript; charset=utf-8"
    "/downloads.js" "downloads.js" "text/javascript; charset=utf-8"
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
