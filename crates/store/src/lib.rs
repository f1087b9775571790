//! Durable storage of a tracker's log, records and metainfo
