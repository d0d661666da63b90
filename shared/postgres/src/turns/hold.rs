//! What a worker does with a claim that it has: renews it, goes on to the next attempt, hands it back.

use std::{collections::HashMap, time::Duration};

use parlance_shared::port::{
    PortError,
    turns::{Claim, ClaimError},
};
use sqlx::{Connection as _, PgConnection};

use super::{PostgresTurns, Worker};
use crate::{
    log::{Fact, Unstored},
    text::to_sql,
};

/// A lease that has run out is renewed as well if nobody took it over. The answer brings the wish to stop along, should
/// its notice have been missed.
pub(super) async fn heartbeat(
    turns: &PostgresTurns,
    worker: &Worker,
    claims: &[Claim],
    lease: Duration,
) -> Result<(), PortError> {
    let (mut tasks, mut attempts, mut workers) = (Vec::new(), Vec::new(), Vec::new());
    for claim in claims {
        tasks.push(claim.task_id.to_string());
        attempts.push(i64::from(claim.attempt));
        workers.push(claim.worker.0.clone());
    }
    let input = (tasks, attempts, workers, lease.as_secs_f64());
    let held = turns.database.run(&input, |connection, (tasks, attempts, workers, lease)| {
        Box::pin(renew(connection, tasks, attempts, workers, *lease))
    });
    let held = held.await?;
    let (tasks, attempts, ..) = input;
    let held: HashMap<(String, i64), bool> =
        held.into_iter().map(|row| ((row.task_id, row.attempt), row.stop)).collect();
    for (claim, key) in claims.iter().zip(tasks.into_iter().zip(attempts)) {
        match held.get(&key) {
            None => {
                claim.lost.cancel();
                worker.held.lose(claim.task_id, claim.attempt);
            }
            Some(true) => {
                claim.cancelled.cancel();
                worker.held.cancel(claim.task_id);
            }
            Some(false) => {}
        }
    }
    Ok(())
}

struct Renewed {
    task_id: String,
    attempt: i64,
    stop: bool,
}

async fn renew(
    connection: &mut PgConnection,
    tasks: &[String],
    attempts: &[i64],
    workers: &[String],
    lease: f64,
) -> sqlx::Result<Vec<Renewed>> {
    sqlx::query_as!(
        Renewed,
        r#"UPDATE turns SET leased_until = clock_timestamp() + $4 * interval '1 second'
           FROM unnest($1::text[], $2::bigint[], $3::text[]) AS claim (task_id, attempt, worker)
           WHERE turns.task_id = claim.task_id AND turns.attempt = claim.attempt AND turns.worker = claim.worker
               AND finished_at IS NULL
           RETURNING turns.task_id, turns.attempt,
                     cancel_requested_at IS NOT NULL OR session_deleted OR EXISTS (
                         SELECT FROM checkpoints
                         WHERE checkpoints.session_id = turns.session_id AND checkpoints.user_id = turns.user_id
                             AND (deleted OR interrupted_before > turns.accepted_at AND reopened_by = '{}')
                     ) AS "stop!""#,
        tasks,
        attempts,
        workers,
        lease
    )
    .fetch_all(connection)
    .await
}

/// A try whose answer was lost may have worked. Only the holder of an attempt can make it fail, and a take-over never
/// counts as a failure, so the row says whether it was this one.
pub(super) async fn next_attempt(
    turns: &PostgresTurns,
    worker: &Worker,
    claim: &Claim,
    reason: &str,
) -> Result<Claim, ClaimError> {
    let next = Claim { attempt: claim.attempt + 1, failed_attempts: claim.failed_attempts + 1, ..claim.clone() };
    let _moving = worker.held.moving(claim);
    let input = (claim, &next, reason);
    let moved = turns
        .database
        .run(&input, |connection, (claim, next, reason)| Box::pin(move_on(connection, claim, next, reason)));
    let moved = moved.await?;
    // Whoever calls twice with the same claim is fenced the second time.
    if !moved || worker.held.find_for(claim).is_none() {
        return Err(ClaimError::Fenced);
    }
    worker.held.move_on(claim, &next, reason.to_owned());
    worker.outbox.tell(Fact::Begun { task: next.task_id, attempt: next.attempt, reason: reason.to_owned() });
    Ok(next)
}

async fn move_on(connection: &mut PgConnection, claim: &Claim, next: &Claim, reason: &str) -> sqlx::Result<bool> {
    let (task, attempt) = (claim.task_id.to_string(), i64::from(claim.attempt));
    let moved = sqlx::query!(
        "UPDATE turns
         SET attempt = attempt + 1, attempt_at = clock_timestamp(), failed_attempts = failed_attempts + 1,
             reset_reason = $4
         WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND finished_at IS NULL",
        task,
        attempt,
        claim.worker.0,
        &to_sql(reason)
    )
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM turns
               WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND finished_at IS NULL
                   AND failed_attempts = $4 AND lost_attempts = $5
           ) AS "done!""#,
        task,
        attempt + 1,
        claim.worker.0,
        i64::from(next.failed_attempts),
        i64::from(next.lost_attempts)
    )
    .fetch_one(connection)
    .await
}

/// The text so far is stored with it, since whoever goes on has only that.
pub(super) async fn release(turns: &PostgresTurns, worker: &Worker, claim: &Claim) -> Result<(), PortError> {
    let _moving = worker.held.moving(claim);
    let unstored = worker.held.find_for(claim).and_then(|held| held.stream.unstored());
    let input = (claim, unstored);
    turns
        .database
        .run(&input, |connection, (claim, unstored)| Box::pin(hand_back(connection, claim, unstored)))
        .await?;
    worker.held.let_go(claim);
    Ok(())
}

async fn hand_back(connection: &mut PgConnection, claim: &Claim, unstored: &Option<Unstored>) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    let (task, attempt) = (claim.task_id.to_string(), i64::from(claim.attempt));
    let released = sqlx::query!(
        "UPDATE turns SET worker = NULL, leased_until = clock_timestamp()
         WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND finished_at IS NULL
         RETURNING session_deleted",
        task,
        attempt,
        claim.worker.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let (Some(false), Some(unstored)) = (released.map(|row| row.session_deleted), unstored) {
        sqlx::query!(
            "INSERT INTO reply_log (slot, task_id, attempt, start, text)
             VALUES (parlance_log_slot(clock_timestamp()), $1, $2, $3, $4)",
            task,
            attempt,
            i64::try_from(unstored.start).unwrap_or(i64::MAX),
            unstored.text.as_bytes()
        )
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}
