//! Who has which name: claims from the store, ends of groups from the views, settled by the ledger.
//!
//! Blocking, like the views.

use std::str::FromStr;

use peerage_ledger::{GroupClaim, Holder, Winner, settle_group_name, settle_user_name};
use peerage_types::{FoldedName, Name, UserId};

use crate::state::State;
use crate::views::ViewError;

/// A group as people write it: `name`, or `name#tag` for one that lost its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRef {
    pub(crate) name: Name,
    pub(crate) tag: Option<String>,
}

impl FromStr for GroupRef {
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
}
