//! Every maximum and deadline of the tracker in one place. None of them decides a view.

use std::time::Duration;

use peerage_types::limits::{AUTH_RECORD_BYTES_MAX, BUNDLE_RECORDS_MAX, METAINFO_BYTES_MAX};

/// Open connections, TLS handshakes included. Each costs about 64 KiB when it is idle.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// Open connections of one remote address; loopback is exempt (a class-room machine runs everything on it).
pub(crate) const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// From `accept` to the end of the TLS handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the end of the TLS handshake to the first complete request header.
pub(crate) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without any request in flight is closed after this long.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// HTTP/2 pings find out that the other end vanished.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a ping may stay unanswered.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests in flight on one connection.
pub(crate) const STREAMS_MAX: u32 = 128;
/// All header fields of one request.
pub(crate) const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// From the request header to the last byte of its body.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long `shutdown` waits for requests in flight.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Request body of every route that does not say otherwise.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// A bundle: its records and their CBOR headers.
pub(crate) const BUNDLE_BYTES_MAX: usize = BUNDLE_RECORDS_MAX * (AUTH_RECORD_BYTES_MAX + 16) + 64;
/// What one tracker sends another in one request.
pub(crate) const PEER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A metainfo file.
pub(crate) const METAINFO_BODY_BYTES_MAX: usize = METAINFO_BYTES_MAX;
/// Metainfo files that are received, read or checked at once, half of them uploads: bounds their memory to 512 MiB
/// at worst.
pub(crate) const METAINFO_IN_FLIGHT_MAX: usize = 16;

/// Commands waiting for the replica task; when it is full, requests wait in their own tasks.
pub(crate) const REPLICA_QUEUE_MAX: usize = 1_024;
/// Batches that one database transaction takes together (group commit).
pub(crate) const COMMIT_BATCHES_MAX: usize = 256;
/// What `append` takes in one transaction.
pub(crate) const COMMIT_ROWS_MAX: usize = 4_096;
/// Scopes whose facts are kept in memory.
pub(crate) const SCOPES_CACHED_MAX: usize = 4_096;
/// Records of all cached scopes together (about 1 KiB each).
pub(crate) const RECORDS_CACHED_MAX: usize = 400_000;
/// Devices whose account is remembered.
pub(crate) const DEVICES_CACHED_MAX: usize = 65_536;
/// Group records that are read from the store at once for a page of the group list.
pub(crate) const GROUPS_CHUNK: usize = 256;
/// An announce of [`peerage_link::api::ANNOUNCE_ITEMS_MAX`] swarms with four addresses each.
pub(crate) const ANNOUNCE_BYTES_MAX: usize = 512 * 1024;

/// How long a request waits for records that its sender has seen and this tracker has not.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_millis(500);
/// Requests that wait so at once.
pub(crate) const CATCHING_UP_MAX: usize = 256;

/// Events that a slow listener may lag behind before its stream ends (it then asks for everything again).
pub(crate) const EVENTS_LAG_MAX: usize = 1_024;
/// Open event streams of one device.
pub(crate) const EVENT_STREAMS_PER_DEVICE_MAX: usize = 8;

/// Buckets of one rate limit (one per account or address prefix).
pub(crate) const RATE_BUCKETS_MAX: usize = 65_536;

/// How often expiry runs and presence changes go to the other trackers.
pub(crate) const PRESENCE_TICK: Duration = Duration::from_secs(1);
/// One call to another tracker, until the answer begins: it writes up to 4 MiB to its disk first.
pub(crate) const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Connecting to another tracker: TCP and TLS.
pub(crate) const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const _: () = assert!(BODY_BYTES_MAX < BUNDLE_BYTES_MAX && BUNDLE_BYTES_MAX < PEER_BYTES_MAX);
