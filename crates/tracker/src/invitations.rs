//! The registration code: who may create accounts at all, where the operators ask for one.
//!
//! The code comes with the first half of a registration. Whoever knew it may then submit this one account here; the
//! other trackers take it from this one, as everything. Nothing is written down. An account that this cluster accepted
//! before needs no code again: its members bring it back with the receipt when a backup was restored.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use peerage_link::api::ErrorCode;
use peerage_types::UserId;

use crate::error::Failure;
use crate::limits::INVITED_MAX;

/// Longest code, in bytes.
const CODE_BYTES_MAX: usize = 256;

/// Without a code everybody may create accounts.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    /// Its hash: comparing hashes takes the same time whatever is wrong.
    code: Option<blake3::Hash>,
    invited: Mutex<Invited>,
}

#[derive(Debug, Default)]
struct Invited {
    users: HashSet<UserId>,
    /// The same, oldest first: it goes when there are too many.
    order: VecDeque<UserId>,
}

impl Invitations {
    /// Reads the code from a file: its text without the white space around it.
    pub(crate) fn read(file: Option<&Path>) -> io::Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(file)?;
        let code = text.trim();
        if code.is_empty() || code.len() > CODE_BYTES_MAX {
            let why = format!("the code has {} bytes, expected 1 to {CODE_BYTES_MAX}", code.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Self { code: Some(blake3::hash(code.as_bytes())), ..Self::default() })
    }

    /// Somebody wants to create this account and shows a code, or none.
    pub(crate) fn invite(&self, user: UserId, shown: Option<&str>) -> Result<(), Failure> {
        let Some(code) = &self.code else { return Ok(()) };
        match shown {
            Some(shown) if blake3::hash(shown.trim().as_bytes()) == *code => {}
            Some(_) => return Err(refused("this registration code is not the one of these trackers")),
            None => return Err(refused("these trackers take new accounts only with a registration code")),
        }
        self.vouched(user);
        Ok(())
    }

    /// This account may be submitted: its maker knew the code, or the cluster had accepted it before.
    pub(crate) fn vouched(&self, user: UserId) {
        let mut invited = self.invited.lock().unwrap_or_else(PoisonError::into_inner);
        if invited.users.insert(user) {
            invited.order.push_back(user);
        }
        if invited.order.len() > INVITED_MAX
            && let Some(oldest) = invited.order.pop_front()
        {
            invited.users.remove(&oldest);
        }
    }

    /// The account is submitted.
    pub(crate) fn require(&self, user: &UserId) -> Result<(), Failure> {
        let invited = || self.invited.lock().unwrap_or_else(PoisonError::into_inner).users.contains(user);
        match self.code.is_none() || invited() {
            true => Ok(()),
            false => Err(refused("these trackers take new accounts only with a registration code")),
        }
    }
}

fn refused(message: &str) -> Failure {
    Failure::new(ErrorCode::RegistrationCode, message)
        .hint("ask whoever runs the trackers, then `create_user <user_id> <passwd> <code>`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> UserId {
        UserId(*blake3::hash(&n.to_be_bytes()).as_bytes())
    }

    #[test]
    fn only_the_code_invites_and_memory_is_bounded() {
        let open = Invitations::default();
        assert!(open.invite(user(1), None).is_ok() && open.require(&user(2)).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("code");
        std::fs::write(&file, " open sesame\n").unwrap();
        let closed = Invitations::read(Some(&file)).unwrap();
        assert!(closed.invite(user(1), None).is_err() && closed.invite(user(1), Some("open")).is_err());
        assert!(closed.require(&user(1)).is_err());
        assert!(closed.invite(user(1), Some("open sesame")).is_ok() && closed.require(&user(1)).is_ok());
        assert!(closed.require(&user(2)).is_err(), "another account");
        (2..=INVITED_MAX + 1).for_each(|n| drop(closed.invite(user(n), Some("open sesame"))));
        assert!(closed.require(&user(1)).is_err() && closed.require(&user(INVITED_MAX + 1)).is_ok());
        std::fs::write(&file, "\n").unwrap();
        assert!(Invitations::read(Some(&file)).is_err());
    }
}
