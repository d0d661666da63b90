//! Makes a database with the schema of the migrations, or drops it.
//!
//! `parlance-postgres` can't do this for its own queries to be checked: it compiles only when they are right.

use std::{io, path::Path};

use sqlx::{
    Connection as _, PgConnection, Postgres,
    migrate::{MigrateDatabase as _, Migrator},
};

const USAGE: &str = "usage: parlance-postgres-schema make <URL of the new database> <migrations folder>
       parlance-postgres-schema drop <URL of the database>";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", url, migrations] => make(url, Path::new(migrations)).await,
        // Also when somebody is still connected.
        ["drop", url] => Ok(Postgres::force_drop_database(url).await?),
        _ => Err(io::Error::other(USAGE).into()),
    }
}

async fn make(url: &str, migrations: &Path) -> Result<(), Box<dyn std::error::Error>> {
    Postgres::create_database(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    let mut migrator = Migrator::new(migrations).await?;
    migrator.dangerous_set_table_name("schema_migrations");
    migrator.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
