//! Whether packets get through between a device and a tracker.

use minicbor::{Decode, Encode};

/// Bytes that the tracker sends back as they are; as many as fit into a request of 8 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Echo {
    /// Any.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// Asks the tracker to connect to the caller: to the address that the request comes from, and to no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReachRequest {
    /// Not 0.
    #[n(0)]
    pub port: u16,
}

/// What became of the tracker's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Reach {
    /// The device that asked answered with its key.
    #[n(0)]
    Device,
    /// Something else answers there.
    #[n(1)]
    Other,
    /// The machine, a router or a firewall refused it.
    #[n(2)]
    Refused,
    /// Nothing came back in time.
    #[n(3)]
    Silent,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReachResponse {
    /// The `ip:port` that the tracker connected to.
    #[n(0)]
    pub address: String,
    /// What became of it.
    #[n(1)]
    pub reach: Reach,
}
