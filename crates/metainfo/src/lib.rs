//! Bencode, hybrid BitTorrent metainfo and hashing
