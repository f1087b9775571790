//! One's own account: session, name, password, devices, and the way back in.

use peerage_node::client::{DeviceLine, Node, Refusal, Unsure, UserRef};
use peerage_types::{Name, utc};

use crate::command::Password;
use crate::reply::{Done, Item, human, model};

/// Passwords below this many characters are accepted with a warning: whoever runs a tracker can try them one by one.
const PASSWORD_CHARS_ADVISED: usize = 8;

pub(super) async fn create(
    node: &Node,
    user: Name,
    password: Password,
    code: Option<&Password>,
) -> Result<Done, Refusal> {
    node.create_user(&user, &password.0, code.map(|code| code.0.as_str())).await?;
    Ok(Done::say("User created!").next(format!("login {user} <passwd>")).note(weak(&password)))
}

pub(super) async fn login(node: &Node, user: &UserRef, password: &Password) -> Result<Done, Refusal> {
    let reply = node.login(user, &password.0).await?;
    let mut next = match (reply.shares, reply.downloads) {
        (0, 0) => "`create_group <group_id>`, or `list_groups` and `join_group <group_id>`".to_owned(),
        (s, d) => {
            format!("resumed {} and {}", human::count(s as u64, "share"), human::count(d as u64, "download"))
        }
    };
    for broken in &reply.broken {
        next.push_str("\nhint: not shared: ");
        next.push_str(broken);
    }
    Ok(Done::say("Logged in successfully").next(next).note(reply.notes))
}

pub(super) async fn logout(node: &Node) -> Result<Done, Refusal> {
    let last_held = node.logout().await?;
    let done = Done::say("Logged out successfully").note(human::last_held(&last_held));
    Ok(done.next("`login <user_id> <passwd>`, or `exit`"))
}

pub(super) async fn whoami(node: &Node) -> Result<Done, Refusal> {
    let me = node.whoami().await?;
    let item = Item::new(me.user.clone(), None, &model::Me::from(&me));
    let done = Done { items: Some(vec![item]), ..Done::say(me.user) };
    Ok(done.next(format!("peers reach this device at {}, tracker {}", me.listen, me.tracker)).note(me.notes))
}

pub(super) async fn change_password(node: &Node, old: &Password, new: &Password) -> Result<Done, Refusal> {
    node.change_password(&old.0, &new.0).await?;
    Ok(Done::say("Password changed").next("every device stays logged in").note(weak(new)))
}

pub(super) async fn claim_name(node: &Node, name: Name, password: &Password) -> Result<Done, Refusal> {
    node.claim_name(&name, &password.0).await?;
    Ok(Done::say("Name claimed").next(format!("others see you as {name}; earlier names stay yours")))
}

pub(super) async fn list_devices(node: &Node) -> Result<Done, Refusal> {
    let devices = node.list_devices().await?;
    Ok(Done::list(devices.iter().map(device_item).collect(), "device", "No devices at this time")
        .next("revoke_device <device_id> <passwd>"))
}

fn device_item(device: &DeviceLine) -> Item {
    let since = device.since_unix_ms.map(|ms| format!("since {}", utc(ms)));
    let this = device.this.then(|| "this device".to_owned());
    let removed = device.removed.then(|| "removed".to_owned());
    let detail: Vec<String> =
        [Some(device.label.clone()), since, this, removed].into_iter().flatten().collect();
    Item::new(device.device.tag(), Some(detail.join(", ")), &model::Device::from(device))
}

pub(super) async fn revoke_device(
    node: &Node,
    device: &str,
    password: &Password,
    unsure: Unsure,
) -> Result<Done, Refusal> {
    node.revoke_device(device, &password.0, unsure).await?;
    Ok(Done::say("Device removed")
        .next("what it did stays valid; whoever has it and the password: `change_password <old_passwd> <new_passwd>`"))
}

pub(super) async fn recovery_code(node: &Node, password: &Password) -> Result<Done, Refusal> {
    let code = node.recovery_code(&password.0).await?;
    let item = Item::new(code.clone(), None, &model::RecoveryCode { code });
    let done = Done { items: Some(vec![item]), ..Done::say("Recovery code created") };
    Ok(done.next(
        "write it down, it is not shown again and the one before it is void; \
         `recover <user_id> <recovery_code> <new_passwd>`",
    ))
}

pub(super) async fn recover(
    node: &Node,
    user: &UserRef,
    code: &Password,
    password: &Password,
) -> Result<Done, Refusal> {
    node.recover(user, &code.0, &password.0).await?;
    Ok(Done::say("Password changed").next(format!("login {user} <passwd>")).note(weak(password)))
}

fn weak(password: &Password) -> Option<String> {
    (password.0.chars().count() < PASSWORD_CHARS_ADVISED).then(|| {
        format!(
            "this password is shorter than {PASSWORD_CHARS_ADVISED} characters: whoever runs a tracker could guess \
             it; `change_password <old_passwd> <new_passwd>`"
        )
    })
}
