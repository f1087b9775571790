//! Would this record take effect? Asked when a client submits it, never in replication.
//!
//! Limits are checked here only, because a view must come out the same on trackers with different settings. A
//! refusal turns into [`Refusal::Missing`] when the record rests on records that are unknown here: the client
//! should send those first.

use peerage_types::limits::{
    ACCOUNT_GROUPS_MAX, ACCOUNT_SHARES_MAX, AUTHOR_RECORDS_MAX, GROUP_ADMINS_MAX, GROUP_INVITES_MAX,
    GROUP_PENDING_MAX, INVITE_USES_MAX, METAINFO_BYTES_MAX,
};
use peerage_types::{PublicKey, RecordId, Scope, UserId};

use crate::account::{AccountView, Accounts};
use crate::body::Body;
use crate::facts::Facts;
use crate::record::Record;
use crate::refusal::{ADMINS, GROUPS_OF_ACCOUNT, INVITES, OPEN_REQUESTS, RECORDS_IN_GROUP, Refusal, SHARES};
use crate::view::{GroupView, InviteState, Role, Standing};

/// Name claims of one account.
pub const ACCOUNT_NAMES_MAX: usize = 8;
/// Records of one account's scope: password changes, devices and their ends.
pub const ACCOUNT_RECORDS_MAX: usize = 1_000;

/// Would this record take effect in its account? A name's other claims are the caller's matter
/// ([`Refusal::NameTaken`]), and so is a bundle: apply its records one by one.
pub fn admit_account(view: Option<&AccountView>, facts: &Facts, record: &Record) -> Result<(), Refusal> {
    if facts.contains(&record.id()) {
        return Ok(());
    }
    let user = record.author();
    if record.scope() != Scope::Account(user) {
        return Err(Refusal::WrongScope);
    }
    // What only the identity key can sign has as many places again: who holds a stolen device must not be able to
    // fill the account up and so prevent that the device is revoked.
    let max = match record.body() {
        Body::AuthRecord { .. }
        | Body::Recovery { .. }
        | Body::DeviceCert { .. }
        | Body::DeviceRevoke { .. } => 2 * ACCOUNT_RECORDS_MAX,
        _ => ACCOUNT_RECORDS_MAX,
    };
    if facts.len() >= max {
        return Err(Refusal::TooMany { what: "records in this account", max });
    }
    let is_genesis = matches!(record.body(), Body::AccountGenesis { .. });
    let view = match view {
        Some(_) if is_genesis => return Err(Refusal::UserExists(user)),
        None if is_genesis => return Ok(()),
        Some(view) if view.user == user => view,
        Some(_) => return Err(Refusal::WrongScope),
        None => return missing_or(Refusal::NoSuchUser(user), record, facts),
    };
    let verdict = match record.body() {
        Body::UserNameClaim { .. } if view.names.len() >= ACCOUNT_NAMES_MAX => {
            Err(Refusal::TooMany { what: "names", max: ACCOUNT_NAMES_MAX })
        }
        Body::AuthRecord { previous, .. } if *previous != view.auth => {
            Err(Refusal::Superseded { what: "password" })
        }
        Body::Recovery { previous, .. } if *previous != view.recovery => {
            Err(Refusal::Superseded { what: "recovery code" })
        }
        Body::DeviceCert { device, .. } if view.devices.get(device).is_some_and(|d| d.revoked.is_some()) => {
            Err(Refusal::NotCertified(user))
        }
        Body::DeviceRevoke { device, .. } if !view.devices.contains_key(device) => {
            Err(Refusal::NotCertified(user))
        }
        Body::Unknown { .. } if record.signer() != view.identity && !view.device_ok(&record.signer()) => {
            Err(Refusal::NotCertified(user))
        }
        _ => Ok(()),
    };
    verdict.or_else(|refusal| missing_or(refusal, record, facts))
}

/// May an account that founded or asked to join this many groups found or join one more?
pub fn admit_to_more_groups(groups: usize) -> Result<(), Refusal> {
    match groups < ACCOUNT_GROUPS_MAX {
        true => Ok(()),
        false => Err(Refusal::TooMany { what: GROUPS_OF_ACCOUNT, max: ACCOUNT_GROUPS_MAX }),
    }
}

