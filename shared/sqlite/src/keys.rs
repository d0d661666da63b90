//! Keys in the data folder.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    UserId,
    port::{
        PortError,
        keys::{ApiKey, KeyAdmin, KeyHash, KeyState, Keys, Rotation, Scope},
    },
};
use sqlx::SqliteConnection;

use crate::{
    Database,
    database::{port_error, refused},
};

/// The keys of a data folder.
#[derive(Clone)]
pub struct SqliteKeys {
    database: Database,
}

impl SqliteKeys {
    /// Those of this folder.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Keys for SqliteKeys {
    async fn find(&self, hash: &KeyHash) -> Result<Option<ApiKey>, PortError> {
        let mut connection = self.database.read().await?;
        let hash = hash.0.as_slice();
        let found =
            sqlx::query_as!(Row, "SELECT * FROM api_keys WHERE hash = ?", hash).fetch_optional(&mut *connection);
        found.await.and_then(|row| row.map(ApiKey::try_from).transpose()).map_err(port_error)
    }

    async fn note_use(&self, id: &str, at: DateTime<Utc>) -> Result<(), PortError> {
        let (id, at) = (id.to_owned(), at.timestamp_millis());
        let job = async move |connection: &mut SqliteConnection| {
            let sql = sqlx::query!(
                "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at < ?2, true)",
                id,
                at
            );
            sql.execute(connection).await.map(drop)
        };
        self.database.write_in_background(job).await
    }
}

#[async_trait]
impl KeyAdmin for SqliteKeys {
    async fn create(&self, key: &ApiKey, hash: &KeyHash) -> Result<(), PortError> {
        let (key, hash) = (key.clone(), *hash);
        self.database.write(async move |connection| insert(connection, &key, &hash).await).await
    }

    async fn get(&self, id: &str) -> Result<Option<ApiKey>, PortError> {
        let mut connection = self.database.read().await?;
        by_id(&mut connection, id).await.map_err(port_error)
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<ApiKey>, PortError> {
        let mut connection = self.database.read().await?;
        let after = after.unwrap_or_default();
        let rows = sqlx::query_as!(Row, "SELECT * FROM api_keys WHERE id > ? ORDER BY id LIMIT ?", after, limit);
        let rows = rows.fetch_all(&mut *connection).await.map_err(port_error)?;
        rows.into_iter().map(ApiKey::try_from).collect::<sqlx::Result<_>>().map_err(port_error)
    }

    async fn rotate(
        &self,
        old: &str,
        new: &ApiKey,
        hash: &KeyHash,
        old_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, PortError> {
        let (old, new, hash) = (old.to_owned(), new.clone(), *hash);
        let now = self.database.clock().now();
        let job = async move |connection: &mut SqliteConnection| {
            let Some(key) = by_id(connection, &old).await? else { return Ok(Rotation::Unknown) };
            if key.state(now) != KeyState::Active {
                return Ok(Rotation::NotActive(key));
            }
            insert(connection, &new, &hash).await?;
            let expires_at = key.expires_at.map_or(old_expires_at, |at| at.min(old_expires_at)).timestamp_millis();
            sqlx::query!("UPDATE api_keys SET rotated_to = ?, expires_at = ? WHERE id = ?", new.id, expires_at, old)
                .execute(&mut *connection)
                .await?;
            by_id(connection, &old).await.map(|key| key.map_or(Rotation::Unknown, Rotation::Rotated))
        };
        self.database.write(job).await
    }

    async fn revoke(&self, id: &str, at: DateTime<Utc>) -> Result<Option<ApiKey>, PortError> {
        let (id, at) = (id.to_owned(), at.timestamp_millis());
        let job = async move |connection: &mut SqliteConnection| {
            sqlx::query!("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", at, id)
                .execute(&mut *connection)
                .await?;
            by_id(connection, &id).await
        };
        self.database.write(job).await
    }
}

struct Row {
    id: String,
    hash: Vec<u8>,
    name: String,
    user_id: String,
    role: String,
    scopes: String,
    webhook_url: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    rotated_to: Option<String>,
    last_used_at: Option<i64>,
}

impl TryFrom<Row> for ApiKey {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let time = |millis| DateTime::from_timestamp_millis(millis).ok_or_else(|| refused("a time that is none"));
        let scopes: Vec<String> =
            serde_json::from_str(&row.scopes).map_err(|_| refused("the scopes of a key are no list"))?;
        drop(row.hash);
        Ok(Self {
            id: row.id,
            name: row.name,
            user: UserId::new(row.user_id),
            role: row.role.parse().map_err(|()| refused("the role of a key is not known"))?,
            // What a later version allows, this one does not.
            scopes: scopes.iter().filter_map(|word| word.parse::<Scope>().ok()).collect(),
            webhook_url: row.webhook_url,
            created_at: time(row.created_at)?,
            expires_at: row.expires_at.map(time).transpose()?,
            revoked_at: row.revoked_at.map(time).transpose()?,
            rotated_to: row.rotated_to,
            last_used_at: row.last_used_at.map(time).transpose()?,
        })
    }
}

async fn by_id(connection: &mut SqliteConnection, id: &str) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(Row, "SELECT * FROM api_keys WHERE id = ?", id).fetch_optional(connection).await?;
    row.map(ApiKey::try_from).transpose()
}

async fn insert(connection: &mut SqliteConnection, key: &ApiKey, hash: &KeyHash) -> sqlx::Result<()> {
    let (hash, user, role) = (hash.0.as_slice(), key.user.as_str(), key.role.as_str());
    let scopes = serde_json::to_string(&key.scopes).map_err(|error| refused(error.to_string()))?;
    let created_at = key.created_at.timestamp_millis();
    let expires_at = key.expires_at.map(|at| at.timestamp_millis());
    sqlx::query!(
        "INSERT INTO api_keys (id, hash, name, user_id, role, scopes, webhook_url, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        key.id,
        hash,
        key.name,
        user,
        role,
        scopes,
        key.webhook_url,
        created_at,
        expires_at
    )
    .execute(connection)
    .await?;
    Ok(())
}
