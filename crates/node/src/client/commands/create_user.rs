//! `create_user`: an identity key, a password that no tracker sees, and a name.

use peerage_ledger::Body;
use peerage_link::api::{self, ErrorCode, path};
use peerage_types::Name;

use super::super::folder::AccountFolder;
use super::super::outbox::{OutboxFile, SendError, Unreachable, no_supply};
use super::super::own::Remembered;
use super::super::passwords;
use super::super::trackers::TrackersError;
use super::super::unlock::{Identity, public, register};
use super::super::{Node, Refusal};

impl Node {
    /// Creates an account. Its identity key leaves this function only sealed under the password.
    /// `code`: what the trackers ask of those who create accounts, if it is not in the node's configuration.
    pub async fn create_user(&self, name: &Name, password: &str, code: Option<&str>) -> Result<(), Refusal> {
        let cluster = self.inner.cluster().await?;
        let request = api::UserNamesRequest { names: vec![name.clone()] };
        let taken: api::UserNamesResponse =
            cluster.trackers.call(path::USER_NAMES, &request).await.map_err(|e| cluster.refuse(e))?;
        if taken.users.iter().any(Option::is_some) {
            return Err(Refusal::UserExists);
        }
        let code = code.map(str::to_owned).or_else(|| self.inner.registration_code.clone());
        let mut identity = Identity::new(cluster.id)?;
        let auth = register(&cluster, &cluster.trackers, &identity, password, None, code).await?;
        let genesis = Body::AccountGenesis { identity: public(&identity.key) };
        let bodies = [genesis, Body::UserNameClaim { name: name.clone() }, auth];
        let signed = bodies.map(|body| identity.sign(body));
        let records = signed.iter().map(|record| record.shared_bytes()).collect();

        let local = |error: &dyn std::fmt::Display| Refusal::Local(error.to_string());
        let folder = AccountFolder::lock(self.inner.root.account(&cluster.id, &identity.user))
            .map_err(|e| local(&e))?;
        let outbox = OutboxFile::open(folder.path()).map_err(|e| local(&e))?;
        let remembered = Remembered { names: vec![name.clone()], auth: None };
        remembered.save(folder.path()).map_err(|e| local(&e))?;
        let [_, _, auth] = &signed;
        passwords::keep(folder.path(), &identity.key, auth);
        let sent = outbox.send(&cluster.trackers, records, Unreachable::GiveUp, &no_supply).await;
        sent.map_err(|error| {
            // The account never came into being, and its folder holds nothing but an empty lock and its name.
            let _ = std::fs::remove_dir_all(folder.path());
            match error {
                SendError::Trackers(TrackersError::Refused(e))
                    if matches!(e.code, ErrorCode::NameTaken | ErrorCode::UserExists) =>
                {
                    Refusal::UserExists
                }
                SendError::Trackers(error) => cluster.refuse(error),
                SendError::Folder(error) => local(&error),
            }
        })
    }
}
