//! What both ends of a tracker connection share: the tracker list, the cluster's keyring, TLS with raw public
//! keys, the messages, the OPAQUE suite, the sealed vault, and the client side of the connection.
//!
//! Trackers serve what [`api`] describes; clients and other trackers call it through [`http::TrackerConn`].
//! Nothing here decides anything: who may do what is the ledger's business.

pub mod api;
pub mod armor;
mod file;
pub mod files;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod keyring;
pub mod list;
pub mod opaque;
pub mod place;
pub mod recovery;
pub mod sse;
pub mod tls;
pub mod vault;
