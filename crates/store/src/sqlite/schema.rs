//! Tables, and how a database file says which version of them it has.

/// The tables of one database file.
pub(crate) struct Schema {
    /// Kept in `application_id`: whose file it is.
    pub(crate) application_id: i64,
    /// Kept in `user_version`. 0 is an empty file.
    pub(crate) version: i64,
    /// What the writer keeps of it in memory, KiB. SQLite's own default is 2,000.
    pub(crate) writer_cache_kib: i64,
    /// Pages in the write-ahead log at which a commit copies them into the file. SQLite's own default is 1,000.
    pub(crate) checkpoint_pages: i64,
    /// Creates everything in an empty file.
    pub(crate) create: &'static str,
}

/// The log and what is derived from it.
///
/// 64-bit unsigned values are kept as the signed integers with the same bits. `records.origin` and `records.seq`
/// name the row with the record's lowest receipt. Above `origins.floor` an origin's log has every row up to `last_seq`;
/// below it only those with a record's lowest receipt, because they came with a snapshot. Beyond `last_seq` rows may
/// lie that a snapshot brought before its vector.
pub(crate) const LOG: Schema = Schema {
    application_id: 0x5045_4552,
    version: 4,
    // Ids are as good as random: nearly every row changes another page of their index, and with fewer checkpoints a page
    // is copied once for many commits. 32 MiB, and 8 MiB: a checkpoint is a part of its commit, and a slow disk must be
    // done with it before whoever pushes gives up.
    writer_cache_kib: 32 * 1_024,
    checkpoint_pages: 2_048,
    create: "
        CREATE TABLE meta (
            key TEXT PRIMARY KEY NOT NULL,
            value BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE clock (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            last_stamp INTEGER NOT NULL
        ) STRICT;
        INSERT INTO clock (one, last_stamp) VALUES (1, 0);

        CREATE TABLE origins (
            n INTEGER PRIMARY KEY,
            tracker BLOB NOT NULL,
            incarnation INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            floor INTEGER NOT NULL DEFAULT 0,
            UNIQUE (tracker, incarnation)
        ) STRICT;

        CREATE TABLE scopes (
            n INTEGER PRIMARY KEY,
            scope BLOB NOT NULL UNIQUE,
            digest BLOB NOT NULL
        ) STRICT;

        -- A number is never given out again: the log may still name a record that was lost.
        CREATE TABLE records (
            n INTEGER PRIMARY KEY AUTOINCREMENT,
            id BLOB NOT NULL UNIQUE,
            scope INTEGER NOT NULL REFERENCES scopes (n),
            origin INTEGER NOT NULL REFERENCES origins (n),
            seq INTEGER NOT NULL,
            bytes BLOB NOT NULL
        ) STRICT;
        CREATE INDEX records_by_scope ON records (scope);

        CREATE TABLE log (
            origin INTEGER NOT NULL REFERENCES origins (n),
            seq INTEGER NOT NULL,
            stamp INTEGER NOT NULL,
            record INTEGER NOT NULL REFERENCES records (n),
            seal BLOB NOT NULL,
            PRIMARY KEY (origin, seq)
        ) STRICT, WITHOUT ROWID;

        -- Of records that the log has more than once: where, but for the row with the lowest receipt.
        CREATE TABLE further (
            id BLOB NOT NULL,
            origin INTEGER NOT NULL REFERENCES origins (n),
            seq INTEGER NOT NULL,
            PRIMARY KEY (id, origin, seq)
        ) STRICT, WITHOUT ROWID;

        -- Rows that found their place taken by another record.
        CREATE TABLE twins (
            origin INTEGER NOT NULL REFERENCES origins (n),
            seq INTEGER NOT NULL,
            record BLOB NOT NULL,
            stamp INTEGER NOT NULL,
            seal BLOB NOT NULL,
            bytes BLOB NOT NULL,
            PRIMARY KEY (origin, seq, record)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE user_names (
            folded TEXT NOT NULL,
            record INTEGER NOT NULL REFERENCES records (n),
            user BLOB NOT NULL,
            PRIMARY KEY (folded, record)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE group_names (
            folded TEXT NOT NULL,
            record INTEGER NOT NULL REFERENCES records (n),
            after BLOB,
            PRIMARY KEY (folded, record)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE devices (
            device BLOB NOT NULL,
            record INTEGER NOT NULL REFERENCES records (n),
            user BLOB NOT NULL,
            PRIMARY KEY (device, record)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE authors (
            user BLOB NOT NULL,
            group_id BLOB NOT NULL,
            PRIMARY KEY (user, group_id)
        ) STRICT, WITHOUT ROWID;
    ",
};

/// Metainfo files, each at the expense of the user who brought it first.
pub(crate) const METAINFO: Schema = Schema {
    application_id: 0x5045_454d,
    version: 1,
    writer_cache_kib: 2_000,
    checkpoint_pages: 1_000,
    create: "
        CREATE TABLE metainfo (
            id BLOB NOT NULL UNIQUE,
            user BLOB NOT NULL,
            size INTEGER NOT NULL,
            bytes BLOB NOT NULL
        ) STRICT;
        CREATE INDEX metainfo_by_user ON metainfo (user, size);
    ",
};
