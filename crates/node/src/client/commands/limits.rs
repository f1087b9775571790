//! `set_limits` and `show_limits`.

use std::sync::PoisonError;

use super::super::session::Session;
use super::super::{GroupRef, Node, Refusal};
use crate::engine::Rates;

/// What to change; nothing leaves a direction as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// What is received: bytes per second, or no limit.
    pub down: Option<Option<u64>>,
    /// What is sent: the same.
    pub up: Option<Option<u64>>,
}

/// One line of `show_limits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitLine {
    /// The group; nothing for everything together.
    pub group: Option<String>,
    /// The limits.
    pub rates: Rates,
}

impl Node {
    /// Changes the limits of everything together, or of a group beside that. They outlive the program.
    pub async fn set_limits(
        &self,
        group: Option<&GroupRef>,
        change: LimitChange,
    ) -> Result<LimitLine, Refusal> {
        let session = self.inner.session()?;
        let id = match group {
            Some(group) => Some(session.my_group(group).await?.view.group),
            None => None,
        };
        let mut limits = session.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = limits.clone();
        let rates = match id {
            Some(id) => new.groups.entry(id).or_default(),
            None => &mut new.all,
        };
        rates.down = change.down.unwrap_or(rates.down);
        rates.up = change.up.unwrap_or(rates.up);
        let line = LimitLine { group: group.map(ToString::to_string), rates: *rates };
        new.groups.retain(|_, rates| !rates.is_unlimited());
        session.keep_limits(&new).map_err(|error| Refusal::local("limits cannot be kept", error))?;
        *limits = new;
        Ok(line)
    }

    /// The limits of everything together, then of the groups that have some, by name.
    pub async fn show_limits(&self) -> Result<Vec<LimitLine>, Refusal> {
        Ok(lines(&*self.inner.session()?))
    }

    /// The limits of everything together, without waiting; none when nobody is logged in.
    pub fn limits_now(&self) -> Rates {
        let session = self.inner.session();
        session.map(|session| session.limits().all).unwrap_or_default()
    }
}

fn lines(session: &Session) -> Vec<LimitLine> {
    let limits = session.limits();
    let name = |group| match session.groups.get(group) {
        Some(state) => state.view.name.to_string(),
        None => session.pinned_name(group).unwrap_or_else(|| format!("group#{}", group.tag())),
    };
    let groups = limits.groups.iter();
    let mut lines: Vec<_> =
        groups.map(|(group, rates)| LimitLine { group: Some(name(group)), rates: *rates }).collect();
    lines.push(LimitLine { group: None, rates: limits.all });
    lines.sort_by(|a, b| a.group.cmp(&b.group));
    lines
}
