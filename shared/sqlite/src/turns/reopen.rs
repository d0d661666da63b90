//! A failed task that an operator has answered anew: the same row, under a new attempt, as if no attempt had failed before.
//!
//! Every replay that did so is remembered, so that the bus may deliver their events any number of times, in any order.

use sqlx::SqliteConnection;
use uuid::Uuid;

use parlance_shared::{
    TaskId,
    task::{Status, codes},
};

use super::row::TurnRow;

/// Who has the task from now on.
pub(super) struct Hold<'a> {
    pub(super) worker: &'a str,
    pub(super) epoch: &'a str,
    pub(super) until: i64,
}

pub(super) struct Reopened {
    pub(super) attempt: i64,
    /// The owner had asked to stop it before it failed.
    pub(super) stop: bool,
}

/// The replay that has this ended task answered anew, if it wants to and may: not what is completed, cancelled, refused or
/// deleted, and not a second time.
pub(super) fn may_reopen(row: &TurnRow, wanted: Option<Uuid>) -> Option<Uuid> {
    let replay = wanted.filter(|_| row.status == Status::Failed.as_str() && row.session_deleted == 0)?;
    if row.error_code.as_deref() == Some(codes::SESSION_BUSY) {
        return None;
    }
    let before = row.reopened_by.as_deref().unwrap_or_default();
    let id = replay.to_string();
    (!before.split(' ').any(|earlier| earlier == id)).then_some(replay)
}

pub(super) async fn reopen(
    connection: &mut SqliteConnection,
    task: TaskId,
    replay: Uuid,
    hold: Hold<'_>,
) -> sqlx::Result<Reopened> {
    let (task, replay) = (task.to_string(), replay.to_string());
    sqlx::query_as!(
        Reopened,
        "UPDATE turns
         SET attempt = attempt + 1, status = 'running', reset_reason = ?, reopened_by = concat_ws(' ', reopened_by, ?),
             lost_attempts = 0, failed_attempts = 0, worker = ?, epoch = ?, leased_until = ?, reply = NULL,
             reply_expired = 0, provider = NULL, model = NULL, input_tokens = NULL, output_tokens = NULL,
             cached_tokens = NULL, first_token_at = NULL, finished_at = NULL, error_code = NULL, error_message = NULL,
             error_retryable = NULL, details = NULL
         WHERE task_id = ?
         RETURNING attempt, cancel_requested_at IS NOT NULL AS 'stop!: bool'",
        codes::REPLAYED,
        replay,
        hold.worker,
        hold.epoch,
        hold.until,
        task
    )
    .fetch_one(connection)
    .await
}
