//! `invite`, `invites`, `withdraw_invite` and `join`.

use std::sync::Arc;
use std::time::Duration;

use peerage_ledger::{Body, InviteState, InviteView, Standing, invite_proof};
use peerage_link::api::ErrorCode;
use peerage_types::PublicKey;

use super::super::bundle::refused;
use super::super::invite::InviteKey;
use super::super::outbox::Unreachable;
use super::super::session::Session;
use super::super::snapshot::{GroupState, unix_ms};
use super::super::{GroupRef, Invite, Node, Refusal};

/// How long and for how many an invite lets people in without being asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteTerms {
    /// From now on.
    pub expires: Duration,
    /// Accounts.
    pub uses: u32,
}

/// An invite that was made, or was made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteLine {
    /// Short for the Invite's record: what `withdraw_invite` takes.
    pub id: String,
    /// Who made it.
    pub issuer: String,
    /// What has become of it.
    pub state: InviteState,
    /// Milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// Accounts that may come in by it.
    pub uses: u32,
    /// Who has.
    pub used: Vec<String>,
    /// The line to paste, on the device that made it and as long as it lets people in.
    pub link: Option<Invite>,
}

/// What came of following an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The request waits for an answer.
    Asked,
    /// In at once.
    In,
    /// Others had used the invite up: the request waits for an answer.
    UsedUp,
}

impl Node {
    /// A line that leads somebody to a group of the caller's. It lets nobody in.
    pub async fn invite(&self, name: &GroupRef) -> Result<Invite, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        Ok(link(&session, &state, None))
    }

    /// A line by which people come into a group at once, which the caller, its owner or an admin, signs.
    pub async fn invite_approved(&self, name: &GroupRef, terms: InviteTerms) -> Result<InviteLine, Refusal> {
        let session = self.inner.session()?;
        let state = session.decided_group(name).await?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| Refusal::local("no randomness", error))?;
        let secret = InviteKey::derive(&session.key, &salt);
        let key = secret.public();
        let life_ms = u64::try_from(terms.expires.as_millis()).unwrap_or(u64::MAX);
        let (expires_ms, uses) = (unix_ms().saturating_add(life_ms), terms.uses);
        let (epoch, grant) = (state.view.epoch, state.view.admin_grant(&session.user));
        let mut bundle = session.bundle(state.view.group, state.facts()).await;
        let id = bundle.add(Body::Invite { key, salt, expires_ms, uses, epoch, grant });
        bundle.submit().await?;
        session.read_back(state.view.group).await;
        Ok(InviteLine {
            id: id.tag(),
            issuer: state.user(&session.user),
            state: InviteState::Open,
            expires_ms,
            uses,
            used: Vec::new(),
            link: Some(link(&session, &state, Some(secret))),
        })
    }

    /// The invites of a group by which people came or come in at once, the latest last.
    pub async fn invites(&self, name: &GroupRef) -> Result<Vec<InviteLine>, Refusal> {
        let session = self.inner.session()?;
        let state = session.my_group(name).await?;
        let now_ms = unix_ms();
        let line = |invite: &InviteView| {
            let secret = InviteKey::derive(&session.key, &invite.salt);
            let open = invite.state(now_ms) == InviteState::Open;
            let own = open && secret.public() == invite.key;
            InviteLine {
                id: invite.invite.tag(),
                issuer: state.user(&invite.issuer),
                state: invite.state(now_ms),
                expires_ms: invite.expires_ms,
                uses: invite.uses,
                used: invite.used.iter().map(|user| state.user(user)).collect(),
                link: own.then(|| link(&session, &state, Some(secret))),
            }
        };
        Ok(state.view.invites.iter().map(line).collect())
    }

    /// Ends an invite: nobody comes in by it any more. `id`: what [`Self::invites`] shows, or its beginning.
    pub async fn withdraw_invite(&self, name: &GroupRef, id: &str) -> Result<(), Refusal> {
        let session = self.inner.session()?;
        let state = session.decided_group(name).await?;
        let mut named =
            state.view.invites.iter().filter(|i| !id.is_empty() && i.invite.tag().starts_with(id));
        let (Some(found), None) = (named.next(), named.next()) else { return Err(Refusal::InviteUnknown) };
        let invite = found.invite;
        let (epoch, grant) = (state.view.epoch, state.view.admin_grant(&session.user));
        let mut bundle = session.bundle(state.view.group, state.facts()).await;
        bundle.add(Body::InviteWithdraw { invite, epoch, grant });
        bundle.submit().await?;
        session.read_back(state.view.group).await;
        Ok(())
    }

    /// Follows an invite: into the group if it is pre-approved, else up to the request.
    pub async fn join(&self, invite: &Invite) -> Result<Joined, Refusal> {
        let session = self.inner.session()?;
        if session.cluster.key == invite.key {
            self.inner.complete_list(invite)?;
        }
        let state = led_to(&session, invite).await?;
        follow(&session, &state, invite).await
    }
}

