//! What a command is about, for hints that name it.

use super::Command;

impl Command {
    /// The group, as given.
    pub(crate) fn group(&self) -> Option<String> {
        match self {
            Self::CreateGroup { group } => Some(group.to_string()),
            Self::Join { invite } | Self::JoinAndWait { invite, .. } => Some(invite.name.to_string()),
            Self::SetLimits { group, .. } => group.as_ref().map(ToString::to_string),
            Self::Wait { what, .. } => what.as_ref().map(|(group, _)| group.to_string()),
            Self::JoinGroup { group }
            | Self::Invite { group, .. }
            | Self::Invites { group }
            | Self::WithdrawInvite { group, .. }
            | Self::LeaveGroup { group }
            | Self::ListMembers { group }
            | Self::ListRequests { group }
            | Self::AcceptRequest { group, .. }
            | Self::RejectRequest { group, .. }
            | Self::Kick { group, .. }
            | Self::GrantAdmin { group, .. }
            | Self::RevokeAdmin { group, .. }
            | Self::HandOver { group, .. }
            | Self::CloseGroup { group }
            | Self::Audit { group }
            | Self::ListFiles { group, .. }
            | Self::ListFolder { group, .. }
            | Self::UploadFile { group, .. }
            | Self::StopShare { group, .. }
            | Self::DownloadFile { group, .. }
            | Self::PauseDownload { group, .. }
            | Self::ResumeDownload { group, .. }
            | Self::CancelDownload { group, .. }
            | Self::SetPriority { group, .. }
            | Self::Scrub { group, .. }
            | Self::ForgetDownload { group, .. }
            | Self::ShowDownload { group, .. }
            | Self::ListPeers { group, .. } => Some(group.to_string()),
            Self::Several(commands) => commands.first().and_then(Self::group),
            _ => None,
        }
    }

    /// The file of the group, as given.
    pub(crate) fn file(&self) -> Option<String> {
        match self {
            Self::Wait { what, .. } => what.as_ref().map(|(_, file)| file.clone()),
            Self::ListFolder { file, .. }
            | Self::StopShare { file, .. }
            | Self::DownloadFile { file, .. }
            | Self::PauseDownload { file, .. }
            | Self::ResumeDownload { file, .. }
            | Self::CancelDownload { file, .. }
            | Self::SetPriority { file, .. }
            | Self::Scrub { file, .. }
            | Self::ForgetDownload { file, .. }
            | Self::ShowDownload { file, .. }
            | Self::ListPeers { file, .. } => Some(file.clone()),
            _ => None,
        }
    }

    /// The account, as given.
    pub(crate) fn user(&self) -> Option<String> {
        match self {
            Self::CreateUser { user, .. } => Some(user.to_string()),
            Self::Login { user, .. }
            | Self::Recover { user, .. }
            | Self::AcceptRequest { user, .. }
            | Self::RejectRequest { user, .. }
            | Self::Kick { user, .. }
            | Self::GrantAdmin { user, .. }
            | Self::RevokeAdmin { user, .. }
            | Self::HandOver { user, .. } => Some(user.to_string()),
            _ => None,
        }
    }
}
