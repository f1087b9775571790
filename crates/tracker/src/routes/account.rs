//! Registration, login, recovery, names of users, and the caller's own account.

use axum::extract::State;
use peerage_ledger::{Body, Record};
use peerage_link::api::{
    AccountRequest, AccountResponse, DeviceHeadsRequest, DeviceHeadsResponse, Empty, ErrorCode, LoginRequest,
    LoginResponse, NAMES_MAX, RecoveryRequest, RecoveryResponse, RegisterRequest, RegisterResponse,
    SUPERSEDED_MAX, Secrets, SignedRow, UserNamesRequest, UserNamesResponse, VOUCHED_MAX, VouchRequest,
};
use peerage_link::opaque;
use peerage_types::UserId;

use crate::accept::Remote;
use crate::body::{Answer, Cbor};
use crate::error::Failure;
use crate::limits::HEADS_PAGE_GROUPS;
use crate::session::Session;
use crate::state::{Shared, State as Tracker};
use crate::views::{Account, ScopeData};

/// First half of a registration: nothing is kept, the AuthRecord brings the outcome.
pub(crate) async fn register(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(request): Cbor<RegisterRequest>,
) -> Answer<RegisterResponse> {
    state.rates.registration_begun(&remote)?;
    // Who has an account changes its password without the code.
    let user = request.user;
    let known = state.blocking(move |state| Ok(state.views.account(&user)?.view.is_some())).await?;
    if !known {
        state.invitations.invite(request.user, request.code.as_deref())?;
    }
    let (opaque_key, setup) = state.opaque_key();
    let response = opaque::register(setup, &request.user, &request.request)
        .map_err(|e| Failure::bad_request(e.to_string()))?;
    Ok(Cbor(RegisterResponse { opaque_key, response }))
}

/// One round trip: KE2, the sealed vault and the account. Worth nothing without the password.
pub(crate) async fn login(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(request): Cbor<LoginRequest>,
) -> Answer<LoginResponse> {
    state.rates.lookup(&remote)?;
    let name = request.name;
    let (user, namesakes) = state.blocking(move |state| state.user_called(&name)).await?;
    state.rates.attempt(&remote, &user)?;
    let answer = move |state: &Tracker| {
        answer_login(state, user, &request.request).map(|answer| LoginResponse { namesakes, ..answer })
    };
    state.blocking(answer).await.map(Cbor)
}

fn answer_login(state: &Tracker, user: UserId, ke1: &[u8]) -> Result<LoginResponse, Failure> {
    let account = state.views.account(&user)?;
    let auth = account.view.as_ref().and_then(|view| view.auth).and_then(|id| account.data.facts.get(&id));
    let Some(Body::AuthRecord { opaque_key, password_file, vault, .. }) = auth.map(|fact| fact.record.body())
    else {
        return Err(Failure::not_found(format!("user {user} has no password"))
            .hint("the account was not created completely; create it again"));
    };
    let setup = state.keyring.opaque(*opaque_key).ok_or_else(|| {
        Failure::new(ErrorCode::Internal, format!("this tracker lacks the OPAQUE key {opaque_key}"))
            .hint("carry the keyring of another tracker here with `peerage cluster key export` and `import`")
    })?;
    let response = opaque::login(setup, Some(password_file), &user, ke1)
        .map_err(|e| Failure::bad_request(e.to_string()))?;
    Ok(LoginResponse {
        user,
        response,
        vault: vault.clone(),
        account: signed_rows(&account.data, public),
        secrets: secrets(&account),
        namesakes: Vec::new(),
    })
}

/// What a client has to know about the records that it does not get.
fn secrets(account: &Account) -> Secrets {
    let Some(view) = &account.view else { return Secrets::default() };
    let superseded = view.superseded.iter().copied().take(SUPERSEDED_MAX).collect();
    Secrets { auth: view.auth, head: view.head, superseded, recovery: view.recovery }
}

/// The sealed identity key for who has the recovery code. As costly as a password attempt, though a code cannot be
/// guessed.
pub(crate) async fn recovery(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(request): Cbor<RecoveryRequest>,
) -> Answer<RecoveryResponse> {
    state.rates.lookup(&remote)?;
    let name = request.name;
    let (user, _) = state.blocking(move |state| state.user_called(&name)).await?;
    state.rates.attempt(&remote, &user)?;
    let account = state.blocking(move |state| Ok(state.views.account(&user)?)).await?;
    let record = account.view.as_ref().and_then(|view| account.data.facts.get(&view.recovery?));
    let vault = match record.map(|fact| fact.record.body()) {
        Some(Body::Recovery { vault, .. }) => Some(vault.clone()),
        _ => None,
    };
    Ok(Cbor(RecoveryResponse { user, vault, secrets: secrets(&account) }))
}

