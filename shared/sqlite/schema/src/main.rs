//! Makes an empty database from the migrations: `parlance-sqlite-schema <migrations folder> <database file>`.
//!
//! `parlance-sqlite` can't do this for its own queries to be checked: it compiles only when they are right.

use std::{io, path::PathBuf};

use sqlx::{Connection as _, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(migrations), Some(database)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: parlance-sqlite-schema <migrations folder> <database file>").into());
    };
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut migrator = Migrator::new(migrations).await?;
    migrator.dangerous_set_table_name("schema_migrations");
    migrator.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
