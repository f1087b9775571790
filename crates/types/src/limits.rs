//! Every limit in one place. Admission limits bound what a tracker accepts from a client; they never decide a
//! view, because a view must come out the same on trackers with different settings.

/// A record of any type but AuthRecord: its signed bytes and signature, encoded.
pub const RECORD_BYTES_MAX: usize = 4 * 1024;
/// An AuthRecord carries an OPAQUE envelope and a sealed vault.
pub const AUTH_RECORD_BYTES_MAX: usize = 16 * 1024;
/// A metainfo file. 32 MiB hold about a million pieces in both formats.
pub const METAINFO_BYTES_MAX: usize = 32 * 1024 * 1024;
/// All metainfo one account keeps on a tracker.
pub const ACCOUNT_METAINFO_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Open shares of one account in one group.
pub const ACCOUNT_SHARES_MAX: usize = 10_000;
/// Records of one author in one group: 10,000 shares, each described, opened and ended, and a third of it again. What ends
/// something has as many places again, so that nobody is stuck in a group.
pub const AUTHOR_RECORDS_MAX: usize = 4 * ACCOUNT_SHARES_MAX;
/// Groups that one account founded or asked to join, those included that have ended.
pub const ACCOUNT_GROUPS_MAX: usize = 1_000;
/// Join requests waiting in one group.
pub const GROUP_PENDING_MAX: usize = 1_000;
/// Invites of one group that let people in at the same time.
pub const GROUP_INVITES_MAX: usize = 256;
/// Accounts that one invite may let in: the roster of a group is looked at as a whole, and so is who used an invite.
pub const INVITE_USES_MAX: u32 = 1_000;
/// Records in one atomic bundle.
pub const BUNDLE_RECORDS_MAX: usize = 16;
/// Admins of a group: a bundle can end all their grants and hand the group over.
pub const GROUP_ADMINS_MAX: usize = BUNDLE_RECORDS_MAX - 1;
/// User and group names, in bytes (they are ASCII).
pub const NAME_BYTES_MAX: usize = 64;
/// A file name, in bytes of UTF-8 (the limit of ext4, APFS and NTFS is near).
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// A path inside a folder share, in bytes of UTF-8.
pub const FILE_PATH_BYTES_MAX: usize = 4_096;
/// Heirs that a Handover lists.
pub const HEIRS_MAX: usize = 64;
/// Candidate addresses in one announce.
pub const ADDRESSES_MAX: usize = 4;
/// Trackers in one list (full mesh).
pub const TRACKERS_MAX: usize = 7;
/// BitTorrent block (BEP 3), also the BEP 52 leaf.
pub const BLOCK_BYTES: u32 = 16 * 1024;
/// Smallest piece (BEP 52: a power of two, at least one leaf).
pub const PIECE_BYTES_MIN: u32 = 16 * 1024;
/// Largest piece that we create or accept.
pub const PIECE_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// A peer wire message: the largest is a block with its header, or a bitfield of 16 Mi pieces.
pub const WIRE_MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

const _: () = assert!(RECORD_BYTES_MAX < AUTH_RECORD_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES <= PIECE_BYTES_MIN && PIECE_BYTES_MIN < PIECE_BYTES_MAX);
const _: () = assert!((BLOCK_BYTES as usize) < WIRE_MESSAGE_BYTES_MAX);
// A full heir list (a user id and a CBOR header each) must fit into a record beside its own header.
const _: () = assert!(HEIRS_MAX * 48 < RECORD_BYTES_MAX - 512);
