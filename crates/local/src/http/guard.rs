//! Who may ask: programs that can read the token file, and the page that was opened with the token.
//!
//! * **Host allow-list**, for every path: a name of somebody else's that resolves to this machine (DNS rebinding) is
//!   refused, and so is a request that a page from elsewhere makes (`Origin`).
//! * **Token**, for the API: in the `Authorization` header, which no form and no image of another site can set. So there
//!   is no cookie that a foreign page could ride on (CSRF).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{Api, answer};

/// Refuses requests that are not addressed to this machine by a name of its own.
pub(super) async fn host(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match foreign(request.headers(), api.running.api) {
        None => next.run(request).await,
        Some(why) => answer::error(StatusCode::FORBIDDEN, &why),
    }
}

/// Refuses requests without the token.
pub(super) async fn token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|v| v.as_bytes().strip_prefix(b"Bearer "));
    // Compared by hash, so that the time it takes tells nothing.
    let hash = |token: &[u8]| blake3::hash(token);
    if given.is_some_and(|given| hash(given) == hash(api.running.token.as_bytes())) {
        return next.run(request).await;
    }
    answer::error(
        StatusCode::UNAUTHORIZED,
        "the token is missing or another one: open the page with the address that `peerage status` prints",
    )
}

/// Why a request is not for us.
fn foreign(headers: &HeaderMap, here: SocketAddr) -> Option<String> {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let allowed = |authority: &str| {
        authority.parse::<SocketAddr>().is_ok_and(|address| address == here)
            || authority == format!("localhost:{}", here.port())
    };
    let host = text(header::HOST).unwrap_or("none");
    if !allowed(host) {
        return Some(format!("this node answers to http://{here} only, not to `{host}`"));
    }
    let origin = text(header::ORIGIN)?;
    let ours = origin.parse::<Uri>().ok().is_some_and(|uri| {
        uri.scheme_str() == Some("http") && uri.authority().is_some_and(|a| allowed(a.as_str()))
    });
    (!ours).then(|| format!("pages from `{origin}` may not ask this node"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine() {
        let here: SocketAddr = "127.0.0.1:7610".parse().unwrap();
        let check = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            foreign(&headers, here).is_none()
        };
        assert!(check("127.0.0.1:7610", None));
        assert!(check("localhost:7610", Some("http://localhost:7610")));
        assert!(check("127.0.0.1:7610", Some("http://127.0.0.1:7610")));
        for host in ["evil.example:7610", "127.0.0.1", "127.0.0.1:80", "localhost", "127.0.0.2:7610", ""] {
            assert!(!check(host, None), "{host}");
        }
        for origin in
            ["https://evil.example", "null", "http://127.0.0.1:9", "file://", "https://127.0.0.1:7610"]
        {
            assert!(!check("127.0.0.1:7610", Some(origin)), "{origin}");
        }
        assert!(foreign(&HeaderMap::new(), here).is_some());
    }
}
