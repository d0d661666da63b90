//! All that is stored of a user in the database: counted, exported, erased; and sessions that have grown old.
//!
//! The durable record and the turns share the database, so each step is one transaction over both: the turns first, then the
//! checkpoint, as the end of a turn does, then the session's row and what hangs on it, as the record does. So none of them
//! waits for the other in a ring.

mod erase;
mod export;
mod marks;
mod retention;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    UserId,
    port::{
        PortError,
        audit::Audit as _,
        users::{EraseStep, ExportPage, ExportPosition, Retention, UserAdmin, UserCounts, user_key},
    },
};
use sqlx::PgConnection;

pub(crate) use self::marks::is_erased;
use crate::{Database, PostgresAudit, text::to_sql};

/// The operators' side of a database's users.
#[derive(Clone, Debug)]
pub struct PostgresUsers {
    database: Database,
}

impl PostgresUsers {
    /// Those of this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl UserAdmin for PostgresUsers {
    async fn count(&self, user: &UserId) -> Result<UserCounts, PortError> {
        self.database.run(user, |connection, user| Box::pin(export::count(connection, user))).await
    }

    async fn export(&self, user: &UserId, after: Option<&ExportPosition>) -> Result<ExportPage, PortError> {
        let input = (user, after);
        self.database.run(&input, |connection, (user, after)| Box::pin(export::page(connection, user, *after))).await
    }

    async fn erase(&self, user: &UserId) -> Result<EraseStep, PortError> {
        let (name, key) = (to_sql(user.as_str()).into_owned(), user_key(user));
        let at = self.database.clock().now();
        self.database
            .run(&(name, key), |connection, (name, key)| Box::pin(erase::step(connection, name, key, at)))
            .await
    }

    /// Segments of the log hold everybody's text and are of use for a second.
    async fn purge(&self) -> Result<bool, PortError> {
        self.database.run(&(), |connection, ()| Box::pin(drop_segments(connection))).await?;
        Ok(true)
    }
}

#[async_trait]
impl Retention for PostgresUsers {
    async fn delete_aged(&self, before: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        let input = (before, self.database.clock().now());
        self.database
            .run(&input, |connection, (before, now)| Box::pin(retention::delete_aged(connection, *before, *now)))
            .await
    }

    async fn forget_erased(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        self.database.run(&before, |connection, before| Box::pin(marks::forget(connection, *before))).await
    }

    async fn forget_audit(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        PostgresAudit::new(self.database.clone()).forget(before).await
    }
}

async fn drop_segments(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM reply_segments WHERE written_at < clock_timestamp() - interval '5 seconds'")
        .execute(connection)
        .await?;
    Ok(())
}
