//! What an account's record changes for others than the account itself.
//!
//! The replica's shell calls [`spread`] with rows that the views have. A claim to a name concerns everybody who
//! claimed it, for one of them may have lost it just now; a removed device stops being online and, as its owner's
//! peer, being welcome in every group.

use std::collections::BTreeSet;

use peerage_ledger::Body;
use peerage_replica::VerifiedRow;
use peerage_types::{DeviceId, FoldedName, GroupId, UserId};

use crate::error::Failure;
use crate::presence_shell::tell_sessions;
use crate::state::{Shared, State};

/// Tells whom it concerns, in a task of its own: it reads the store.
pub(crate) fn spread(state: &Shared, rows: &[VerifiedRow]) {
    let (mut names, mut revoked) = (BTreeSet::new(), BTreeSet::new());
    for row in rows {
        match row.record().body() {
            Body::UserNameClaim { name } => _ = names.insert(name.folded()),
            Body::DeviceRevoke { device, .. } => _ = revoked.insert((row.record().author(), *device)),
            _ => {}
        }
    }
    if names.is_empty() && revoked.is_empty() {
        return;
    }
    let state = std::sync::Arc::clone(state);
    tokio::spawn(async move {
        let work = move |state: &State| {
            let gone: Vec<DeviceId> = revoked.iter().map(|(_, device)| *device).collect();
            Ok((claimants(state, &names)?, groups(state, &revoked)?, withdrawn(state, gone)?))
        };
        match state.blocking(work).await {
            Ok((users, groups, gone)) => {
                users.into_iter().for_each(|user| state.notices.account(user));
                groups.into_iter().for_each(|group| state.notices.roster(group));
                for device in gone {
                    tell_sessions(&state, state.presence.withdraw(&device, u64::MAX));
                }
            }
            // Sessions ask by themselves whenever they connect; the log has the reason.
            Err(failure) => tracing::warn!(reason = %failure.0, "nobody was told of a name or device"),
        }
    });
}

/// Everybody who claimed one of these names, where there is more than one.
fn claimants(state: &State, names: &BTreeSet<FoldedName>) -> Result<BTreeSet<UserId>, Failure> {
    let mut users = BTreeSet::new();
    for name in names {
        let claims = state.store.user_claims(name)?;
        let of_name: BTreeSet<UserId> = claims.into_iter().map(|claim| claim.user).collect();
        if of_name.len() > 1 {
            users.extend(of_name);
        }
    }
    Ok(users)
}

/// The groups whose members should look at the accounts of these users again.
fn groups(state: &State, revoked: &BTreeSet<(UserId, DeviceId)>) -> Result<BTreeSet<GroupId>, Failure> {
    let mut groups = BTreeSet::new();
    let users: BTreeSet<UserId> = revoked.iter().map(|(user, _)| *user).collect();
    for user in users {
        groups.extend(state.store.groups_of_user(&user)?);
    }
    Ok(groups)
}

/// Those of these devices that speak for nobody any more: anybody may certify and revoke a stranger's device.
fn withdrawn(state: &State, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, Failure> {
    let mut gone = Vec::new();
    for device in devices {
        if state.views.user_of_device(&device)?.is_none() {
            gone.push(device);
        }
    }
    Ok(gone)
}
