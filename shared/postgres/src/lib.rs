//! Store, turns and reply log on Postgres, for any number of processes that share it.
//!
//! - [`Database`]: how to reach it, a small pool, what becomes of broken connections, its migrations.
//! - [`PostgresStore`]: the durable record.
//! - [`PostgresCircuits`]: which providers are not asked for a while.
//! - [`PostgresTurns`]: claims, checkpoints and the reply log.
//! - [`PostgresKeys`]: the keys that programs call with.
//! - [`PostgresAudit`]: what operators did.
//! - [`PostgresUsers`]: all that is stored of a user, for operators; sessions that have grown old.

mod audit;
mod circuits;
mod database;
mod keys;
mod log;
mod store;
mod text;
mod turns;
mod users;

pub use self::{
    audit::PostgresAudit,
    circuits::PostgresCircuits,
    database::{Database, SchemaError, migrations},
    keys::PostgresKeys,
    log::{LogOptions, LogStats, Role},
    store::PostgresStore,
    turns::PostgresTurns,
    users::PostgresUsers,
};
