//! The commands there are: what `help`, usage lines and completion are made of.

/// What an argument stands for: how it is completed, and whether it may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user id.
    User,
    /// Never kept, never completed.
    Password,
    /// A group.
    Group,
    /// A file of the group named before it.
    File,
    /// A path on this machine.
    Path,
    /// A device of the account.
    Device,
    /// A pasted invite.
    Invite,
    /// How much a file is wanted.
    Priority,
    /// A word that is chosen here.
    Word,
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// Its name in the HTTP API and in `--help`.
    pub name: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// May be left out, with all that follow.
    pub optional: bool,
}

/// One option, `--name` or `--name VALUE`; it may stand anywhere behind the command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    /// Its name without the hyphens.
    pub name: &'static str,
    /// What follows it; nothing for a switch.
    pub value: Option<&'static str>,
}

/// Shorter names of the two longest commands, in the shell and as subcommands; `get` takes several
/// files, and downloads to where one is if it is not told where to.
pub const SHORT_NAMES: [(&str, &str); 2] = [("get", "download_file"), ("share", "upload_file")];
/// How near a mistyped word must be to a command to be taken for it, from 0 to 1.
const CLOSE_MIN: f64 = 0.6;
/// What is shorter is not looked for within names.
const PART_CHARS_MIN: usize = 4;

/// One command.
#[derive(Debug)]
pub struct Spec {
    /// The word that calls it.
    pub name: &'static str,
    /// Its arguments as a usage line shows them.
    pub usage: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Its arguments in order.
    pub args: &'static [Arg],
    /// Its options.
    pub options: &'static [Opt],
}

impl Spec {
    /// The command of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = if name == "quit" { "exit" } else { name };
        SPECS.iter().find(|s| s.name == name)
    }

    /// The command that a word of the shell calls: its name, or a shorter one of two.
    pub fn of_word(word: &str) -> Option<&'static Self> {
        Self::find(SHORT_NAMES.iter().find(|(short, _)| *short == word).map_or(word, |(_, name)| name))
    }

    /// The word that somebody may have meant.
    pub fn close_to(word: &str) -> Option<&'static str> {
        let word = word.to_ascii_lowercase().replace('-', "_");
        let words = SPECS.iter().map(|spec| spec.name).chain(SHORT_NAMES.iter().map(|(short, _)| *short));
        let score = |name: &str| match word.len() >= PART_CHARS_MIN {
            true if name.starts_with(&word) => 2.0,
            true if name.split('_').any(|part| part.starts_with(&word)) => 1.0,
            _ => strsim::normalized_damerau_levenshtein(name, &word),
        };
        let scored = words.map(|name| (score(name), name)).filter(|(score, _)| *score >= CLOSE_MIN);
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
    }

    /// The line that wrong arguments are answered with.
    pub fn usage_line(&self) -> String {
        format!("Usage: {} {}", self.name, self.usage).trim_end().to_owned()
    }

    /// Whether it makes sense from outside the shell.
    pub fn is_remote(&self) -> bool {
        !matches!(self.name, "help" | "exit")
    }

    /// Whether a line of it must not be kept in a history.
    pub fn is_secret(&self) -> bool {
        self.args.iter().any(|arg| matches!(arg.kind, Kind::Password | Kind::Invite))
    }
}

macro_rules! specs {
    ($($name:literal $usage:literal
        [$($arg:ident:$kind:ident)* $(| $($may:ident:$may_kind:ident)*)?]
        $({$($option:literal $($value:ident)?),*})?
        $summary:literal)*) => {
        /// All commands, in the order of `help`.
        pub static SPECS: &[Spec] = &[$(Spec {
            name: $name,
            usage: $usage,
            summary: $summary,
            args: &[
                $(Arg { name: stringify!($arg), kind: Kind::$kind, optional: false },)*
                $($(Arg { name: stringify!($may), kind: Kind::$may_kind, optional: true },)*)?
            ],
            options: &[$($(Opt { name: $option, value: specs!(@value $($value)?) }),*)?],
        }),*];
    };
    (@value) => { None };
    (@value $value:ident) => { Some(stringify!($value)) };
}

