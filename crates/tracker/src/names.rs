//! Who has which name: claims from the store, ends of groups from the views, settled by the ledger.
//!
//! Blocking, like the views.

use std::str::FromStr;

use peerage_ledger::{GroupClaim, Holder, Winner, settle_group_name, settle_user_name};
use peerage_link::api::NAMESAKES_MAX;
use peerage_types::{FoldedName, Name, UserId};

use crate::error::Failure;
use crate::state::State;
use crate::views::ViewError;

/// A user or group as people write it: `name`, or `name#tag` for one that lost its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameRef {
    pub(crate) name: Name,
    pub(crate) tag: Option<String>,
}

impl FromStr for NameRef {
    type Err = peerage_types::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, tag) = match text.split_once('#') {
            Some((name, tag)) => (name, Some(tag.to_ascii_lowercase())),
            None => (text, None),
        };
        Ok(Self { name: name.parse()?, tag })
    }
}

impl State {
    /// Who has this user name.
    pub(crate) fn user_named(&self, name: &FoldedName) -> Result<Option<Winner>, ViewError> {
        Ok(settle_user_name(&self.store.user_claims(name)?))
    }

    /// All groups that were founded under this name.
    pub(crate) fn group_claims(&self, name: &FoldedName) -> Result<Vec<GroupClaim>, ViewError> {
        self.with_ends(self.store.group_claims(name)?)
    }

    /// Fills in how each claiming group ended.
    pub(crate) fn with_ends(&self, mut claims: Vec<GroupClaim>) -> Result<Vec<GroupClaim>, ViewError> {
        for claim in &mut claims {
            let group = self.views.group(&claim.genesis.into())?;
            claim.ended_by = group.view.as_ref().and_then(|view| view.ended_by);
        }
        Ok(claims)
    }

    /// Who has this group name, or had it last.
    pub(crate) fn group_named(&self, name: &FoldedName) -> Result<Option<Holder>, ViewError> {
        Ok(settle_group_name(&self.group_claims(name)?))
    }

    /// The user who may log in under this name.
    pub(crate) fn user_of_name(&self, name: &Name) -> Result<Option<UserId>, ViewError> {
        Ok(self.user_named(&name.folded())?.map(|winner| winner.user))
    }

    /// Whom `name` or `name#tag` calls, and to a plain name the others who claimed it, first claimed first.
    pub(crate) fn user_called(&self, text: &str) -> Result<(UserId, Vec<UserId>), Failure> {
        let unknown = || Failure::not_found(format!("user `{text}` does not exist"));
        let wanted: NameRef = text.parse().map_err(|_| unknown())?;
        let claims = self.store.user_claims(&wanted.name.folded())?;
        let Some(tag) = wanted.tag else {
            let winner = settle_user_name(&claims).ok_or_else(unknown)?.user;
            let mut others: Vec<UserId> = Vec::new();
            for claim in claims.iter().filter(|claim| claim.user != winner) {
                if !others.contains(&claim.user) {
                    others.push(claim.user);
                }
                if others.len() == NAMESAKES_MAX {
                    break;
                }
            }
            return Ok((winner, others));
        };
        let tagged = claims.iter().find(|claim| claim.user.tag() == tag).ok_or_else(unknown)?;
        Ok((tagged.user, Vec::new()))
    }
}
