//! Every maximum and deadline of the tracker in one place. None of them decides a view.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use peerage_link::http::UPLOAD_RATE_MIN;
use peerage_link::sse::KEEP_ALIVE_INTERVAL_S;
use peerage_types::limits::{AUTH_RECORD_BYTES_MAX, BUNDLE_RECORDS_MAX, METAINFO_BYTES_MAX};

/// Connections that have shown nothing yet but that they exist: from `accept` through the TLS handshake to the
/// first complete request header. The oldest of the network with the most make room for newcomers.
pub(crate) const UNFINISHED_MAX: usize = 1_024;
/// The same of one host.
pub(crate) const UNFINISHED_PER_HOST_MAX: usize = 64;
/// The same of one network.
pub(crate) const UNFINISHED_PER_NETWORK_MAX: usize = 128;
/// The same of this very machine, where a whole class may be at work.
pub(crate) const UNFINISHED_THIS_MACHINE_MAX: usize = 512;
/// Connections that have asked for something. Each costs about 64 KiB when it is idle. When all are taken, those
/// that have been idle the longest make room.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// The same of one host.
pub(crate) const CONNECTIONS_PER_HOST_MAX: usize = 256;
/// The same of one network.
pub(crate) const CONNECTIONS_PER_NETWORK_MAX: usize = 1_024;
/// The same of this very machine.
pub(crate) const CONNECTIONS_THIS_MACHINE_MAX: usize = CONNECTIONS_MAX;
/// Files and sockets that the tracker needs at worst: all connections, those to other trackers, the database.
pub(crate) const OPEN_FILES: u64 = (UNFINISHED_MAX + CONNECTIONS_MAX + 256) as u64;
/// From `accept` to the end of the TLS handshake: five round trips across the world.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the end of the TLS handshake to the first complete request header.
pub(crate) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without any request in flight is closed after this long.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A connection that takes nothing of its answers (HTTP/2 lets it), nor sends the rest of a request, is closed after this
/// long: an event stream gives it something to take twice in that time.
pub(crate) const STALLED_TIMEOUT: Duration = Duration::from_secs(2 * KEEP_ALIVE_INTERVAL_S);
/// After this long it makes room for others, before those that are idle.
pub(crate) const STALLED_EVICTABLE: Duration = Duration::from_secs(5);
/// HTTP/2 pings find out that the other end vanished.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a ping may stay unanswered.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests in flight on one connection.
pub(crate) const STREAMS_MAX: u32 = 128;
/// Streams that were reset before we looked at them, on one connection (RFC 9113, 10.5; CVE-2023-44487).
pub(crate) const STREAMS_RESET_UNSEEN_MAX: usize = 32;
/// Streams that we ended for an error of the other side, on one connection.
pub(crate) const STREAMS_FAILED_MAX: usize = 256;
/// Requests that the other side gave up before the answer, on one connection; more at once end it.
pub(crate) const GIVEN_UP: Rate = Rate { burst: 256, refill: Duration::from_millis(200) };
/// All header fields of one request.
pub(crate) const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Of an answer that the other side does not take, per stream.
pub(crate) const SEND_BUFFER_BYTES_MAX: usize = 128 * 1024;
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
/// Metainfo that is received and checked at once, and as much again that is sent: each file counts from before its first
/// byte until its last one is gone. With what is fetched from other trackers below 600 MiB of memory.
pub(crate) const METAINFO_IN_FLIGHT_BYTES_MAX: usize = 8 * METAINFO_BYTES_MAX;
/// The same of one account.
pub(crate) const METAINFO_IN_FLIGHT_OF_USER_MAX: usize = 2 * METAINFO_BYTES_MAX;
/// How long a request waits for room for its file.
pub(crate) const METAINFO_WAIT_MAX: Duration = Duration::from_millis(1_200);
/// Metainfo moves at least so fast, in bytes per second, once [`METAINFO_GRACE`] is over.
pub(crate) const METAINFO_RATE_MIN: u64 = UPLOAD_RATE_MIN;
/// What a metainfo file may take beside that.
pub(crate) const METAINFO_GRACE: Duration = Duration::from_secs(10);
/// What of an answer goes to HTTP/2 at a time.
pub(crate) const METAINFO_CHUNK_BYTES: usize = 64 * 1024;
/// Metainfo files that are fetched from other trackers at once.
pub(crate) const METAINFO_FETCHES_MAX: usize = 2;
/// Of these, of one account, waiting ones included: so no account keeps others from them.
pub(crate) const METAINFO_FETCHES_OF_USER_MAX: usize = 2;
/// Groups of which one answer shows a device's last records.
pub(crate) const HEADS_PAGE_GROUPS: usize = 32;

