//! Vocabulary shared by every crate: identifiers, time, sizes, limits and safe paths.
//!
//! Nothing here does I/O except [`SafePath`], which only joins and checks paths. Everything that has a unit
//! or an identity gets a type of its own, so that an index, a count and a size cannot be mixed up.

mod id;
pub mod limits;
mod name;
mod path;
mod time;

pub use id::{
    ClusterId, ContentId, DeviceId, GroupId, InfoHash, InfoHashV1, MetainfoId, PublicKey, RecordId, Scope,
    Sha256, TrackerId, UserId,
};
pub use name::{FileName, FoldedName, Name, NameError};
pub use path::{PathError, SafePath};
pub use time::{Stamp, Time, utc};
