//! Runs the commands about one's own account and words their replies.

use peerage_node::client::{Node, Refusal};
use peerage_types::utc;
use serde_json::json;

use super::human;
use super::outcome::{Done, Item};
use super::parse::{Command, Password};

/// Passwords below this many characters are accepted with a warning: whoever runs a tracker can try them one by one.
const PASSWORD_CHARS_ADVISED: usize = 8;

/// Creating an account, the session, and who it is.
pub async fn account(node: &Node, command: Command) -> Result<Done, Refusal> {
    Ok(match command {
        Command::CreateUser { user, password, code } => {
            node.create_user(&user, &password.0, code.as_ref().map(|code| code.0.as_str())).await?;
            Done::say("User created!").next(format!("login {user} <passwd>")).note(weak(&password))
        }
        Command::Login { user, password } => {
            let reply = node.login(&user, &password.0).await?;
            let mut next = match (reply.shares, reply.downloads) {
                (0, 0) => {
                    "`create_group <group_id>`, or `list_groups` and `join_group <group_id>`".to_owned()
                }
                (s, d) => {
                    format!(
                        "resumed {} and {}",
                        human::count(s as u64, "share"),
                        human::count(d as u64, "download")
                    )
                }
            };
            for broken in &reply.broken {
                next.push_str("\nhint: not shared: ");
                next.push_str(broken);
            }
            Done::say("Logged in successfully").next(next).note(reply.notes)
        }
        Command::Logout => {
            node.logout().await?;
            Done::say("Logged out successfully").next("`login <user_id> <passwd>`, or `exit`")
        }
        _ => {
            let me = node.whoami().await?;
            let json = json!({
                "user": me.user,
                "user_id": me.user_id.to_hex(),
                "device": me.device.to_hex(),
                "listen": me.listen.to_string(),
                "tracker": me.tracker,
                "notes": me.notes,
            });
            let message = me.user.clone();
            Done { items: Some(vec![Item { line: me.user, detail: None, json }]), ..Done::say(message) }
                .next(format!("peers reach this device at {}, tracker {}", me.listen, me.tracker))
                .note(me.notes)
        }
    })
}

/// Names, passwords, devices and the way back in.
pub async fn identity(node: &Node, command: Command) -> Result<Done, Refusal> {
    Ok(match command {
        Command::ChangePassword { old, new } => {
            node.change_password(&old.0, &new.0).await?;
            Done::say("Password changed").next("every device stays logged in").note(weak(&new))
        }
        Command::ClaimName { name, password } => {
            node.claim_name(&name, &password.0).await?;
            Done::say("Name claimed").next(format!("others see you as {name}; earlier names stay yours"))
        }
        Command::RevokeDevice { device, password } => {
            node.revoke_device(&device, &password.0).await?;
            Done::say("Device removed")
                .next("what it did stays valid; whoever has it and the password: change_password")
        }
        Command::RecoveryCode { password } => {
            let code = node.recovery_code(&password.0).await?;
            let item = Item { line: code.clone(), detail: None, json: json!({ "code": code }) };
            Done { items: Some(vec![item]), ..Done::say("Recovery code created") }.next(
                "write it down, it is not shown again and the one before it is void; \
                 `recover <user_id> <recovery_code> <new_passwd>`",
            )
        }
        Command::Recover { user, code, password } => {
            node.recover(&user, &code.0, &password.0).await?;
            Done::say("Password changed").next(format!("login {user} <passwd>")).note(weak(&password))
        }
        _ => {
            let devices = node.list_devices().await?.into_iter().map(|device| {
                let tag = device.device.tag();
                let since = device.since_unix_ms.map(|ms| format!("since {}", utc(ms)));
                let this = device.this.then(|| "this device".to_owned());
                let removed = device.removed.then(|| "removed".to_owned());
                let detail: Vec<String> =
                    [Some(device.label.clone()), since, this, removed].into_iter().flatten().collect();
                Item {
                    detail: Some(detail.join(", ")),
                    json: json!({
                        "device": device.device.to_hex(),
                        "tag": tag,
                        "label": device.label,
                        "since_unix_ms": device.since_unix_ms,
                        "this": device.this,
                        "removed": device.removed,
                    }),
                    line: tag,
                }
            });
            Done::list(devices.collect(), "device", "No devices at this time")
                .next("revoke_device <device_id> <passwd>")
        }
    })
}

fn weak(password: &Password) -> Option<String> {
    (password.0.chars().count() < PASSWORD_CHARS_ADVISED).then(|| {
        format!(
            "this password is shorter than {PASSWORD_CHARS_ADVISED} characters: whoever runs a tracker could guess \
             it; `change_password <old_passwd> <new_passwd>`"
        )
    })
}
