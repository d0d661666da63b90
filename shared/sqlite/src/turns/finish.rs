//! The end of a task: closes its log, stores the reply and saves the checkpoint in one transaction, for the valid claim
//! only.

use sqlx::SqliteConnection;

use parlance_shared::{
    port::turns::{Claim, ClaimError, TurnEnd, VersionedCheckpoint},
    task::Task,
};

use super::{
    SqliteTurns,
    checkpoint::{self, Saved},
    row,
};

enum Finished {
    Task { task: Box<Task>, erased: bool },
    Fenced,
    StaleCheckpoint,
}

pub(super) async fn finish(
    turns: &SqliteTurns,
    claim: Claim,
    end: TurnEnd,
    save: Option<VersionedCheckpoint>,
) -> Result<Task, ClaimError> {
    let (hub, owner, task_id) = (turns.hub.clone(), claim.user_id.clone(), claim.task_id);
    let now = turns.database.clock().now_millis();
    let job = async move |connection: &mut SqliteConnection| {
        if !is_valid(connection, &claim).await? {
            return Ok(Finished::Fenced);
        }
        if let Some(save) = &save {
            match checkpoint::save_in(connection, &claim.user_id, claim.session_id, save, now).await? {
                Saved::Yes | Saved::SessionDeleted => {}
                Saved::Stale => return Ok(Finished::StaleCheckpoint),
            }
        }
        write_end(connection, &claim, &end, now).await?;
        let row = row::load(connection, claim.task_id).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Finished::Task { task: Box::new(row.task(claim.task_id)?), erased: row.session_deleted == 1 })
    };
    let finished = turns
        .database
        .write_then(job, move |finished| {
            if let Finished::Task { task, erased } = finished {
                hub.open(task_id).end(owner, (**task).clone(), *erased);
                hub.let_go(task_id);
            }
        })
        .await?;
    match finished {
        Finished::Task { task, .. } => Ok(*task),
        Finished::Fenced => Err(ClaimError::Fenced),
        Finished::StaleCheckpoint => Err(ClaimError::StaleCheckpoint),
    }
}

async fn is_valid(connection: &mut SqliteConnection, claim: &Claim) -> sqlx::Result<bool> {
    let (task, attempt) = (claim.task_id.to_string(), i64::from(claim.attempt));
    let valid = sqlx::query_scalar!(
        "SELECT 1 AS 'valid!' FROM turns WHERE task_id = ? AND attempt = ? AND worker = ? AND finished_at IS NULL",
        task,
        attempt,
        claim.worker.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(valid.is_some())
}

/// What a deleted session's last turn said is not kept.
async fn write_end(connection: &mut SqliteConnection, claim: &Claim, end: &TurnEnd, now: i64) -> sqlx::Result<()> {
    let task = claim.task_id.to_string();
    let status = end.status.as_str();
    let (input, output, cached) =
        (signed(end.usage.input_tokens), signed(end.usage.output_tokens), signed(end.usage.cached_tokens));
    let first_token_at = end.first_token_at.map(|at| at.timestamp_millis());
    let (code, message, retryable) = match &end.error {
        Some(error) => (Some(&error.code), Some(&error.message), Some(i64::from(error.retryable))),
        None => (None, None, None),
    };
    let (details, cost) = (end.details.to_column(), signed(end.details.cost_micro_usd));
    sqlx::query!(
        "UPDATE turns
         SET status = ?, reply = CASE session_deleted WHEN 1 THEN '' ELSE ? END, provider = ?, model = ?,
             input_tokens = ?, output_tokens = ?, cached_tokens = ?, first_token_at = ?, finished_at = ?,
             error_code = ?, error_message = CASE session_deleted WHEN 1 THEN '' ELSE ? END, error_retryable = ?,
             fingerprint = CASE session_deleted WHEN 1 THEN NULL ELSE fingerprint END,
             details = CASE session_deleted WHEN 1 THEN NULL ELSE ? END, cost_micro_usd = ?,
             worker = NULL, epoch = NULL, leased_until = NULL
         WHERE task_id = ?",
        status,
        end.content,
        end.provider,
        end.model,
        input,
        output,
        cached,
        first_token_at,
        now,
        code,
        message,
        retryable,
        details,
        cost,
        task
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM reply_log WHERE task_id = ?", task).execute(connection).await?;
    Ok(())
}

fn signed(tokens: Option<u64>) -> Option<i64> {
    tokens.and_then(|tokens| i64::try_from(tokens).ok())
}
