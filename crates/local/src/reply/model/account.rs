//! One's own account, and the commands themselves.

use peerage_node::client::{DeviceLine, PortCheck as Checked, Reach, Whoami};
use schemars::JsonSchema;
use serde::Serialize;

/// `whoami`: the account that is logged in, and this device.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// Name as others see it: the chosen one, or `name#tag` when somebody else had it first.
    pub user: String,
    /// The account.
    pub user_id: String,
    /// This installation's public key.
    pub device: String,
    /// `ip:port` where peers reach it.
    pub listen: String,
    /// `host:port` of the tracker in use.
    pub tracker: String,
    /// A name that was lost, a password change that came to nothing.
    pub notes: Vec<String>,
}

impl From<&Whoami> for Me {
    fn from(me: &Whoami) -> Self {
        Self {
            user: me.user.clone(),
            user_id: me.user_id.to_hex(),
            device: me.device.to_hex(),
            listen: me.listen.to_string(),
            tracker: me.tracker.clone(),
            notes: me.notes.clone(),
        }
    }
}

/// `check_port`: what became of a tracker's connection to this device.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PortCheck {
    /// The port that peers are told.
    pub port: u16,
    /// `ip:port` that the tracker connected to: where it sees this device, with that port.
    pub address: String,
    /// `host:port` of the tracker.
    pub tracker: String,
    /// `device`: this device answered. `other`: something else did. `refused`: by the machine, a router or a firewall.
    /// `silent`: nothing came back within three seconds.
    pub reach: &'static str,
}

impl From<&Checked> for PortCheck {
    fn from(checked: &Checked) -> Self {
        let reach = match checked.reach {
            Reach::Device => "device",
            Reach::Other => "other",
            Reach::Refused => "refused",
            Reach::Silent => "silent",
        };
        let (address, tracker) = (checked.address.clone(), checked.tracker.clone());
        Self { port: checked.port, address, tracker, reach }
    }
}

/// `list_devices`: one installation of the account.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Device {
    /// Its public key.
    pub device: String,
    /// The beginning of it in another form, as `revoke_device` takes it.
    pub tag: String,
    /// What the machine was called when it logged in first.
    pub label: String,
    /// When that was, milliseconds since 1970; nothing while no tracker has said so.
    pub since_unix_ms: Option<u64>,
    /// The device that asks.
    pub this: bool,
    /// Put out of the account.
    pub removed: bool,
}

impl From<&DeviceLine> for Device {
    fn from(d: &DeviceLine) -> Self {
        Self {
            device: d.device.to_hex(),
            tag: d.device.tag(),
            label: d.label.clone(),
            since_unix_ms: d.since_unix_ms,
            this: d.this,
            removed: d.removed,
        }
    }
}

/// `recovery_code`: shown only here.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecoveryCode {
    /// Eight groups of four letters and digits.
    pub code: String,
}

/// `help`: one command.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommandHelp {
    /// Its name.
    pub name: &'static str,
    /// Its arguments as a usage line shows them.
    pub usage: &'static str,
    /// What it does.
    pub summary: &'static str,
}
