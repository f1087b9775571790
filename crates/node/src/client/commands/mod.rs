//! One file per command. Each is a method of [`Node`](super::Node) that takes what was parsed and returns what is
//! to be shown, or a [`Refusal`](super::Refusal); a refused command leaves everything as it was.

mod admins;
mod answer_request;
mod audit;
mod change_password;
mod check_port;
mod claim_name;
mod create_group;
mod create_user;
pub mod download_file;
mod hand_over;
pub mod invite;
mod join_and_wait;
mod join_group;
mod leave_group;
pub mod limits;
mod list_devices;
pub mod list_files;
mod list_groups;
mod list_members;
mod list_peers;
mod list_requests;
mod login;
mod logout;
pub mod pause_download;
mod recovery;
pub mod revoke_device;
mod scrub;
mod select;
pub mod set_priority;
mod show_download;
mod show_downloads;
mod stop_share;
pub mod upload_file;
mod wait;
mod whoami;

pub use list_files::Online;
