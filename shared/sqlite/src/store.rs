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

mod admission;
mod branches;
mod headings;
mod hidden;
mod messages;
mod open_tasks;
mod page_builder;
pub(crate) mod record;
mod requests;
mod sessions;
mod summaries;
mod tasks;
mod usage;
mod users;
pub(crate) mod values;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    SessionId, TaskId, UserId,
    event::{HeadingMade, MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted, SummaryMade},
    message::Message,
    page::{Page, PageRequest},
    port::{
        PortError,
        store::{Admission, Lookup, Store, StoredTask, StoredTurn, TurnOf},
    },
    session::Session,
    summary::StoredSummary,
    usage::{UsageQuery, UsageReport},
};
use sqlx::SqliteConnection;

use self::messages::Branches;
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

    async fn record_summary_made(&self, event: &SummaryMade) -> Result<(), PortError> {
        let event = event.clone();
        self.database.write_in_background(async move |connection| summaries::record(connection, &event).await).await
    }

    async fn record_heading_made(&self, event: &HeadingMade) -> Result<(), PortError> {
        let event = event.clone();
        self.database.write_in_background(async move |connection| headings::record(connection, &event).await).await
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
        messages::list(&mut connection, user, session, Branches::Current, page).await.map_err(port_error)
    }

    async fn messages_of_all_branches(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        let mut connection = self.database.read().await?;
        messages::list(&mut connection, user, session, Branches::All, page).await.map_err(port_error)
    }

    async fn admission(
        &self,
        user: &UserId,
        session: SessionId,
        recent: &[TaskId],
        limit: u32,
    ) -> Result<Admission, PortError> {
        let mut connection = self.database.read().await?;
        let looked_at = self.database.clock().now();
        let known = admission::find(&mut connection, user, session, recent, limit).await.map_err(port_error)?;
        Ok(Admission { looked_at: Some(looked_at), ..known })
    }

    async fn open_tasks(&self, user: &UserId, recent: &[TaskId], limit: u32) -> Result<Vec<TaskId>, PortError> {
        let mut connection = self.database.read().await?;
        open_tasks::list(&mut connection, user, recent, limit).await.map_err(port_error)
    }

    async fn turn(&self, user: &UserId, session: SessionId, turn: TurnOf) -> Result<Lookup<StoredTurn>, PortError> {
        let mut connection = self.database.read().await?;
        branches::find(&mut connection, user, session, turn).await.map_err(port_error)
    }

    async fn summary(
        &self,
        user: &UserId,
        session: SessionId,
        version: Option<u32>,
    ) -> Result<Lookup<StoredSummary>, PortError> {
        let mut connection = self.database.read().await?;
        summaries::find(&mut connection, user, session, version).await.map_err(port_error)
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        let mut connection = self.database.read().await?;
        tasks::find(&mut connection, user, task).await.map_err(port_error)
    }

    async fn hide_response(&self, user: &UserId, task: TaskId, at: DateTime<Utc>) -> Result<(), PortError> {
        let user = user.clone();
        self.database.write(async move |connection| hidden::hide(connection, &user, task, at).await).await
    }

    async fn response_is_hidden(&self, user: &UserId, task: TaskId) -> Result<bool, PortError> {
        let mut connection = self.database.read().await?;
        hidden::is_hidden(&mut connection, user, task).await.map_err(port_error)
    }

    async fn usage(&self, user: &UserId, query: &UsageQuery) -> Result<UsageReport, PortError> {
        let mut connection = self.database.read().await?;
        usage::report(&mut connection, user, query).await.map_err(port_error)
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
