//! What operators did, in the data folder.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::port::{
    PortError,
    audit::{Audit, AuditEntry, AuditPosition},
};
use sqlx::SqliteConnection;

use crate::{
    Database,
    database::{port_error, refused},
};

/// The audit log of a data folder.
#[derive(Clone)]
pub struct SqliteAudit {
    database: Database,
}

impl SqliteAudit {
    /// The one of this folder.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Audit for SqliteAudit {
    async fn note(&self, entry: &AuditEntry) -> Result<(), PortError> {
        let entry = entry.clone();
        let job = async move |connection: &mut SqliteConnection| {
            let (at, status) = (entry.at.timestamp_millis(), entry.status.map(i64::from));
            sqlx::query!(
                "INSERT INTO audit_log (id, at, actor, role, key_id, client, action, target, status)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                entry.id,
                at,
                entry.actor,
                entry.role,
                entry.key_id,
                entry.client,
                entry.action,
                entry.target,
                status
            )
            .execute(connection)
            .await
            .map(drop)
        };
        self.database.write(job).await
    }

    async fn entries(
        &self,
        since: DateTime<Utc>,
        after: Option<&AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let mut connection = self.database.read().await?;
        let since = since.timestamp_millis();
        let (at, id) = after.map_or((i64::MIN, ""), |after| (after.at.timestamp_millis(), after.id.as_str()));
        let rows = sqlx::query!(
            "SELECT * FROM audit_log WHERE at >= ? AND (at, id) > (?, ?) ORDER BY at, id LIMIT ?",
            since,
            at,
            id,
            limit
        );
        let rows = rows.fetch_all(&mut *connection).await.map_err(port_error)?;
        let entries = rows.into_iter().map(|row| {
            Ok(AuditEntry {
                id: row.id,
                at: DateTime::from_timestamp_millis(row.at).ok_or_else(|| refused("a time that is none"))?,
                actor: row.actor,
                role: row.role,
                key_id: row.key_id,
                client: row.client,
                action: row.action,
                target: row.target,
                status: row.status.and_then(|status| u16::try_from(status).ok()),
            })
        });
        entries.collect::<sqlx::Result<_>>().map_err(port_error)
    }

    async fn forget(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        let before = before.timestamp_millis();
        let job = async move |connection: &mut SqliteConnection| {
            sqlx::query!("DELETE FROM audit_log WHERE at < ?", before).execute(connection).await.map(drop)
        };
        self.database.write_in_background(job).await
    }
}