/// Commands waiting for the replica task; when it is full, requests wait in their own tasks.
pub(crate) const REPLICA_QUEUE_MAX: usize = 1_024;
/// Batches that one database transaction takes together (group commit).
pub(crate) const COMMIT_BATCHES_MAX: usize = 256;
/// What `append` takes in one transaction.
pub(crate) const COMMIT_ROWS_MAX: usize = 4_096;
/// The same as long as the disk is quick. Else, when all who write wait for one commit, nobody has anything to do
/// meanwhile, and afterwards all have at once.
pub(crate) const COMMIT_ROWS_QUICK: usize = 240;
/// A disk on which a commit takes longer than this is not quick: better few syncs with many rows each.
pub(crate) const COMMIT_QUICK: Duration = Duration::from_millis(20);
/// Bundles waiting to be verified together; when it is full, requests wait in their own tasks.
pub(crate) const VERIFIER_QUEUE_MAX: usize = 1_024;
/// Signers' keys that are kept ready for the next record: 4 MiB.
pub(crate) const KEYS_CACHED_MAX: usize = 16_384;
/// Records that are verified together, the last bundle's rest apart: half a millisecond on one thread.
pub(crate) const VERIFIED_TOGETHER_MAX: usize = 64;
/// Records of one bundle that are verified together with other bundles' and admitted where the request is; more go to a
/// thread that may block.
pub(crate) const VERIFIED_INLINE_MAX: usize = 2;
/// Of a bundle with several records: facts of its group up to which it is admitted where the request is, because the
/// second record copies their map.
pub(crate) const FACTS_INLINE_MAX: usize = 500;
/// Swarms of one announce that are looked up where the request is (a few µs each).
pub(crate) const ANNOUNCED_INLINE_MAX: usize = 16;
/// Scopes whose facts are kept in memory.
pub(crate) const SCOPES_CACHED_MAX: usize = 4_096;
/// Records of all cached scopes together (about 1 KiB each).
pub(crate) const RECORDS_CACHED_MAX: usize = 400_000;
/// Damaged records that are asked for at once.
pub(crate) const DAMAGED_MAX: usize = 1_000;
/// Devices whose account is remembered.
pub(crate) const DEVICES_CACHED_MAX: usize = 65_536;
/// Group records that are read from the store at once for a page of the group list.
pub(crate) const GROUPS_CHUNK: usize = 256;
/// An announce of [`peerage_link::api::ANNOUNCE_ITEMS_MAX`] swarms with four addresses each.
pub(crate) const ANNOUNCE_BYTES_MAX: usize = 512 * 1024;

/// How long a request waits for records that its sender has seen and this tracker has not.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_millis(500);
/// Requests of members that wait so at once.
pub(crate) const CATCHING_UP_MAX: usize = 256;
/// The same of one account.
pub(crate) const CATCHING_UP_OF_USER_MAX: usize = 8;
/// The same of strangers, who may be members at their login.
pub(crate) const CATCHING_UP_STRANGERS_MAX: usize = 32;

/// Events that a slow listener may lag behind before its stream ends (it then asks for everything again).
pub(crate) const EVENTS_LAG_MAX: usize = 1_024;
/// Open event streams of one device.
pub(crate) const EVENT_STREAMS_PER_DEVICE_MAX: usize = 8;

/// Connections to members who ask whether their port can be reached, under way at once. One device has at most one.
pub(crate) const REACHING_MAX: usize = 32;
/// Those of one host, so that a few hosts that answer nothing keep nobody else out.
pub(crate) const REACHING_OF_HOST_MAX: usize = 2;
/// From the first packet of such a connection to the end of its TLS handshake: three round trips, and a packet lost.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// What is sent back as it came: a few packets, to see whether they get through.
pub(crate) const ECHO_BYTES_MAX: usize = 8 * 1024;

/// Open connections for `/metrics` and `/health`: a few who watch, each with one request.
pub(crate) const MONITOR_CONNECTIONS_MAX: usize = 16;
/// From `accept` to the last byte of a request's header there.
pub(crate) const MONITOR_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// From `accept` to the last byte of the answer there.
pub(crate) const MONITOR_TIMEOUT: Duration = Duration::from_secs(15);

/// How often expiry runs and presence changes go to the other trackers.
pub(crate) const PRESENCE_TICK: Duration = Duration::from_secs(1);
/// One call to another tracker, until the answer begins: it writes up to 4 MiB to its disk first.
pub(crate) const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Connecting to another tracker: TCP and TLS.
pub(crate) const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

// A file of the largest size always fits.
const _: () = assert!(METAINFO_IN_FLIGHT_OF_USER_MAX < METAINFO_IN_FLIGHT_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX < BUNDLE_BYTES_MAX && BUNDLE_BYTES_MAX < PEER_BYTES_MAX);
const _: () = assert!(STALLED_EVICTABLE.as_secs() < STALLED_TIMEOUT.as_secs());
// Whoever stalls on one network leaves room for others.
const _: () = assert!(UNFINISHED_PER_HOST_MAX < UNFINISHED_PER_NETWORK_MAX);
const _: () =
    assert!(UNFINISHED_PER_NETWORK_MAX < UNFINISHED_MAX && UNFINISHED_THIS_MACHINE_MAX < UNFINISHED_MAX);

