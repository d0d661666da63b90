//! Lets a service's login in.

use parlance_shared::settings::PostgresSettings;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{
    MigrationError, RUNTIME_ROLE,
    connect::{connect, message, sorted},
};
use crate::database::error::code;

/// Makes `user`, an existing login, a member of the services' role. Doing it again changes nothing.
///
/// # Errors
/// See [`MigrationError`].
pub async fn grant(settings: &PostgresSettings, user: &str) -> Result<(), MigrationError> {
    let mut connection = connect(settings).await?;
    let failed = |error| sorted(settings, error);
    if !has_role(&mut connection, RUNTIME_ROLE).await.map_err(failed)? {
        return Err(MigrationError::Missing);
    }
    if !has_role(&mut connection, user).await.map_err(failed)? {
        return Err(MigrationError::NoSuchUser { user: user.to_owned() });
    }
    let quoted: String =
        sqlx::query_scalar("SELECT quote_ident($1)").bind(user).fetch_one(&mut connection).await.map_err(failed)?;
    // GRANT takes no parameters; the name was quoted by the server.
    let granting = sqlx::raw_sql(AssertSqlSafe(format!("GRANT {RUNTIME_ROLE} TO {quoted}")));
    granting.execute(&mut connection).await.map_err(|error| match code(&error) {
        Some("42501") => MigrationError::NotAllowed {
            sentence: format!(
                "user {:?} may not do that: {}; as a user with CREATEROLE, run: GRANT {RUNTIME_ROLE} TO {quoted}",
                settings.user,
                message(&error)
            ),
        },
        _ => failed(error),
    })?;
    let _ = connection.close().await;
    Ok(())
}

async fn has_role(connection: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(name).fetch_one(connection).await
}
