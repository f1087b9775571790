//! `leave_group`: a member just goes, an owner hands over first, and the last one closes the group.

use peerage_ledger::Body;
use peerage_link::api::ErrorCode;

use super::super::bundle::refused;
use super::super::outbox::Unreachable;
use super::super::reply::Left;
use super::super::{GroupRef, Node, Refusal};
use super::hand_over::TRIES;

impl Node {
    /// Leaves a group; what was shared in it is not shared any more.
    pub async fn leave_group(&self, name: &GroupRef) -> Result<Left, Refusal> {
        let session = self.inner.session()?;
        let mut tries = 0;
        loop {
            let state = session.my_group(name).await?;
            let view = &state.view;
            let incarnation = view.members.get(&session.user).map_or(0, |m| m.incarnation);
            let mut bundle = session.bundle(view.group, state.facts()).await;
            let reply = match (view.is_owner(&session.user), view.heirs().first()) {
                (false, _) => {
                    bundle.add(Body::Leave { incarnation });
                    Left::Left { heir: None }
                }
                (true, Some((heir, _))) => {
                    // Handing over is leaving: no Leave may follow.
                    for body in view.handover(view.heirs(), false) {
                        bundle.add(body);
                    }
                    Left::Left { heir: Some(state.user(heir)) }
                }
                (true, None) => {
                    bundle.add(Body::Close { epoch: view.epoch });
                    Left::Deleted
                }
            };
            let sent = bundle.send(Unreachable::GiveUp).await;
            tries += 1;
            match sent {
                Ok(()) => {
                    let group = view.group;
                    session.leave_swarms(group).await;
                    session.forget_downloads(group);
                    session.announce_anew().await;
                    if let Err(error) = session.refresh(group).await {
                        tracing::debug!(%error, "the group that was left cannot be read any more");
                    }
                    return Ok(reply);
                }
                Err(error) => match refused(&error) {
                    Some(e) if e.code == ErrorCode::StaleHandover && tries < TRIES => {}
                    _ => return Err(session.refuse_send(error)),
                },
            }
        }
    }
}
