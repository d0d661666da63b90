//! A row of `turns`, and the task it stands for.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use parlance_shared::{
    TaskId, UserId,
    task::{Reply, Status, Task, TaskDetails, TaskError, Timings, Usage},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::text::{from_sql, to_sql};

pub(crate) struct TurnRow {
    pub(crate) task_id: String,
    pub(crate) user_id: String,
    pub(crate) session_id: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) reply_message_id: Option<String>,
    pub(crate) status: String,
    pub(crate) attempt: i64,
    pub(crate) attempt_at: Option<DateTime<Utc>>,
    pub(crate) reset_reason: String,
    pub(crate) worker: Option<String>,
    /// Seconds from now; none when nobody holds it.
    pub(crate) lease_left: Option<f64>,
    pub(crate) session_deleted: bool,
    pub(crate) fingerprint: Option<String>,
    pub(crate) reply: Option<String>,
    pub(crate) reply_expired: bool,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) input_tokens: Option<i64>,
    pub(crate) output_tokens: Option<i64>,
    pub(crate) cached_tokens: Option<i64>,
    pub(crate) accepted_at: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) first_token_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) error_retryable: Option<bool>,
    pub(crate) reopened_by: Vec<Uuid>,
    pub(crate) details: Option<String>,
}

pub(crate) async fn load(connection: &mut PgConnection, task: TaskId) -> sqlx::Result<Option<TurnRow>> {
    Ok(load_all(connection, &[task]).await?.pop())
}

pub(crate) async fn load_all(connection: &mut PgConnection, tasks: &[TaskId]) -> sqlx::Result<Vec<TurnRow>> {
    let ids: Vec<String> = tasks.iter().map(TaskId::to_string).collect();
    sqlx::query_as!(
        TurnRow,
        r#"SELECT task_id, user_id, session_id, message_id, reply_message_id, status, attempt, attempt_at, reset_reason,
                  worker,
                  extract(epoch FROM leased_until - clock_timestamp())::float8 AS lease_left,
                  session_deleted, fingerprint, reply,
                  reply_expired, provider, model, input_tokens, output_tokens, cached_tokens, accepted_at, started_at,
                  first_token_at, finished_at, error_code, error_message, error_retryable, reopened_by, details
           FROM turns WHERE task_id = ANY($1)"#,
        &ids
    )
    .fetch_all(connection)
    .await
}

/// Pieces of text that were stored while the turns' latest attempts ran, by task.
pub(crate) async fn stored_texts(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &TurnRow>,
) -> sqlx::Result<HashMap<String, Vec<(u64, Vec<u8>)>>> {
    let (mut tasks, mut attempts, mut begun) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        tasks.push(row.task_id.clone());
        attempts.push(row.attempt);
        begun.push(row.attempt_at.unwrap_or_default());
    }
    if tasks.is_empty() {
        return Ok(HashMap::new());
    }
    let pieces = sqlx::query!(
        r#"SELECT turn.task_id AS "task_id!", piece.start AS "start!", piece.text AS "text!"
           FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS turn (task_id, attempt, begun)
           CROSS JOIN LATERAL parlance_stored_text(turn.task_id, turn.attempt, turn.begun) AS piece"#,
        &tasks,
        &attempts,
        &begun
    )
    .fetch_all(connection)
    .await?;
    let mut texts: HashMap<String, Vec<(u64, Vec<u8>)>> = HashMap::new();
    for piece in pieces {
        texts.entry(piece.task_id).or_default().push((u64::try_from(piece.start).unwrap_or(u64::MAX), piece.text));
    }
    Ok(texts)
}

/// Text of the latest attempt that said anything, as far as it was stored.
pub(crate) async fn latest_stored_text(connection: &mut PgConnection, row: &TurnRow) -> sqlx::Result<String> {
    let Some(since) = row.started_at else { return Ok(String::new()) };
    let pieces = sqlx::query!(
        r#"SELECT attempt AS "attempt!", start AS "start!", text AS "text!" FROM parlance_stored_text($1, NULL, $2)"#,
        row.task_id,
        since
    )
    .fetch_all(connection)
    .await?;
    let spoke = pieces.iter().map(|piece| piece.attempt).max();
    let latest = pieces.into_iter().filter(|piece| Some(piece.attempt) == spoke);
    let latest = latest.map(|piece| (u64::try_from(piece.start).unwrap_or(u64::MAX), piece.text));
    Ok(crate::log::assemble(latest.collect()))
}

impl TurnRow {
    pub(crate) fn is_of(&self, user: &UserId) -> bool {
        // Nobody's any more: an erased user's, of whose task only the id is left.
        self.user_id == to_sql(user.as_str()) || self.user_id.is_empty()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.finished_at.is_some()
    }

    pub(crate) fn attempt(&self) -> u32 {
        u32::try_from(self.attempt).unwrap_or(u32::MAX)
    }

    /// The task, with the end's text or none. The row's texts go with it.
    pub(crate) fn take_task(&mut self, id: TaskId) -> sqlx::Result<Task> {
        let text = |column: &mut Option<String>| column.take().map(from_sql);
        Ok(Task {
            id,
            session_id: parsed(self.session_id.as_deref())?,
            message_id: parsed(self.message_id.as_deref())?,
            status: Status::from_word(&self.status).ok_or_else(|| undecodable(&self.status))?,
            attempt: self.attempt(),
            reply: Reply {
                message_id: parsed(self.reply_message_id.as_deref())?,
                content: text(&mut self.reply).unwrap_or_default(),
            },
            provider: text(&mut self.provider),
            model: text(&mut self.model),
            usage: Usage {
                input_tokens: count(self.input_tokens),
                output_tokens: count(self.output_tokens),
                cached_tokens: count(self.cached_tokens),
            },
            timings: Timings::from_instants(
                self.accepted_at.map(shown),
                self.started_at.map(shown),
                self.first_token_at.map(shown),
                self.finished_at.map(shown),
            ),
            error: text(&mut self.error_code).map(|code| TaskError {
                code,
                message: text(&mut self.error_message).unwrap_or_default(),
                retryable: self.error_retryable == Some(true),
            }),
            details: TaskDetails::from_column(self.details.take().as_deref()),
        })
    }
}

/// Times are shown to the millisecond.
fn shown(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(3)
}

fn parsed<T: std::str::FromStr>(text: Option<&str>) -> sqlx::Result<Option<T>> {
    text.map(|text| text.parse().map_err(|_| undecodable(text))).transpose()
}

fn undecodable(text: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{text:?} is not what this column holds").into())
}

fn count(tokens: Option<i64>) -> Option<u64> {
    tokens.and_then(|tokens| u64::try_from(tokens).ok())
}
