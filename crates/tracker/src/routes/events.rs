//! Server-sent events: what concerns the session's account and groups.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use peerage_link::api::Event;
use peerage_link::sse;
use peerage_types::DeviceId;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

use super::answers::is_local;
use crate::accept::Remote;
use crate::error::Failure;
use crate::metrics::Counted;
use crate::notices::{Audience, Notice};
use crate::places::Place;
use crate::session::Session;
use crate::state::Shared;

/// One stream's state.
struct Listener {
    state: Shared,
    session: Session,
    /// Whether it is on this machine.
    local: bool,
    notices: broadcast::Receiver<Notice>,
    closing: watch::Receiver<bool>,
    _slot: Place<DeviceId>,
    _counted: Counted,
}

/// Ends when the tracker stops, when the listener lags too far behind (it must then take everything as changed, as
/// after any reconnect), and when the device is revoked.
pub(crate) async fn stream(
    State(state): State<Shared>,
    remote: Remote,
    session: Session,
) -> Result<Response, Failure> {
    let slot = state.stream_slot(&session.device)?;
    let (notices, closing) = (state.notices.subscribe(), state.closing.clone());
    let counted = state.metrics.streams.enter();
    let local = is_local(remote.addr.ip());
    let listener = Listener { state, session, local, notices, closing, _slot: slot, _counted: counted };
    // A first comment at once tells the client that the subscription stands.
    let opened = stream::iter([Ok::<_, Infallible>(sse::KEEP_ALIVE.to_owned())]);
    let lines = stream::unfold(listener, |mut listener| async move {
        let line = listener.next().await?;
        Some((Ok(line), listener))
    });
    let headers = [(header::CONTENT_TYPE, sse::CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(opened.chain(lines))).into_response())
}

impl Listener {
    async fn next(&mut self) -> Option<String> {
        let keep_alive = sleep(Duration::from_secs(sse::KEEP_ALIVE_INTERVAL_S));
        let mut keep_alive = pin!(keep_alive);
        loop {
            let notice = tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = keep_alive.as_mut() => return Some(sse::KEEP_ALIVE.to_owned()),
                notice = self.notices.recv() => notice.ok()?,
            };
            if self.concerns(&notice.audience).await?
                && let Some(event) = self.shown(notice.event)
            {
                return Some(sse::encode(&event));
            }
        }
    }

    /// The event as this listener may see it: loopback addresses mean something only on this machine.
    fn shown(&self, event: Event) -> Option<Event> {
        let Event::DialBack { group, info_hash, device, mut addresses } = event else { return Some(event) };
        let local = |text: &String| text.parse::<SocketAddr>().is_ok_and(|addr| is_local(addr.ip()));
        addresses.retain(|text| self.local || !local(text));
        (!addresses.is_empty()).then_some(Event::DialBack { group, info_hash, device, addresses })
    }

    /// None: this session has ended.
    async fn concerns(&self, audience: &Audience) -> Option<bool> {
        let Session { device, user } = self.session;
        match audience {
            Audience::Device(concerned) => Some(*concerned == device),
            Audience::User(concerned) if *concerned != user => Some(false),
            Audience::User(_) => {
                let owner = self.state.blocking(move |state| Ok(state.views.user_of_device(&device)?)).await;
                (owner.ok()? == Some(user)).then_some(true)
            }
            Audience::Group(_, users) if users.contains(&user) => Some(true),
            Audience::Group(group, _) => {
                let group = *group;
                let settled = self.state.blocking(move |state| Ok(state.views.group(&group)?)).await.ok()?;
                let Some(view) = &settled.view else { return Some(false) };
                // A group that has ended has no members any more: whoever took part may know.
                let ended = view.ended_by.is_some() && settled.accounts.0.contains_key(&user);
                Some(ended || view.is_member(&user))
            }
        }
    }
}