/// `burst` at once, then one each `refill`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) refill: Duration,
}

impl Rate {
    pub(crate) fn quota(&self) -> Quota {
        let burst = NonZeroU32::new(self.burst).unwrap_or(NonZeroU32::MIN);
        // A period of zero is no period: then the burst comes back each second.
        Quota::with_period(self.refill).unwrap_or(Quota::per_second(burst)).allow_burst(burst)
    }
}

/// Accounts that may be submitted because their makers knew the registration code.
pub(crate) const INVITED_MAX: usize = 10_000;
/// Keys of one rate limit (accounts or places): below 8 MiB.
pub(crate) const RATE_KEYS_MAX: usize = 65_536;
/// Networks in which accounts had sessions, to tell owners from strangers.
pub(crate) const KNOWN_PLACES_MAX: usize = 65_536;

/// Rates without a session. HOST: one IPv4 address or IPv6 /64, behind which a school may sit. NETWORK: an IPv4 /24 or
/// an IPv6 /48. THIS_MACHINE: 127.0.0.1 and ::1, where a class or a benchmark runs on one machine; other addresses of
/// 127/8 are hosts like any other.
pub(crate) mod rates {
    use super::{Duration, Rate};

    const fn rate(burst: u32, refill_us: u64) -> Rate {
        Rate { burst, refill: Duration::from_micros(refill_us) }
    }

    pub(crate) const CONNECTIONS_HOST: Rate = rate(300, 20_000);
    pub(crate) const CONNECTIONS_NETWORK: Rate = rate(1_200, 5_000);
    pub(crate) const CONNECTIONS_THIS_MACHINE: Rate = rate(100_000, 20);

    pub(crate) const BUNDLES_HOST: Rate = rate(1_000, 10_000);
    pub(crate) const BUNDLES_NETWORK: Rate = rate(4_000, 2_500);
    pub(crate) const BUNDLES_THIS_MACHINE: Rate = rate(1_000_000, 10);

    pub(crate) const LOOKUPS_HOST: Rate = rate(500, 20_000);
    pub(crate) const LOOKUPS_NETWORK: Rate = rate(2_000, 5_000);
    pub(crate) const LOOKUPS_THIS_MACHINE: Rate = rate(1_000_000, 10);

    /// A school's first lesson; then six a minute.
    pub(crate) const REGISTRATIONS_HOST: Rate = rate(100, 10_000_000);
    pub(crate) const REGISTRATIONS_NETWORK: Rate = rate(300, 3_000_000);
    pub(crate) const REGISTRATIONS_THIS_MACHINE: Rate = rate(1_000_000, 10);

    pub(crate) const ATTEMPTS_HOST: Rate = rate(200, 200_000);
    pub(crate) const ATTEMPTS_NETWORK: Rate = rate(600, 50_000);
    pub(crate) const ATTEMPTS_THIS_MACHINE: Rate = rate(100_000, 100);

    /// For one account: forgotten passwords are tried by hand.
    pub(crate) const ACCOUNT_ATTEMPTS_HOST: Rate = rate(30, 2_000_000);
    pub(crate) const ACCOUNT_ATTEMPTS_THIS_MACHINE: Rate = rate(1_000, 100_000);
    /// What each network has for itself, strangers or not: each guess also costs the guesser 64 MiB of Argon2id.
    pub(crate) const ACCOUNT_ATTEMPTS_FIRST: Rate = rate(5, 300_000_000);
    /// Calls to dial, by one device: a large swarm in which half cannot be reached.
    pub(crate) const DIAL_BACKS: Rate = rate(60, 1_000_000);
    /// The same to one other device.
    pub(crate) const DIAL_BACKS_PAIR: Rate = rate(3, 10_000_000);
    /// Questions of one device whether its port can be reached. Somebody mends a router and looks again.
    pub(crate) const REACHES: Rate = rate(5, 12_000_000);
    /// The same of all devices behind one address: no use for looking through the ports of others behind it.
    pub(crate) const REACHES_HOST: Rate = rate(20, 3_000_000);
    pub(crate) const REACHES_NETWORK: Rate = rate(60, 1_000_000);
    /// A class on one machine; little enough where a proxy makes everybody look like it.
    pub(crate) const REACHES_THIS_MACHINE: Rate = rate(60, 1_000_000);
    /// What all networks share in which the account's owner is not known.
    pub(crate) const ACCOUNT_ATTEMPTS_STRANGERS: Rate = rate(300, 500_000);
}