/// Would this record take effect in its group? For a bundle apply its records one by one; whether a new
/// group's name is free is the caller's matter ([`Refusal::NameTaken`]). `next` is what follows in the bundle: strangers'
/// open requests, however many, keep nobody out who asks with an invite in hand.
pub fn admit_group(
    view: Option<&GroupView>,
    facts: &Facts,
    accounts: &dyn Accounts,
    record: &Record,
    next: Option<&Record>,
) -> Result<(), Refusal> {
    if facts.contains(&record.id()) {
        return Ok(());
    }
    let Scope::Group(group) = record.scope() else { return Err(Refusal::WrongScope) };
    if view.is_some_and(|view| view.group != group) {
        return Err(Refusal::WrongScope);
    }
    let author = record.author();
    if !accounts.account(&author).is_some_and(|account| account.device_ok(&record.signer())) {
        return Err(Refusal::NotCertified(author));
    }
    match (view, record.body()) {
        (None, Body::GroupGenesis { .. }) => Ok(()),
        (None, _) => Err(Refusal::Missing(vec![group.into()])),
        (Some(view), _) if view.ended_by.is_some() => Err(Refusal::GroupEnded),
        (Some(view), _) => {
            let verdict = Submission { view, facts, record, next, author }.judge();
            verdict.or_else(|refusal| missing_or(refusal, record, facts))
        }
    }
}

