//! Strict, canonical bencode (BEP 3), used for metainfo files and for BEP 10 payloads.
//!
//! Each value has exactly one accepted encoding: whatever [`decode()`] accepts, [`encode()`] writes back byte for
//! byte. That is what makes an info hash a name for *content* and not for one of many spellings of it.
//! Decoding borrows from its input, bounds depth and item count, and never reserves what a length merely claims.

mod decode;
mod encode;
#[doc(hidden)]
pub mod fuzzing;
mod value;

pub use decode::{BencodeError, DEPTH_MAX, ITEMS_MAX, decode, decode_prefix};
pub use encode::encode;
pub use value::{Dict, Value};
