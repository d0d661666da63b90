//! The durable record, on SQLite: users, sessions, messages and tasks.
//!
//! Each event is one job of the group-commit writer, so it is recorded whole or not at all. Why events may come in any
//! order and any number of times:
//! - a row is made by whichever event names it first, and times that several events know are kept as the earliest or the
//!   latest of them;
//! - each field of a session carries the revision it came from, and the greatest revision wins;
//! - a task's end is never replaced by another end of the same or an earlier attempt. A later attempt's end does replace
//!   it: that is what an operator's redrive of a message gives whose task had been given up;
//! - a deleted session stays as a tombstone under which nothing is stored any more.
//!
//! A row belongs to the user who was named first; an event of another user is refused, and no read finds it.

mod messages;
mod page_builder;
mod record;
mod requests;
mod sessions;
mod tasks;
mod users;
mod values;

use std::time::Duration;

use async_trait::async_trait;
use parlance_shared::{
    SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    message::Message,
    page::{Page, PageRequest},
    port::{
        PortError,
        store::{Lookup, Store, StoredTask},
    },
    session::Session,
};
use sqlx::SqliteConnection;

use crate::{Database, database::port_error};

/// How long the readiness check may wait for a reader or its turn to write.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// The durable record in a data folder.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// The record in this folder.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn record_message_submitted(&self, event: &MessageSubmitted) -> Result<(), PortError> {
        let event = event.clone();
        self.database
            .write_in_background(async move |connection| record::message_submitted(connection, &event).await)
            .await
    }

    async fn record_session_changed(&self, event: &SessionChanged) -> Result<(), PortError> {
        let event = event.clone();
        self.database.write(async move |connection| record::session_changed(connection, &event).await).await
    }

    async fn record_session_deleted(&self, event: &SessionDeleted) -> Result<(), PortError> {
        let event = event.clone();
        self.database.write(async move |connection| record::session_deleted(connection, &event).await).await
    }

    async fn record_reply_completed(&self, event: &ReplyCompleted) -> Result<(), PortError> {
        let event = event.clone();
        self.database
            .write_in_background(async move |connection| record::reply_completed(connection, &event).await)
            .await
    }

    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError> {
        let mut connection = self.database.read().await?;
        sessions::find(&mut connection, user, session).await.map_err(port_error)
    }

    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError> {
        let mut connection = self.database.read().await?;
        sessions::list(&mut connection, user, page).await.map_err(port_error)
    }

    async fn messages(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        let mut connection = self.database.read().await?;
        messages::list(&mut connection, user, session, page).await.map_err(port_error)
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        let mut connection = self.database.read().await?;
        tasks::find(&mut connection, user, task).await.map_err(port_error)
    }

    async fn ready(&self) -> Result<(), PortError> {
        let check = async {
            let mut connection = self.database.read().await?;
            sqlx::query_scalar!("SELECT id FROM users LIMIT 1")
                .fetch_optional(&mut *connection)
                .await
                .map_err(port_error)?;
            drop(connection);
            self.database.write(async |connection| probe_room(connection).await).await
        };
        tokio::time::timeout(READY_TIMEOUT, check).await.unwrap_or_else(|_| {
            let cause = format!("no answer within {} s", READY_TIMEOUT.as_secs());
            Err(PortError::Unavailable { what: "the database", cause })
        })
    }
}

/// Takes a few pages and gives them back. To change a row in place would not do: that needs no room.
async fn probe_room(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query!("INSERT OR REPLACE INTO write_probe (only_row, filler) VALUES (1, zeroblob(8192))")
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM write_probe").execute(connection).await?;
    Ok(())
}
