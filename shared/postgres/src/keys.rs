//! Keys in Postgres. The services' role may look them up and note their use; all else takes the login that owns the schema.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    UserId,
    port::{
        PortError,
        keys::{ApiKey, KeyAdmin, KeyHash, KeyState, Keys, Rotation, Scope},
    },
};
use sqlx::{Connection as _, PgConnection};

use crate::{
    Database,
    database::refused,
    text::{from_sql, to_sql},
};

/// The keys of a database.
#[derive(Clone, Debug)]
pub struct PostgresKeys {
    database: Database,
}

impl PostgresKeys {
    /// Those of this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Keys for PostgresKeys {
    async fn find(&self, hash: &KeyHash) -> Result<Option<ApiKey>, PortError> {
        self.database.run(hash, |connection, hash| Box::pin(by_hash(connection, hash))).await
    }

    async fn note_use(&self, id: &str, at: DateTime<Utc>) -> Result<(), PortError> {
        self.database.run(&(id, at), |connection, (id, at)| Box::pin(note_use(connection, id, *at))).await
    }
}

#[async_trait]
impl KeyAdmin for PostgresKeys {
    async fn create(&self, key: &ApiKey, hash: &KeyHash) -> Result<(), PortError> {
        let input = (key, hash);
        let done = self.database.run(&input, |connection, (key, hash)| Box::pin(insert(connection, key, hash))).await;
        done.map_err(owners_only)
    }

    async fn get(&self, id: &str) -> Result<Option<ApiKey>, PortError> {
        self.database.run(id, |connection, id| Box::pin(by_id(connection, id))).await
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<ApiKey>, PortError> {
        let input = (after.unwrap_or_default(), limit);
        self.database.run(&input, |connection, (after, limit)| Box::pin(list(connection, after, *limit))).await
    }

    async fn rotate(
        &self,
        old: &str,
        new: &ApiKey,
        hash: &KeyHash,
        old_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, PortError> {
        let rotating = Rotating { old, new, hash, old_expires_at, now: self.database.clock().now() };
        let done = self.database.run(&rotating, |connection, rotating| Box::pin(rotating.run(connection))).await;
        done.map_err(owners_only)
    }

    async fn revoke(&self, id: &str, at: DateTime<Utc>) -> Result<Option<ApiKey>, PortError> {
        let done = self.database.run(&(id, at), |connection, (id, at)| Box::pin(revoke(connection, id, *at))).await;
        done.map_err(owners_only)
    }
}

/// The person who asked is told what to do about it.
fn owners_only(error: PortError) -> PortError {
    const INSUFFICIENT_PRIVILEGE: &str = "(42501)";
    match error {
        PortError::Unavailable { cause, .. } if cause.ends_with(INSUFFICIENT_PRIVILEGE) => PortError::Rejected {
            what: "the database",
            cause: format!("keys are changed with the login that owns the schema, not with a service's: {cause}"),
        },
        other => other,
    }
}

struct Row {
    id: String,
    name: String,
    user_id: String,
    role: String,
    scopes: String,
    webhook_url: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    rotated_to: Option<String>,
    last_used_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for ApiKey {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let scopes: Vec<String> =
            serde_json::from_str(&row.scopes).map_err(|_| refused("the scopes of a key are no list"))?;
        Ok(Self {
            id: row.id,
            name: from_sql(row.name),
            user: UserId::new(from_sql(row.user_id)),
            role: row.role.parse().map_err(|()| refused("the role of a key is not known"))?,
            // What a later version allows, this one does not.
            scopes: scopes.iter().filter_map(|word| word.parse::<Scope>().ok()).collect(),
            webhook_url: row.webhook_url.map(from_sql),
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            rotated_to: row.rotated_to,
            last_used_at: row.last_used_at,
        })
    }
}

async fn by_hash(connection: &mut PgConnection, hash: &KeyHash) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, user_id, role, scopes, webhook_url, created_at, expires_at, revoked_at, rotated_to, last_used_at
         FROM api_keys WHERE hash = $1",
        hash.0.as_slice()
    );
    row.fetch_optional(connection).await?.map(ApiKey::try_from).transpose()
}

async fn by_id(connection: &mut PgConnection, id: &str) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, user_id, role, scopes, webhook_url, created_at, expires_at, revoked_at, rotated_to, last_used_at
         FROM api_keys WHERE id = $1",
        &to_sql(id)
    );
    row.fetch_optional(connection).await?.map(ApiKey::try_from).transpose()
}

async fn list(connection: &mut PgConnection, after: &str, limit: u32) -> sqlx::Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, user_id, role, scopes, webhook_url, created_at, expires_at, revoked_at, rotated_to, last_used_at
         FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2",
        &to_sql(after),
        i64::from(limit)
    );
    rows.fetch_all(connection).await?.into_iter().map(ApiKey::try_from).collect()
}

/// A key that many use is noted by many instances: none of them waits for another.
async fn note_use(connection: &mut PgConnection, id: &str, at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND coalesce(last_used_at < $2, true)",
        &to_sql(id),
        at
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Done again under the same id it changes nothing.
async fn insert(connection: &mut PgConnection, key: &ApiKey, hash: &KeyHash) -> sqlx::Result<()> {
    let webhook_url = key.webhook_url.as_deref().map(to_sql);
    let scopes = serde_json::to_string(&key.scopes).map_err(|error| refused(error.to_string()))?;
    sqlx::query!(
        "INSERT INTO api_keys (id, hash, name, user_id, role, scopes, webhook_url, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
        key.id,
        hash.0.as_slice(),
        &to_sql(&key.name),
        &to_sql(key.user.as_str()),
        key.role.as_str(),
        scopes,
        webhook_url.as_deref(),
        key.created_at,
        key.expires_at
    )
    .execute(connection)
    .await
    .map(drop)
}

struct Rotating<'a> {
    old: &'a str,
    new: &'a ApiKey,
    hash: &'a KeyHash,
    old_expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
}

impl Rotating<'_> {
    async fn run(&self, connection: &mut PgConnection) -> sqlx::Result<Rotation> {
        let mut transaction = connection.begin().await?;
        // Of two at once the second one finds it rotated.
        let updated = sqlx::query!(
            "UPDATE api_keys SET rotated_to = $2, expires_at = least(expires_at, $3)
             WHERE id = $1 AND revoked_at IS NULL AND rotated_to IS NULL AND coalesce(expires_at > $4, true)",
            &to_sql(self.old),
            self.new.id,
            self.old_expires_at,
            self.now
        )
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() > 0 {
            insert(&mut transaction, self.new, self.hash).await?;
        }
        let old = by_id(&mut transaction, self.old).await?;
        transaction.commit().await?;
        Ok(match old {
            None => Rotation::Unknown,
            // Also when the answer to the commit was lost and this is the second time.
            Some(key) if key.rotated_to.as_ref() == Some(&self.new.id) && key.state(self.now) != KeyState::Revoked => {
                Rotation::Rotated(key)
            }
            Some(key) => Rotation::NotActive(key),
        })
    }
}

async fn revoke(connection: &mut PgConnection, id: &str, at: DateTime<Utc>) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query!("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", &to_sql(id), at)
        .execute(&mut *connection)
        .await?;
    by_id(connection, id).await
}
