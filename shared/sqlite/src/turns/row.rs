//! A row of `turns`, and the task it stands for.

use chrono::{DateTime, Utc};
use sqlx::SqliteExecutor;

use parlance_shared::{
    TaskId, UserId,
    task::{Reply, Status, Task, TaskDetails, TaskError, Timings, Usage},
};

pub(crate) struct TurnRow {
    pub(crate) user_id: String,
    pub(crate) session_id: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) reply_message_id: Option<String>,
    pub(crate) status: String,
    pub(crate) attempt: i64,
    pub(crate) reset_reason: String,
    pub(crate) worker: Option<String>,
    pub(crate) epoch: Option<String>,
    pub(crate) leased_until: Option<i64>,
    pub(crate) session_deleted: i64,
    pub(crate) fingerprint: Option<String>,
    pub(crate) reply: Option<String>,
    pub(crate) reply_expired: i64,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) input_tokens: Option<i64>,
    pub(crate) output_tokens: Option<i64>,
    pub(crate) cached_tokens: Option<i64>,
    pub(crate) accepted_at: Option<i64>,
    pub(crate) started_at: Option<i64>,
    pub(crate) first_token_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) error_retryable: Option<i64>,
    /// The ids of the replays that had it answered anew, apart by blanks.
    pub(crate) reopened_by: Option<String>,
    pub(crate) details: Option<String>,
}

pub(crate) async fn load(executor: impl SqliteExecutor<'_>, task: TaskId) -> sqlx::Result<Option<TurnRow>> {
    let task = task.to_string();
    sqlx::query_as!(
        TurnRow,
        "SELECT user_id, session_id, message_id, reply_message_id, status, attempt, reset_reason, worker, epoch,
                leased_until, session_deleted, fingerprint, reply, reply_expired, provider, model, input_tokens,
                output_tokens, cached_tokens, accepted_at, started_at, first_token_at, finished_at, error_code,
                error_message, error_retryable, reopened_by, details
         FROM turns WHERE task_id = ?",
        task
    )
    .fetch_optional(executor)
    .await
}

/// Text of the given attempt that was stored while it ran.
pub(crate) async fn stored_text(executor: impl SqliteExecutor<'_>, task: TaskId, attempt: i64) -> sqlx::Result<String> {
    let task = task.to_string();
    let pieces = sqlx::query_scalar!(
        "SELECT text FROM reply_log WHERE task_id = ? AND attempt = ? ORDER BY start",
        task,
        attempt
    )
    .fetch_all(executor)
    .await?;
    Ok(pieces.concat())
}

impl TurnRow {
    pub(crate) fn is_of(&self, user: &UserId) -> bool {
        // Nobody's any more: an erased user's, of whose task only the id is left.
        self.user_id == user.as_str() || self.user_id.is_empty()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.finished_at.is_some()
    }

    pub(crate) fn attempt(&self) -> u32 {
        u32::try_from(self.attempt).unwrap_or(u32::MAX)
    }

    /// The task, with the end's text or none.
    pub(crate) fn task(&self, id: TaskId) -> sqlx::Result<Task> {
        Ok(Task {
            id,
            session_id: parsed(self.session_id.as_deref())?,
            message_id: parsed(self.message_id.as_deref())?,
            status: Status::from_word(&self.status).ok_or_else(|| undecodable(&self.status))?,
            attempt: self.attempt(),
            reply: Reply {
                message_id: parsed(self.reply_message_id.as_deref())?,
                content: self.reply.clone().unwrap_or_default(),
            },
            provider: self.provider.clone(),
            model: self.model.clone(),
            usage: Usage {
                input_tokens: count(self.input_tokens),
                output_tokens: count(self.output_tokens),
                cached_tokens: count(self.cached_tokens),
            },
            timings: Timings::from_instants(
                instant(self.accepted_at),
                instant(self.started_at),
                instant(self.first_token_at),
                instant(self.finished_at),
            ),
            error: self.error_code.clone().map(|code| TaskError {
                code,
                message: self.error_message.clone().unwrap_or_default(),
                retryable: self.error_retryable == Some(1),
            }),
            details: TaskDetails::from_column(self.details.as_deref()),
        })
    }
}

fn parsed<T: std::str::FromStr>(text: Option<&str>) -> sqlx::Result<Option<T>> {
    text.map(|text| text.parse().map_err(|_| undecodable(text))).transpose()
}

fn undecodable(text: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{text:?} is not what this column holds").into())
}

fn instant(millis: Option<i64>) -> Option<DateTime<Utc>> {
    millis.and_then(DateTime::from_timestamp_millis)
}

fn count(tokens: Option<i64>) -> Option<u64> {
    tokens.and_then(|tokens| u64::try_from(tokens).ok())
}