specs! {
    "create_user" "<user_id> <passwd>" [user:User password:Password | code:Password] "create an account; a third argument is the registration code, where one is asked for"
    "login" "<user_id> <passwd>" [user:User password:Password] "log in; earlier shares and downloads resume"
    "logout" "" [] "stop sharing until the next login"
    "whoami" "" [] "who is logged in, and where peers reach this device"
    "check_port" "" [] "whether others can connect to this device, as the tracker sees it"
    "change_password" "<old_passwd> <new_passwd>" [old:Password new:Password] "change the password on every tracker"
    "claim_name" "<name> <passwd>" [name:Word password:Password] "another name, for example after yours went to somebody else"
    "list_devices" "" [] "where this account has logged in"
    "revoke_device" "<device_id> <passwd> [--force]" [device:Device password:Password] {"force"} "put a device out of the account for good; --force: although a tracker is away"
    "recovery_code" "<passwd>" [password:Password] "a new code that sets a new password; shown once"
    "recover" "<user_id> <recovery_code> <new_passwd>" [user:User code:Password new:Password] "set a new password with the code"
    "create_group" "<group_id>" [group:Group] "create a group and own it"
    "join_group" "<group_id>" [group:Group] "ask the owner to let you in"
    "invite" "<group_id> [--pre-approved] [--expires TIME] [--uses NUMBER]" [group:Group] {"pre-approved", "expires" TIME, "uses" NUMBER} "a line to paste to somebody, which leads them to the group; --pre-approved: straight in, for 7d and 1 person if not said otherwise"
    "invites" "<group_id>" [group:Group] "pre-approved invites, and what has become of them"
    "withdraw_invite" "<group_id> <invite_id>" [group:Group invite:Word] "let nobody in by an invite any more"
    "join" "<invite> [--wait] [--timeout SECONDS]" [invite:Invite] {"wait", "timeout" SECONDS} "into the group that an invite leads to, or ask its owner; --wait: until the request is answered"
    "leave_group" "<group_id>" [group:Group] "leave; an owner's group passes on"
    "list_groups" "" [] "all groups"
    "list_members" "<group_id>" [group:Group] "who is in a group"
    "list_requests" "<group_id>" [group:Group] "who has asked to join"
    "accept_request" "<group_id> <user_id>" [group:Group user:User] "let somebody in"
    "reject_request" "<group_id> <user_id>" [group:Group user:User] "turn somebody away"
    "kick" "<group_id> <user_id>" [group:Group user:User] "remove a member"
    "grant_admin" "<group_id> <user_id>" [group:Group user:User] "let a member accept, reject and kick"
    "revoke_admin" "<group_id> <user_id>" [group:Group user:User] "make an admin a plain member again"
    "hand_over" "<group_id> <user_id>" [group:Group user:User] "make a member the owner, and stay"
    "close_group" "<group_id>" [group:Group] "end a group for everybody"
    "audit" "<group_id>" [group:Group] "who did what when, and whether it counts"
    "list_files" "<group_id> [--search TEXT] [--sort name|size|sharers] [--reverse] [--from N] [--limit N]" [group:Group] {"search" TEXT, "sort" ORDER, "reverse", "from" N, "limit" N} "every file of a group, or a part of the list"
    "list_folder" "<group_id> <file_name>" [group:Group file:File] "what is in a shared folder"
    "upload_file" "<file_path> <group_id>" [path:Path group:Group] "share a file or a folder where it lies"
    "stop_share" "<group_id> <file_name>" [group:Group file:File] "stop sharing a file"
    "download_file" "<group_id> <file_name> <destination_path> [--only PATTERN]... [--into-existing] [--preview] [--leave]" [group:Group file:File destination:Path] {"only" PATTERN, "into-existing", "preview", "leave"} "download to a folder or file name; of a folder only some files, over what lies there, both ends of each file first, without sharing it on for longer than others need it"
    "pause_download" "<group_id> <file_name>" [group:Group file:File] "stop a download until it is resumed"
    "resume_download" "<group_id> <file_name>" [group:Group file:File] "let a paused download go on"
    "cancel_download" "<group_id> <file_name>" [group:Group file:File] "end a download and remove what has arrived of it"
    "set_priority" "<group_id> <file_name> <priority> [--only PATTERN]..." [group:Group file:File priority:Priority] {"only" PATTERN} "which files of a folder that is being downloaded come first (high), like most (normal), last (low), or not at all (skip)"
    "scrub" "<group_id> <file_name>" [group:Group file:File] "read a share again to find what went bad on the disk, and have it repaired"
    "set_limits" "[<group_id>] [--down RATE] [--up RATE]" [| group:Group] {"down" RATE, "up" RATE} "how fast everything, or a group, may be: 500K, 2M (a second), or none"
    "show_limits" "" [] "how fast everything and single groups may be"
    "forget_download" "<group_id> <file_name>" [group:Group file:File] "take a complete download off the list; the file stays, and stays shared"
    "show_download" "<group_id> <file_name>" [group:Group file:File] "pieces and connected peers of a download"
    "show_downloads" "" [] "what is running [D] and complete [C]"
    "list_peers" "<group_id> <file_name>" [group:Group file:File] "who has how much of a file"
    "wait" "[<group_id> <file_name>] [--timeout SECONDS]" [| group:Group file:File] {"timeout" SECONDS} "until the download, or all, are complete"
    "help" "" [] "this list"
    "exit" "" [] "log out and end"
}

/// The text of `help`, one line per command.
pub fn help_lines() -> Vec<String> {
    let left = |s: &Spec| format!("{} {}", s.name, s.usage);
    let width = SPECS.iter().map(|s| left(s).len()).filter(|w| *w < 50).max().unwrap_or(0);
    SPECS.iter().map(|s| format!("{:width$}  {}", left(s), s.summary)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_and_documented() {
        for spec in SPECS {
            assert!(std::ptr::eq(Spec::find(spec.name).unwrap(), spec));
            assert!(help_lines().iter().any(|l| l.starts_with(spec.name)));
        }
        assert_eq!(Spec::find("login").unwrap().usage_line(), "Usage: login <user_id> <passwd>");
        assert_eq!(Spec::find("logout").unwrap().usage_line(), "Usage: logout");
        for secret in
            ["login", "change_password", "claim_name", "revoke_device", "recovery_code", "recover", "join"]
        {
            assert!(Spec::find(secret).unwrap().is_secret(), "{secret}");
        }
        assert!(Spec::find("login").unwrap().is_secret() && !Spec::find("kick").unwrap().is_secret());
        assert!(Spec::find("nonsense").is_none() && Spec::find("get").is_none());
        assert_eq!(Spec::of_word("get").unwrap().name, "download_file");
    }

    #[test]
    fn mistyped_words_lead_somewhere() {
        for (word, meant) in [
            ("list_group", "list_groups"),
            ("lgoin", "login"),
            ("Login", "login"),
            ("download", "download_file"),
            ("members", "list_members"),
            ("show-downloads", "show_downloads"),
            ("shrae", "share"),
            ("exti", "exit"),
        ] {
            assert_eq!(Spec::close_to(word), Some(meant), "{word}");
        }
        for word in ["frobnicate", "nonsense", "ls", "", "x"] {
            assert_eq!(Spec::close_to(word), None, "{word}");
        }
    }
}
