//! What operators did, in Postgres.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::port::{
    PortError,
    audit::{Audit, AuditEntry, AuditPosition},
};
use sqlx::PgConnection;

use crate::{
    Database,
    text::{from_sql, to_sql},
};

/// The audit log of a database.
#[derive(Clone, Debug)]
pub struct PostgresAudit {
    database: Database,
}

impl PostgresAudit {
    /// The one of this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Audit for PostgresAudit {
    async fn note(&self, entry: &AuditEntry) -> Result<(), PortError> {
        self.database.run(entry, |connection, entry| Box::pin(note(connection, entry))).await
    }

    async fn entries(
        &self,
        since: DateTime<Utc>,
        after: Option<&AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let input = (since, after, limit);
        self.database
            .run(&input, |connection, (since, after, limit)| Box::pin(entries(connection, *since, *after, *limit)))
            .await
    }

    async fn forget(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        self.database.run(&before, |connection, before| Box::pin(forget(connection, *before))).await
    }
}

async fn note(connection: &mut PgConnection, entry: &AuditEntry) -> sqlx::Result<()> {
    let [key_id, client, target] =
        [&entry.key_id, &entry.client, &entry.target].map(|text| text.as_deref().map(to_sql));
    sqlx::query!(
        "INSERT INTO audit_log (id, at, actor, role, key_id, client, action, target, status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
        &to_sql(&entry.id),
        entry.at,
        &to_sql(&entry.actor),
        &to_sql(&entry.role),
        key_id.as_deref(),
        client.as_deref(),
        &to_sql(&entry.action),
        target.as_deref(),
        entry.status.map(i32::from)
    )
    .execute(connection)
    .await
    .map(drop)
}

async fn entries(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
    after: Option<&AuditPosition>,
    limit: u32,
) -> sqlx::Result<Vec<AuditEntry>> {
    let after_id = after.map(|after| to_sql(&after.id)).unwrap_or_default();
    let rows = sqlx::query!(
        "SELECT id, at, actor, role, key_id, client, action, target, status FROM audit_log
         WHERE at >= $1 AND ($2::timestamptz IS NULL OR (at, id) > ($2, $3)) ORDER BY at, id LIMIT $4",
        since,
        after.map(|after| after.at),
        &after_id,
        i64::from(limit)
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let entries = rows.map(|row| AuditEntry {
        id: from_sql(row.id),
        at: row.at,
        actor: from_sql(row.actor),
        role: from_sql(row.role),
        key_id: row.key_id.map(from_sql),
        client: row.client.map(from_sql),
        action: from_sql(row.action),
        target: row.target.map(from_sql),
        status: row.status.and_then(|status| u16::try_from(status).ok()),
    });
    Ok(entries.collect())
}

async fn forget(connection: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM audit_log WHERE at < $1", before).execute(connection).await.map(drop)
}
