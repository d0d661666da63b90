//! The durable record, on Postgres: users, sessions, messages and tasks, written by any number of processes at once.
//!
//! Each event is one statement, and so one round trip and one commit: a chain of upserts in `WITH`, recorded whole or not at
//! all. Why events may come in any order and any number of times:
//! - a row is made by whichever event names it first, and times that several events know are kept as the earliest or the
//!   latest of them;
//! - each field of a session carries the revision it came from, and the greatest revision wins;
//! - a task's end is never replaced by another end of the same or an earlier attempt. A later attempt's end does replace
//!   it: that is what an operator's redrive of a message gives whose task had been given up;
//! - a deleted session stays as a tombstone under which nothing is stored any more.
//!
//! And at the same time:
//! - every event locks its session's row first (the upsert of the first `WITH` does), then its task, user and messages: what
//!   is said in a session is written one event after the other, and no two events wait for each other;
//! - a statement sees what others had committed when it began, except for the rows that it locks. So decisions rest on
//!   what the upserts return. Where one must look at other rows, that is a second statement under the same lock.
//!
//! A row belongs to the user who was named first; an event of another user is refused, and no read finds it.

mod admission;
mod branches;
mod headings;
mod hidden;
mod message_submitted;
mod messages;
mod open_tasks;
mod page_builder;
mod reply_completed;
mod requests;
mod session_changed;
mod session_deleted;
mod sessions;
mod summaries;
mod tasks;
mod usage;
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
use sqlx::PgConnection;

use self::messages::Branches;
pub(crate) use self::session_deleted::record as record_deleted;
use crate::{Database, database::unavailable};

/// Whoever asks whether a service is ready does not wait as long as a call that has work to do.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// The durable record in a database.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    database: Database,
}

impl PostgresStore {
    /// The record in this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn record_message_submitted(&self, event: &MessageSubmitted) -> Result<(), PortError> {
        self.database.run(event, |connection, event| Box::pin(message_submitted::record(connection, event))).await
    }

    async fn record_session_changed(&self, event: &SessionChanged) -> Result<(), PortError> {
        self.database.run(event, |connection, event| Box::pin(session_changed::record(connection, event))).await
    }

    async fn record_session_deleted(&self, event: &SessionDeleted) -> Result<(), PortError> {
        self.database.run(event, |connection, event| Box::pin(session_deleted::record(connection, event))).await
    }

    async fn record_reply_completed(&self, event: &ReplyCompleted) -> Result<(), PortError> {
        self.database.run(event, |connection, event| Box::pin(reply_completed::record(connection, event))).await
    }

    async fn record_summary_made(&self, event: &SummaryMade) -> Result<(), PortError> {
        self.database.run(event, |connection, event| Box::pin(summaries::record(connection, event))).await
    }

    async fn record_heading_made(&self, event: &HeadingMade) -> Result<(), PortError> {
        self.database.run(event, |connection, event| Box::pin(headings::record(connection, event))).await
    }

    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError> {
        self.database
            .run(&(user, session), |connection, (user, session)| Box::pin(sessions::find(connection, user, *session)))
            .await
    }

    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError> {
        self.database
            .run(&(user, page), |connection, (user, page)| Box::pin(sessions::list(connection, user, page)))
            .await
    }

    async fn messages(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        self.database
            .run(&(user, session, page), |connection, (user, session, page)| {
                Box::pin(messages::list(connection, user, *session, Branches::Current, page))
            })
            .await
    }

    async fn messages_of_all_branches(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        self.database
            .run(&(user, session, page), |connection, (user, session, page)| {
                Box::pin(messages::list(connection, user, *session, Branches::All, page))
            })
            .await
    }

    async fn admission(
        &self,
        user: &UserId,
        session: SessionId,
        recent: &[TaskId],
        limit: u32,
    ) -> Result<Admission, PortError> {
        self.database
            .run(&(user, session, recent, limit), |connection, (user, session, recent, limit)| {
                Box::pin(admission::find(connection, user, *session, recent, *limit))
            })
            .await
    }

    async fn open_tasks(&self, user: &UserId, recent: &[TaskId], limit: u32) -> Result<Vec<TaskId>, PortError> {
        self.database
            .run(&(user, recent, limit), |connection, (user, recent, limit)| {
                Box::pin(open_tasks::list(connection, user, recent, *limit))
            })
            .await
    }

    async fn turn(&self, user: &UserId, session: SessionId, turn: TurnOf) -> Result<Lookup<StoredTurn>, PortError> {
        self.database
            .run(&(user, session, turn), |connection, (user, session, turn)| {
                Box::pin(branches::find(connection, user, *session, *turn))
            })
            .await
    }

    async fn summary(
        &self,
        user: &UserId,
        session: SessionId,
        version: Option<u32>,
    ) -> Result<Lookup<StoredSummary>, PortError> {
        self.database
            .run(&(user, session, version), |connection, (user, session, version)| {
                Box::pin(summaries::find(connection, user, *session, *version))
            })
            .await
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        self.database
            .run(&(user, task), |connection, (user, task)| Box::pin(tasks::find(connection, user, *task)))
            .await
    }

    async fn hide_response(&self, user: &UserId, task: TaskId, at: DateTime<Utc>) -> Result<(), PortError> {
        self.database
            .run(&(user, task, at), |connection, (user, task, at)| Box::pin(hidden::hide(connection, user, *task, *at)))
            .await
    }

    async fn response_is_hidden(&self, user: &UserId, task: TaskId) -> Result<bool, PortError> {
        self.database
            .run(&(user, task), |connection, (user, task)| Box::pin(hidden::is_hidden(connection, user, *task)))
            .await
    }

    async fn usage(&self, user: &UserId, query: &UsageQuery) -> Result<UsageReport, PortError> {
        self.database
            .run(&(user, query), |connection, (user, query)| Box::pin(usage::report(connection, user, query)))
            .await
    }

    async fn ready(&self) -> Result<(), PortError> {
        let check = async {
            self.database.schema_is_good().await?;
            self.database.run(&(), |connection, ()| Box::pin(probe(connection))).await
        };
        tokio::time::timeout(READY_TIMEOUT, check)
            .await
            .unwrap_or_else(|_| Err(unavailable(format!("no answer within {} s", READY_TIMEOUT.as_secs()))))
    }
}

/// Commits something: only a server that takes writes, and has room for its log, can.
async fn probe(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO write_probe (only_row, probed_at) VALUES (1, now())
         ON CONFLICT (only_row) DO UPDATE SET probed_at = excluded.probed_at"
    )
    .execute(connection)
    .await?;
    Ok(())
}