/// The group that an invite leads to, as it is now.
pub(super) async fn led_to(session: &Arc<Session>, invite: &Invite) -> Result<Arc<GroupState>, Refusal> {
    if session.cluster.key != invite.key {
        return Err(Refusal::OtherCluster { group: invite.name.to_string() });
    }
    let state = session.refresh(invite.group).await?;
    if state.view.ended_by.is_some() { Err(Refusal::GroupUnknown) } else { Ok(state) }
}

/// Goes in by an invite, or asks to be let in.
pub(super) async fn follow(
    session: &Arc<Session>,
    state: &GroupState,
    invite: &Invite,
) -> Result<Joined, Refusal> {
    match &invite.key_inside {
        Some(key) => redeem(session, state, key).await,
        None => request(session, state).await.map(|()| Joined::Asked),
    }
}

fn link(session: &Session, state: &GroupState, key_inside: Option<InviteKey>) -> Invite {
    let trackers = session.trackers.entries().to_vec();
    let (group, name) = (state.view.group, state.view.name.clone());
    let key: PublicKey = session.cluster.key;
    Invite { trackers, key, group, name, key_inside }
}

/// Asks to be let in, and shows that the answer was given beforehand. Who has asked already only shows it.
async fn redeem(session: &Arc<Session>, state: &GroupState, key: &InviteKey) -> Result<Joined, Refusal> {
    let (view, user) = (&state.view, session.user);
    let asked = match view.standing(&user) {
        Standing::Member { .. } => return Err(Refusal::AlreadyMember),
        Standing::Requested { incarnation } => Some(incarnation),
        _ => None,
    };
    let incarnation = asked.unwrap_or_else(|| view.next_incarnation(&user));
    let mut bundle = session.bundle(view.group, state.facts()).await;
    if asked.is_none() {
        bundle.add(Body::JoinRequest { incarnation });
    }
    let proof = invite_proof(&key.signing_key(), &view.group, &user, incarnation);
    bundle.add(Body::Redeem { key: key.public(), incarnation, proof });
    match bundle.send(Unreachable::GiveUp).await {
        Ok(()) => {
            let now = session.refresh(view.group).await?;
            // Somebody else may have been faster on another tracker.
            Ok(if now.view.is_member(&user) { Joined::In } else { Joined::UsedUp })
        }
        Err(error) if refused(&error).is_some_and(|why| why.code == ErrorCode::InviteUsedUp) => {
            if asked.is_none() {
                request(session, state).await?;
            }
            Ok(Joined::UsedUp)
        }
        Err(error) => Err(session.refuse_send(error)),
    }
}

/// Asks to be let in.
pub(super) async fn request(session: &Arc<Session>, state: &GroupState) -> Result<(), Refusal> {
    match state.view.standing(&session.user) {
        Standing::Member { .. } => return Err(Refusal::AlreadyMember),
        Standing::Requested { .. } => return Err(Refusal::AlreadyRequested),
        _ => {}
    }
    let incarnation = state.view.next_incarnation(&session.user);
    let mut bundle = session.bundle(state.view.group, state.facts()).await;
    bundle.add(Body::JoinRequest { incarnation });
    bundle.submit().await
}
