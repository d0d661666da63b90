//! The embedded adapters: bus, store, turns and reply log on one SQLite file in the data folder, for one process.
//!
//! - [`Database`]: the file, its lock, its migrations, one writer that commits in groups, and readers.
//! - [`SqliteBus`]: topics, subscriptions, leases, dead letters.
//! - [`SqliteStore`]: the durable record.
//! - [`SqliteTurns`]: claims, checkpoints and the reply log.
//! - [`SqliteKeys`]: the keys that programs call with.
//! - [`SqliteAudit`]: what operators did.
//! - [`SqliteUsers`]: all that is stored of a user, for operators; sessions that have grown old.

mod audit;
mod bus;
mod database;
mod keys;
mod store;
mod turns;
mod users;

pub use self::{
    audit::SqliteAudit,
    bus::{BusOptions, SqliteBus, SqliteDeadLetters, SubscriptionStats},
    database::{Database, DatabaseOptions, OpenError, migrations},
    keys::SqliteKeys,
    store::SqliteStore,
    turns::SqliteTurns,
    users::SqliteUsers,
};
