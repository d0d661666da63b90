//! All that is stored of a user in the data folder: counted, exported, erased; and sessions that have grown old.
//!
//! The durable record and the turns share the file, so each step is one transaction over both.

mod erase;
mod export;
mod marks;
mod retention;

use std::sync::Arc;

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

pub(crate) use self::marks::is_erased;
use crate::{Database, SqliteAudit, database::port_error, turns::Hub};

/// The operators' side of a data folder's users.
#[derive(Clone)]
pub struct SqliteUsers {
    database: Database,
    /// What runs in this process; none when operators have opened the folder themselves.
    hub: Option<Arc<Hub>>,
}

impl SqliteUsers {
    /// Those of a folder in which nothing runs.
    pub fn new(database: Database) -> Self {
        Self { database, hub: None }
    }

    pub(crate) fn beside(database: Database, hub: Arc<Hub>) -> Self {
        Self { database, hub: Some(hub) }
    }
}

#[async_trait]
impl UserAdmin for SqliteUsers {
    async fn count(&self, user: &UserId) -> Result<UserCounts, PortError> {
        let mut connection = self.database.read().await?;
        export::count(&mut connection, user).await.map_err(port_error)
    }

    async fn export(&self, user: &UserId, after: Option<&ExportPosition>) -> Result<ExportPage, PortError> {
        let mut connection = self.database.read().await?;
        export::page(&mut connection, user, after).await.map_err(port_error)
    }

    async fn erase(&self, user: &UserId) -> Result<EraseStep, PortError> {
        let (database, user) = (self.database.clone(), user.clone());
        let hub = self.hub.clone();
        let job = async move |connection: &mut sqlx::SqliteConnection| {
            let erasing = erase::Erasing {
                user: user.as_str(),
                key: &user_key(&user),
                epoch: database.epoch(),
                now: database.clock().now_millis(),
            };
            erasing.step(connection).await
        };
        let stepped = self.database.write_then(job, move |stepped: &erase::Stepped| {
            if let Some(hub) = hub {
                hub.cancel_all(&stepped.to_stop);
                hub.end_all(&stepped.ended);
            }
        });
        Ok(stepped.await?.report)
    }

    async fn purge(&self) -> Result<bool, PortError> {
        self.database.checkpoint().await
    }
}

#[async_trait]
impl Retention for SqliteUsers {
    async fn delete_aged(&self, before: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        let database = self.database.clone();
        let hub = self.hub.clone();
        let job = async move |connection: &mut sqlx::SqliteConnection| {
            retention::delete_aged(connection, before.timestamp_millis(), database.clock().now()).await
        };
        let deleted = self.database.write_then(job, move |deleted: &retention::Deleted| {
            if let Some(hub) = hub {
                hub.cancel_all(&deleted.to_stop);
            }
        });
        Ok(Some(deleted.await?.sessions))
    }

    async fn forget_erased(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        let before = before.timestamp_millis();
        self.database.write(async move |connection| marks::forget(connection, before).await).await
    }

    async fn forget_audit(&self, before: DateTime<Utc>) -> Result<(), PortError> {
        SqliteAudit::new(self.database.clone()).forget(before).await
    }
}
