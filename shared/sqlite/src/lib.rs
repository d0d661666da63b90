//! The embedded adapters: bus, store, turns and reply log on one SQLite file in the data folder, for one process.
//!
//! - [`Database`]: the file, its lock, its migrations, one writer that commits in groups, and readers.
//! - [`SqliteBus`]: topics, subscriptions, leases, dead letters.
//! - [`SqliteStore`]: the durable record.
//! - [`SqliteTurns`]: claims, checkpoints and the reply log.
//! - [`SqliteUsers`]: all that is stored of a user, for operators; sessions that have grown old.

mod bus;
mod database;
mod store;
mod turns;
mod users;

pub use self::{
    bus::{BusOptions, SqliteBus, SqliteDeadLetters, SubscriptionStats},
    database::{Database, DatabaseOptions, OpenError, migrations},
    store::SqliteStore,
    turns::SqliteTurns,
    users::SqliteUsers,
};
