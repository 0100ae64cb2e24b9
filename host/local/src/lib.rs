//! Damper on one machine: one SQLite file holds the stream, the ledger, the mapping and the dead letters, and a folder
//! is the sink. It implements the ports of `damper-core` for `damper run`.
//!
//! Begin with [`Database`]; everything but the sink is made from it:
//!
//! - [`Database`]: the file, its one writer and its group commit; [`schema`] has every table on one screen.
//! - [`SqliteLedger`], [`SqliteStream`], [`SqliteMapping`], [`SqliteTokens`], [`SqliteKeyUsage`], [`DeadLetters`]: the
//!   data in it.
//! - [`Poller`]: delivers batches, with the semantics of a Kinesis event source mapping.
//! - [`LocalBackend`]: the same, as an operator sees and changes it.
//! - [`items`]: files of items, on their way into a stream.
//! - [`folder`]: the sink on disk. [`export`]: the sink's records as one stream.
//!
//! Not here: the pipeline (damper-core), components (damper-plugins), and any decision about pace.

pub mod backend;
pub mod database;
pub mod dead_letters;
pub mod export;
pub mod folder;
pub mod items;
pub mod key_usage;
pub mod ledger;
pub mod mapping;
pub mod poller;
pub mod schema;
pub mod stream;
pub mod tokens;

pub use backend::LocalBackend;
pub use database::{Database, DatabaseError};
pub use dead_letters::{DeadLetters, StoredLetter};
pub use key_usage::SqliteKeyUsage;
pub use ledger::SqliteLedger;
pub use mapping::SqliteMapping;
pub use poller::{Poller, PollerEnd, PollerSettings};
pub use stream::SqliteStream;
pub use tokens::SqliteTokens;