/// A tracker that was set back has forgotten accounts, and whom it had invited: the cluster's own signature says that they
/// had been accepted.
pub(crate) async fn vouch(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(request): Cbor<VouchRequest>,
) -> Answer<Empty> {
    if request.accounts.len() > VOUCHED_MAX {
        let got = request.accounts.len();
        let message = format!("{got} accounts in one request, at most {VOUCHED_MAX} are allowed");
        return Err(Failure::bad_request(message));
    }
    state.rates.lookup(&remote)?;
    let check = move |state: &Tracker| {
        for SignedRow { record, receipt } in &request.accounts {
            let record = Record::decode(record, &state.cluster)?;
            let genesis = matches!(record.body(), Body::AccountGenesis { .. });
            if !genesis || receipt.record != record.id() || !receipt.verify(&state.cluster_key) {
                let message =
                    format!("no receipt of this cluster for the genesis of user {}", record.author());
                return Err(Failure::bad_request(message));
            }
            state.invitations.vouched(record.author());
        }
        Ok(())
    };
    state.blocking(check).await?;
    Ok(Cbor(Empty {}))
}

/// The last records of one of the caller's devices, wherever it wrote; some groups at a time.
pub(crate) async fn heads(
    State(state): State<Shared>,
    session: Session,
    Cbor(request): Cbor<DeviceHeadsRequest>,
) -> Answer<DeviceHeadsResponse> {
    let work = move |state: &Tracker| {
        let mut groups = state.store.groups_of_user(&session.user)?;
        groups.sort_unstable();
        let from = request.after.map_or(0, |after| groups.partition_point(|group| *group <= after));
        let to = groups.len().min(from + HEADS_PAGE_GROUPS);
        let mut rows = Vec::new();
        for group in &groups[from..to] {
            let group = state.views.group(group)?;
            let heads = group.data.facts.heads(&request.device);
            rows.extend(signed_rows(&group.data, |record| {
                record.author() == session.user && heads.contains(&record.id())
            }));
        }
        let next = groups[from..to].last().copied().filter(|_| to < groups.len());
        Ok(DeviceHeadsResponse { rows, next })
    };
    state.blocking(work).await.map(Cbor)
}

/// Which users have these names?
pub(crate) async fn names(
    State(state): State<Shared>,
    remote: Remote,
    Cbor(request): Cbor<UserNamesRequest>,
) -> Answer<UserNamesResponse> {
    if request.names.len() > NAMES_MAX {
        let got = request.names.len();
        return Err(Failure::bad_request(format!(
            "{got} names in one request, at most {NAMES_MAX} are allowed"
        )));
    }
    state.rates.lookup(&remote)?;
    let find =
        move |state: &Tracker| request.names.iter().map(|name| Ok(state.user_of_name(name)?)).collect();
    let users = state.blocking(find).await?;
    Ok(Cbor(UserNamesResponse { users }))
}

/// The caller's own account scope, without AuthRecords and Recoveries.
pub(crate) async fn rows(
    State(state): State<Shared>,
    session: Session,
    Cbor(request): Cbor<AccountRequest>,
) -> Answer<AccountResponse> {
    if request.user != session.user {
        let message = format!("this device belongs to user {}, not {}", session.user, request.user);
        return Err(Failure::new(ErrorCode::NotCertified, message));
    }
    let account = state.blocking(move |state| Ok(state.views.account(&session.user)?)).await?;
    let secrets = secrets(&account);
    Ok(Cbor(AccountResponse { rows: signed_rows(&account.data, public), secrets }))
}

/// AuthRecords would let anybody guess the password offline; a Recovery's vault is nobody's business either.
pub(crate) fn public(record: &Record) -> bool {
    !matches!(record.body(), Body::AuthRecord { .. } | Body::Recovery { .. })
}

/// The chosen records of a scope, each with the receipt that dates it.
pub(crate) fn signed_rows(data: &ScopeData, chosen: impl Fn(&Record) -> bool) -> Vec<SignedRow> {
    let rows = data.facts.iter().filter(|fact| chosen(&fact.record)).filter_map(|fact| {
        let receipt = data.receipts.get(&fact.record.id())?.clone();
        Some(SignedRow { record: fact.record.bytes().to_vec(), receipt })
    });
    rows.collect()
}
