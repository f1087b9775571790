//! What happens by itself, in words.

use peerage_node::client::{CloseReport, Decision, Notice};

use super::human;

/// A notice's kind, in one word.
pub fn notice_kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::Completed { .. } => "completed",
        Notice::Left { .. } => "left",
        Notice::ShareBroken { .. } => "share_broken",
        Notice::Damaged { .. } => "damaged",
        Notice::Repaired { .. } => "repaired",
        Notice::GroupNameMoved { .. } => "group_name_moved",
        Notice::KeptBack { .. } => "kept_back",
        Notice::Forged { .. } => "forged",
        Notice::GivenUp { .. } => "given_up",
        Notice::Forked { .. } => "forked",
        Notice::Unknown { .. } => "unknown_group",
        Notice::LaterGroup { .. } => "later_group",
        Notice::Decided { .. } => "decided",
        Notice::Requested { .. } => "requested",
        Notice::Stopped { .. } => "stopped",
        Notice::Trackers { reachable: true } => "trackers_back",
        Notice::Trackers { reachable: false } => "trackers_lost",
        Notice::TrackerChanged { .. } => "tracker_changed",
        Notice::Account(_) => "account",
        Notice::Warning(_) => "warning",
    }
}

/// The name of the group that a notice is about.
pub fn notice_group(notice: &Notice) -> Option<&str> {
    match notice {
        Notice::Completed { group, .. }
        | Notice::Left { group, .. }
        | Notice::KeptBack { group, .. }
        | Notice::Forged { group, .. }
        | Notice::Forked { group, .. }
        | Notice::Unknown { group, .. }
        | Notice::Decided { group, .. }
        | Notice::Requested { group, .. }
        | Notice::Stopped { group, .. } => Some(group),
        Notice::GroupNameMoved { name, .. } | Notice::LaterGroup { name, .. } => Some(name),
        Notice::ShareBroken { .. }
        | Notice::Damaged { .. }
        | Notice::Repaired { .. }
        | Notice::GivenUp { .. }
        | Notice::Trackers { .. }
        | Notice::TrackerChanged { .. }
        | Notice::Account(_)
        | Notice::Warning(_) => None,
    }
}

/// A notice as one line.
pub fn notice_line(notice: &Notice) -> String {
    match notice {
        Notice::Completed { group, name, path } => {
            format!("[C] [{group}] {name} is complete: {}", path.display())
        }
        Notice::Left { group, name } => {
            format!("[{group}] {name} is handed on and not served any more, as --leave asks; the file stays")
        }
        Notice::ShareBroken { name, why } => format!("{name} is no longer shared: {why}"),
        Notice::Damaged { name, why } => format!("{name} is damaged: {why}"),
        Notice::Repaired { name } => format!("{name} is repaired, and all of it shared again"),
        Notice::GroupNameMoved { name, before, now } => {
            format!("the group name {name} now leads to group {} instead of {}", now.tag(), before.tag())
        }
        Notice::KeptBack { tracker, group, records } => format!(
            "tracker {tracker} keeps back {} of group {group} that it was given; this device goes by what it has seen",
            human::count(*records as u64, "record")
        ),
        Notice::Forged { tracker, group, records } => format!(
            "tracker {tracker} shows {} of group {group} that somebody forged; without effect",
            human::count(*records as u64, "record")
        ),
        Notice::GivenUp { what, why, path } => format!(
            "a tracker acknowledged `{what}` and lost it, and all trackers refuse it now ({why}): it is sent no more, its \
             records are kept in `{}`",
            path.display()
        ),
        Notice::Forked { group, user } => format!(
            "a device of {user} said two things at once in group {group}: it was copied or set back, or its key was stolen"
        ),
        Notice::Unknown { tracker, group, listed } => {
            let what = if *listed { "leaves out" } else { "does not know" };
            format!("tracker {tracker} {what} group {group}; this device goes by what it has seen")
        }
        Notice::LaterGroup { tracker, name, named } => format!(
            "tracker {tracker} names group {} for {name}, which came later than the one known here; not followed",
            named.tag()
        ),
        Notice::Decided { group, decision } => match decision {
            Decision::Accepted => format!("you are a member of {group} now"),
            Decision::Rejected => format!("your request to join {group} was rejected"),
            Decision::Kicked => format!("you were removed from {group}"),
            Decision::Admin => {
                format!("you are an admin of {group} now: accept_request, reject_request, kick")
            }
            Decision::NoAdmin => format!("you are no admin of {group} any more"),
            Decision::Owner => format!("you own {group} now"),
            Decision::Closed => format!("{group} was closed"),
        },
        Notice::Requested { group, user } => format!("{user} asks to join {group}"),
        Notice::Stopped { group, name, why } => format!("[{group}] {name}: {why}"),
        Notice::Trackers { reachable: true } => "a tracker answers again".to_owned(),
        Notice::Trackers { reachable: false } => {
            "no tracker answers; transfers between members go on, and it is tried again".to_owned()
        }
        Notice::TrackerChanged { now } => format!("tracker {now} took over"),
        Notice::Account(text) | Notice::Warning(text) => text.clone(),
    }
}

/// What the program could not finish, as lines for stderr.
pub fn close_lines(report: &CloseReport) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.not_on_two_trackers.is_empty() {
        let changes = report.not_on_two_trackers.join(", ");
        lines.push(format!("not on two trackers yet: {changes}; kept here and sent again at the next start"));
    }
    for file in &report.downloads_cut_short {
        lines.push(format!("{file} is not complete; it resumes at the next login"));
    }
    lines.extend(human::last_held(&report.last_held));
    lines
}