/// What [`admit_group`] cannot tell because it hangs on the time: whether the invite that this record uses has not expired
/// by `now_ms` (milliseconds since the Unix epoch, the tracker's clock), and whether there is room for one more.
pub fn admit_invite_at(view: &GroupView, record: &Record, now_ms: u64) -> Result<(), Refusal> {
    match *record.body() {
        Body::Invite { expires_ms, .. } if expires_ms <= now_ms => Err(Refusal::InviteExpired(expires_ms)),
        Body::Invite { .. } => {
            let open = view.invites.iter().filter(|invite| invite.state(now_ms) == InviteState::Open);
            match open.count() < GROUP_INVITES_MAX {
                true => Ok(()),
                false => Err(Refusal::TooMany { what: INVITES, max: GROUP_INVITES_MAX }),
            }
        }
        Body::Redeem { key, .. } => match view.invite(&key) {
            Some(invite) if invite.expires_ms <= now_ms => Err(Refusal::InviteExpired(invite.expires_ms)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The refusal, unless its reason may be that something has not arrived yet.
fn missing_or(refusal: Refusal, record: &Record, facts: &Facts) -> Result<(), Refusal> {
    let missing = missing(record, facts);
    Err(if missing.is_empty() { refusal } else { Refusal::Missing(missing) })
}

/// Records that this one names and that are unknown here.
fn missing(record: &Record, facts: &Facts) -> Vec<RecordId> {
    let mut needed: Vec<RecordId> = record.prev().into_iter().collect();
    match record.body() {
        Body::AuthRecord { previous, .. } | Body::Recovery { previous, .. } => needed.extend(*previous),
        Body::Handover { heads, .. } => needed.extend(heads),
        Body::AdminRevoke { grant, heads, .. } => needed.extend(heads.iter().chain([grant])),
        Body::Share { manifest, .. } => needed.push(*manifest),
        Body::Unshare { share } => needed.push(*share),
        Body::Invite { grant, .. } => needed.extend(*grant),
        Body::InviteWithdraw { invite, grant, .. } => needed.extend(grant.iter().chain([invite])),
        Body::Accept { grant, .. } | Body::Reject { grant, .. } | Body::Kick { grant, .. } => {
            needed.extend(*grant);
        }
        _ => {}
    }
    needed.retain(|id| !facts.contains(id));
    needed.sort_unstable();
    needed.dedup();
    needed
}

/// A record for a group that lives, from a device of its author.
struct Submission<'a> {
    view: &'a GroupView,
    facts: &'a Facts,
    record: &'a Record,
    next: Option<&'a Record>,
    author: UserId,
}

impl Submission<'_> {
    fn judge(&self) -> Result<(), Refusal> {
        self.room()?;
        match *self.record.body() {
            Body::JoinRequest { incarnation } => self.join(incarnation),
            Body::Accept { user, incarnation, epoch, grant }
            | Body::Reject { user, incarnation, epoch, grant } => {
                self.decider(epoch, grant)?;
                match self.view.standing(&user) {
                    Standing::Requested { incarnation: asked } => same(asked, incarnation),
                    _ => Err(Refusal::NotRequested(user)),
                }
            }
            Body::Kick { user, incarnation, epoch, grant } => {
                self.decider(epoch, grant)?;
                self.plain_member(user, incarnation)?;
                if self.view.admins.contains_key(&user) { Err(Refusal::IsAdmin(user)) } else { Ok(()) }
            }
            Body::Invite { key, uses, epoch, grant, .. } => {
                self.decider(epoch, grant)?;
                if uses > INVITE_USES_MAX {
                    return Err(Refusal::TooMany {
                        what: "uses of one invite",
                        max: INVITE_USES_MAX as usize,
                    });
                }
                // With another one's key it would be nobody's.
                if self.view.invite(&key).is_some() { Err(Refusal::NoSuchInvite) } else { Ok(()) }
            }
            Body::InviteWithdraw { invite, epoch, grant } => {
                self.decider(epoch, grant)?;
                match self.view.invites.iter().find(|known| known.invite == invite) {
                    Some(known) if known.withdrawn || !known.in_office => Err(Refusal::InviteWithdrawn),
                    Some(_) => Ok(()),
                    None => Err(Refusal::NoSuchInvite),
                }
            }
            Body::Redeem { key, incarnation, .. } => self.redeem(&key, incarnation),
            Body::Leave { incarnation } => self.plain_member(self.author, incarnation),
            Body::Handover { epoch, ref heirs, ref heads, .. } => {
                self.owner(epoch)?;
                heirs.iter().try_for_each(|(heir, incarnation)| self.plain_member(*heir, *incarnation))?;
                self.covers_term(heads)
            }
            Body::Close { epoch } => self.owner(epoch),
            Body::AdminGrant { user, incarnation, epoch } => {
                self.owner(epoch)?;
                self.new_admin(user, incarnation)
            }
            Body::AdminRevoke { grant, epoch, .. } => {
                self.owner(epoch)?;
                // What is not here could not be noted down.
                let missing = missing(self.record, self.facts);
                if !missing.is_empty() {
                    return Err(Refusal::Missing(missing));
                }
                let holds = self.view.admins.values().any(|admin| admin.grants.contains(&grant));
                if holds { Ok(()) } else { Err(Refusal::NoSuchGrant(grant)) }
            }
            Body::Manifest { .. } => {
                self.member()?;
                self.description(self.record.body())
            }
            Body::Share { manifest, incarnation } => self.share(&manifest, incarnation),
            Body::Unshare { share } => {
                let open = self.view.files.iter().flat_map(|file| &file.shares);
                let own = open.filter(|s| s.user == self.author).any(|s| s.share == share);
                if own { Ok(()) } else { Err(Refusal::NotSharer(self.author)) }
            }
            // Of a kind from the future we know only that members may speak here.
            Body::Unknown { .. } => self.member(),
            _ => Err(Refusal::WrongScope),
        }
    }

    /// Nobody may fill a group up. What ends something has as many places again: a full account can still leave, stop
    /// sharing and decide about others.
    fn room(&self) -> Result<(), Refusal> {
        let max = match self.record.body() {
            Body::JoinRequest { .. }
            | Body::Redeem { .. }
            | Body::Accept { .. }
            | Body::AdminGrant { .. }
            | Body::Invite { .. }
            | Body::Manifest { .. }
            | Body::Share { .. }
            | Body::Unknown { .. } => AUTHOR_RECORDS_MAX,
            _ => 2 * AUTHOR_RECORDS_MAX,
        };
        match self.view.records_of(&self.author) < max {
            true => Ok(()),
            false => Err(Refusal::TooMany { what: RECORDS_IN_GROUP, max }),
        }
    }

    fn join(&self, incarnation: u32) -> Result<(), Refusal> {
        match self.view.standing(&self.author) {
            Standing::Member { .. } => Err(Refusal::AlreadyMember(self.author)),
            Standing::Requested { .. } => Err(Refusal::AlreadyRequested(self.author)),
            _ if self.view.requests.len() >= GROUP_PENDING_MAX && !self.is_redeemed_next(incarnation) => {
                Err(Refusal::TooMany { what: OPEN_REQUESTS, max: GROUP_PENDING_MAX })
            }
            _ => same(self.view.next_incarnation(&self.author), incarnation),
        }
    }

    /// Then the request is open for no longer than the bundle: without a Redeem that counts it is refused as a whole.
    fn is_redeemed_next(&self, asked: u32) -> bool {
        self.next.is_some_and(|next| {
            next.author() == self.author
                && next.scope() == self.record.scope()
                && matches!(*next.body(), Body::Redeem { incarnation, .. } if incarnation == asked)
        })
    }

    /// For an open request of the author's.
    fn redeem(&self, key: &PublicKey, incarnation: u32) -> Result<(), Refusal> {
        match self.view.standing(&self.author) {
            Standing::Requested { incarnation: asked } => same(asked, incarnation)?,
            Standing::Member { .. } => return Err(Refusal::AlreadyMember(self.author)),
            _ => return Err(Refusal::NotRequested(self.author)),
        }
        let invite = self.view.invite(key).ok_or(Refusal::NoSuchInvite)?;
        // When it expires is not asked here: the caller knows what time it is.
        match invite.state(0) {
            InviteState::Withdrawn | InviteState::IssuerGone => Err(Refusal::InviteWithdrawn),
            _ if self.view.is_put_out_since(&self.author, invite) => Err(Refusal::PutOut(self.author)),
            InviteState::UsedUp if !invite.used.contains(&self.author) => Err(Refusal::InviteUsedUp),
            _ => Ok(()),
        }
    }

    fn owner(&self, epoch: u32) -> Result<(), Refusal> {
        let in_office = self.view.is_owner(&self.author) && epoch == self.view.epoch;
        if in_office { Ok(()) } else { Err(Refusal::NotOwner(self.author)) }
    }

    /// The owner, or an admin under a grant that holds.
    fn decider(&self, epoch: u32, grant: Option<RecordId>) -> Result<(), Refusal> {
        let Some(grant) = grant else { return self.owner(epoch) };
        let admin = self.view.admins.get(&self.author).filter(|_| epoch == self.view.epoch);
        let holds = admin.is_some_and(|admin| admin.grants.contains(&grant));
        if holds { Ok(()) } else { Err(Refusal::NotAdmin(self.author)) }
    }

    fn new_admin(&self, user: UserId, incarnation: u32) -> Result<(), Refusal> {
        match self.view.role(&user) {
            Some(Role::Owner) => return Err(Refusal::IsOwner(user)),
            Some(Role::Admin) => return Err(Refusal::IsAdmin(user)),
            _ => self.plain_member(user, incarnation)?,
        }
        if self.view.admins.len() < GROUP_ADMINS_MAX {
            Ok(())
        } else {
            Err(Refusal::TooMany { what: ADMINS, max: GROUP_ADMINS_MAX })
        }
    }

    fn member(&self) -> Result<(), Refusal> {
        if self.view.is_member(&self.author) { Ok(()) } else { Err(Refusal::NotMember(self.author)) }
    }

    /// Is this person a member at this incarnation, and not the owner?
    fn plain_member(&self, user: UserId, incarnation: u32) -> Result<(), Refusal> {
        match self.view.members.get(&user) {
            None => Err(Refusal::NotMember(user)),
            Some(_) if self.view.is_owner(&user) => Err(Refusal::OwnerMustHandOver),
            Some(member) => same(member.incarnation, incarnation),
        }
    }

    /// What stays valid of a term hangs on its Handover's chains. A gap, or a device left out, would undo what
    /// the owner decided, accepted members included.
    fn covers_term(&self, heads: &[RecordId]) -> Result<(), Refusal> {
        let missing = missing(self.record, self.facts);
        if !missing.is_empty() {
            return Err(Refusal::Missing(missing));
        }
        let mut uncovered = self.view.owner_heads();
        uncovered.extend(self.view.admins.values().flat_map(|admin| &admin.heads));
        uncovered.retain(|head| self.record.prev() != Some(*head) && !heads.contains(head));
        if uncovered.is_empty() { Ok(()) } else { Err(Refusal::StaleHandover { uncovered }) }
    }

    fn share(&self, manifest: &RecordId, incarnation: u32) -> Result<(), Refusal> {
        let member = self.view.members.get(&self.author).ok_or(Refusal::NotMember(self.author))?;
        same(member.incarnation, incarnation)?;
        let described = self.facts.get(manifest).ok_or_else(|| Refusal::Missing(vec![*manifest]))?;
        if described.record.scope() != self.record.scope() {
            return Err(Refusal::WrongScope);
        }
        self.description(described.record.body())?;
        let open = self.view.files.iter().flat_map(|file| &file.shares);
        if open.filter(|share| share.user == self.author).count() >= ACCOUNT_SHARES_MAX {
            return Err(Refusal::TooMany { what: SHARES, max: ACCOUNT_SHARES_MAX });
        }
        Ok(())
    }

    /// Does this Manifest fit what is listed under its name?
    fn description(&self, body: &Body) -> Result<(), Refusal> {
        let Body::Manifest { name, content, metainfo_bytes, .. } = body else {
            return Err(Refusal::WrongScope);
        };
        if *metainfo_bytes as usize > METAINFO_BYTES_MAX {
            return Err(Refusal::TooMany { what: "bytes of metainfo", max: METAINFO_BYTES_MAX });
        }
        let mut listed = self.view.files.iter().filter(|file| file.name == *name).peekable();
        let theirs = listed.peek().map(|file| file.content);
        match theirs {
            Some(theirs) if listed.all(|file| file.content != *content) => {
                Err(Refusal::SameNameOtherContent { theirs, ours: *content })
            }
            _ => Ok(()),
        }
    }
}

fn same(expected: u32, got: u32) -> Result<(), Refusal> {
    if expected == got { Ok(()) } else { Err(Refusal::WrongIncarnation { expected, got }) }
}
