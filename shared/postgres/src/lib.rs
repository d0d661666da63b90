//! Store, turns and reply log on Postgres, for any number of processes that share it.
//!
//! - [`Database`]: how to reach it, a small pool, what becomes of broken connections, its migrations.
//! - [`PostgresStore`]: the durable record.
//! - [`PostgresTurns`]: claims, checkpoints and the reply log.

mod database;
mod log;
mod store;
mod text;
mod turns;

pub use self::{
    database::{Database, SchemaError, migrations},
    log::{LogOptions, LogStats, Role},
    store::PostgresStore,
    turns::PostgresTurns,
};
