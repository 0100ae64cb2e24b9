//! The schema of the database: every table, key and lifetime on one screen, and the marks by which a file is
//! recognised.
//!
//! | table | a row is | key | lifetime |
//! | --- | --- | --- | --- |
//! | `entries` | one entry of a provider's stream | provider, sequence (counted up from 1) | kept; ended ones before the checkpoint may be trimmed |
//! | `shards` | a provider's stream: counters, checkpoint, mapping, the poller's lease | provider | from the first feed on |
//! | `ledger` | one identity on one day | provider, identity, day | kept; days before the oldest pending entry's may be trimmed |
//! | `slots` | how many requests an owner may have in flight | provider, owner | until given back or run out |
//! | `control` | the control item: JSON and its version | provider | from the first write on |
//! | `dead_letters` | an item given up on, as JSON | id; unique by provider, sequence | kept, also after a redrive |
//! | `tokens` | a credential's token, sealed, and who requests the next one | provider, credential | kept; replaced by the next token |
//! | `key_usage` | the requests of one key with a daily quota on one day | provider, key, day | the latest 32 days that have a row |
//!
//! Times are whole microseconds since 1970 in UTC; days are `YYYY-MM-DD`. Nothing but `key_usage` is trimmed yet.
//!
//! The ledger's columns by state (`-` is NULL):
//!
//! | state | owner | lease | not_before | sequence | abandoned |
//! | --- | --- | --- | --- | --- | --- |
//! | `inflight` | who claims | when it expires | - | the entry it is claimed for | owners whose claims expired, JSON, or - |
//! | `retry` | - | - | when it is due | the entry it was tried for | - |
//! | `done` | who fetched | - | - | the entry it was fetched for | - |
//! | `dead` | who gave up | - | - | the entry that was given up on | - |
//!
//! `polls` and `resume` stay from the first poll until the row is `done` or `dead`.

/// The `PRAGMA application_id` of Damper's databases: "DAMP".
pub const APPLICATION_ID: i32 = 0x4441_4d50;

/// The `PRAGMA user_version` of this schema. A database with a higher one is refused.
pub const VERSION: i32 = 1;

/// Tables that came later. A file that lacks one is given it when it is opened for writing.
pub(crate) const ADDED_TABLES: [(&str, &str); 2] = [("tokens", TOKENS), ("key_usage", KEY_USAGE)];

/// Columns that came later: table, name and declaration. A file that lacks one is given it when it is opened for
/// writing; an earlier release reads and writes that file as before.
pub(crate) const ADDED_COLUMNS: [(&str, &str, &str); 3] = [
    ("slots", "since", "INTEGER NOT NULL DEFAULT 0"),
    ("ledger", "polls", "INTEGER NOT NULL DEFAULT 0"),
    ("ledger", "resume", "BLOB"),
];

const TOKENS: &str = "
CREATE TABLE tokens (
    provider   TEXT NOT NULL,
    credential TEXT NOT NULL,
    version    INTEGER NOT NULL,                   -- raised by each write
    sealed     BLOB,                               -- the token, encrypted with a key from the secret; NULL: none yet
    expires    INTEGER,                            -- when it is of no use any more; NULL: it is kept
    owner      TEXT,                               -- who requests the next one; NULL: nobody
    until      INTEGER,
    PRIMARY KEY (provider, credential)
) STRICT, WITHOUT ROWID;
";

const KEY_USAGE: &str = "
CREATE TABLE key_usage (
    provider TEXT NOT NULL,
    key      TEXT NOT NULL,                        -- a digest of the name of the key's place; no part of the key
    day      TEXT NOT NULL,
    requests INTEGER NOT NULL,                     -- those that processes have reserved included
    version  INTEGER NOT NULL,                     -- raised by each return of reserved requests
    PRIMARY KEY (provider, key, day)
) STRICT, WITHOUT ROWID;
";

/// The schema of the first release; [`ADDED_TABLES`] completes it.
pub(crate) const TABLES: &str = "
CREATE TABLE entries (
    provider TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    arrived  INTEGER NOT NULL,
    payload  BLOB NOT NULL,
    outcome  TEXT CHECK (outcome IN ('fetched', 'skipped', 'dead-letter')), -- NULL: pending
    PRIMARY KEY (provider, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE shards (
    provider           TEXT PRIMARY KEY,
    fed                INTEGER NOT NULL DEFAULT 0, -- also the last sequence
    fetched            INTEGER NOT NULL DEFAULT 0,
    skipped            INTEGER NOT NULL DEFAULT 0,
    dead_letters       INTEGER NOT NULL DEFAULT 0,
    checkpoint         INTEGER NOT NULL DEFAULT 0, -- every entry up to here has ended
    batch_size         INTEGER,                    -- NULL: nobody has set it
    enabled            INTEGER NOT NULL DEFAULT 1,
    pending_batch_size INTEGER,                    -- a change of the mapping ...
    pending_enabled    INTEGER,
    pending_at         INTEGER,                    -- ... that holds from then on; NULL: none
    poller             TEXT,                       -- who delivers batches; NULL: nobody
    poller_until       INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    provider   TEXT NOT NULL,
    identity   TEXT NOT NULL,
    day        TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('inflight', 'retry', 'done', 'dead')),
    owner      TEXT,
    lease      INTEGER,
    attempts   INTEGER NOT NULL DEFAULT 0,         -- those that count
    not_before INTEGER,
    sequence   TEXT NOT NULL,
    abandoned  TEXT,
    error      TEXT,                               -- what went wrong last
    polls      INTEGER NOT NULL DEFAULT 0,         -- how often it was not ready
    resume     BLOB,                               -- its resume state; NULL: it was never not ready
    PRIMARY KEY (provider, identity, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    provider TEXT NOT NULL,
    owner    TEXT NOT NULL,
    count    INTEGER NOT NULL,
    wanted   INTEGER NOT NULL,                     -- more than count: it waits for the rest
    until    INTEGER NOT NULL,
    since    INTEGER NOT NULL DEFAULT 0,           -- since when it has had one, or has waited
    PRIMARY KEY (provider, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE control (
    provider TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    item     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    sequence TEXT NOT NULL,
    identity TEXT,                                 -- with day, the ledger row; NULL: the entry was no item
    day      TEXT,
    reason   TEXT NOT NULL,
    letter   TEXT NOT NULL,
    redriven INTEGER,                              -- when; NULL: not yet
    UNIQUE (provider, sequence)
) STRICT;
";
