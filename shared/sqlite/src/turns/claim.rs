//! Who may work on a task: granted, held, handed on.
//!
//! The fence is the pair (attempt, worker) in the task's row: every write of a worker names both, so a worker whose
//! lease was taken over writes nothing more. A lease of another opening of the data folder belongs to a dead process.

use std::{collections::HashSet, time::Duration};

use chrono::DateTime;
use sqlx::SqliteConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use parlance_shared::{
    TaskId,
    port::{
        PortError,
        turns::{Claim, ClaimError, ClaimOutcome, EARLIER_TURN, TurnRequest, WorkerId},
        users::user_key,
    },
    task::{Task, codes},
};

use super::{
    SqliteTurns, flush, reopen,
    row::{self, TurnRow},
};
use crate::users::is_erased;

enum Granted {
    Claimed { claim: Claim, reset_reason: String },
    Ended(Box<Task>),
    HeldUntil(i64),
    NotYet,
    Foreign,
}

pub(super) async fn claim(
    turns: &SqliteTurns,
    request: TurnRequest,
    worker: WorkerId,
    lease: Duration,
) -> Result<ClaimOutcome, PortError> {
    let now = turns.database.clock().now_millis();
    let until = now + millis(lease);
    let epoch = turns.database.epoch().to_owned();
    let hub = turns.hub.clone();
    let job = async move |connection: &mut SqliteConnection| {
        let asked = Ask { request: &request, worker: &worker, now, until, epoch: &epoch };
        match asked.first(connection).await? {
            Some(granted) => Ok(granted),
            None => asked.again(connection).await,
        }
    };
    let granted = turns
        .database
        .write_then(job, move |granted| {
            if let Granted::Claimed { claim, reset_reason } = granted {
                hub.hold(claim.task_id).begin(claim.user_id.clone(), claim.attempt, reset_reason.clone());
            }
        })
        .await?;
    match granted {
        Granted::Claimed { mut claim, .. } => {
            claim.cancelled = turns.hub.open(claim.task_id).cancelled();
            Ok(ClaimOutcome::Claimed(claim))
        }
        Granted::Ended(task) => Ok(ClaimOutcome::Ended(task)),
        Granted::HeldUntil(until) => {
            Ok(ClaimOutcome::HeldUntil(DateTime::from_timestamp_millis(until).unwrap_or_default()))
        }
        Granted::NotYet => Ok(ClaimOutcome::NotYet),
        Granted::Foreign => Err(PortError::Rejected { what: "the claim", cause: "the task is another user's".into() }),
    }
}

struct Ask<'a> {
    request: &'a TurnRequest,
    worker: &'a WorkerId,
    now: i64,
    until: i64,
    epoch: &'a str,
}

impl Ask<'_> {
    /// The usual case, in one statement: nobody has had it before.
    async fn first(&self, connection: &mut SqliteConnection) -> sqlx::Result<Option<Granted>> {
        let request = self.request;
        let (task, user) = (request.task_id.to_string(), request.user_id.as_str());
        let (session, message) = (request.session_id.to_string(), request.message_id.to_string());
        let reply_message = request.reply_message_id.to_string();
        let accepted_at = request.accepted_at.timestamp_millis();
        let waits_for = self.waits_for();
        let user_key = user_key(&request.user_id);
        let new = sqlx::query!(
            r#"INSERT INTO turns (task_id, user_id, session_id, message_id, reply_message_id, status, attempt, worker,
                                  epoch, leased_until, fingerprint, accepted_at, started_at, session_deleted)
               SELECT ?1, ?2, ?3, ?4, ?5, 'running', 1, ?6, ?7, ?8, ?9, ?10, ?11,
                      coalesce((SELECT deleted FROM checkpoints WHERE session_id = ?3), 0)
               WHERE NOT EXISTS (
                   SELECT 1 FROM turns
                   WHERE session_id = ?3 AND finished_at IS NULL AND (accepted_at, message_id) < (?10, ?4)
                       AND leased_until > ?12)
               ON CONFLICT (task_id) DO NOTHING
               RETURNING session_deleted = 1 OR EXISTS (
                   SELECT 1 FROM checkpoints WHERE session_id = ?3 AND user_id = ?2 AND interrupted_before > ?10
               ) AS "stop!: bool",
               EXISTS (SELECT 1 FROM sessions WHERE id = ?3 AND user_id = '')
                   OR EXISTS (SELECT 1 FROM erased_users WHERE user_key = ?13 AND erased_at >= ?10) AS "erased!: bool""#,
            task,
            user,
            session,
            message,
            reply_message,
            self.worker.0,
            self.epoch,
            self.until,
            request.fingerprint,
            accepted_at,
            self.now,
            waits_for,
            user_key
        )
        .fetch_optional(&mut *connection)
        .await?;
        if new.as_ref().is_some_and(|row| row.erased) {
            return self.erased(connection).await.map(Some);
        }
        Ok(new.map(|row| Granted::Claimed {
            claim: self.granted(1, 0, 0, row.stop, String::new()),
            reset_reason: String::new(),
        }))
    }

    /// It comes too late: its user was erased. The row that was made for it keeps its id alone.
    async fn erased(&self, connection: &mut SqliteConnection) -> sqlx::Result<Granted> {
        let request = self.request;
        let (id, session, user) =
            (request.task_id.to_string(), request.session_id.to_string(), request.user_id.as_str());
        let at = request.accepted_at.timestamp_millis();
        sqlx::query!(
            "UPDATE turns SET status = 'cancelled', attempt = 0, reply = '', finished_at = ?, worker = NULL, epoch = NULL,
                 leased_until = NULL, fingerprint = NULL, started_at = NULL, session_deleted = 1
             WHERE task_id = ?",
            self.now,
            id
        )
        .execute(&mut *connection)
        .await?;
        if !is_erased(connection, &request.user_id, request.session_id, at).await? {
            return Ok(Granted::NotYet);
        }
        sqlx::query!(
            "UPDATE turns SET user_id = '', accepted_at = NULL WHERE task_id = ? AND session_id = ? AND user_id = ?",
            id,
            session,
            user
        )
        .execute(&mut *connection)
        .await?;
        let row = row::load(connection, request.task_id).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Granted::Ended(Box::new(row.task(request.task_id)?)))
    }

    /// Leases that ran out before then keep nobody waiting.
    fn waits_for(&self) -> i64 {
        self.now - millis(EARLIER_TURN)
    }

    /// Whether an earlier turn of the session is under way.
    async fn is_ahead(&self, connection: &mut SqliteConnection) -> sqlx::Result<bool> {
        let request = self.request;
        let (session, message) = (request.session_id.to_string(), request.message_id.to_string());
        let (accepted_at, waits_for) = (request.accepted_at.timestamp_millis(), self.waits_for());
        let earlier = sqlx::query_scalar!(
            "SELECT 1 FROM turns
             WHERE session_id = ? AND finished_at IS NULL AND (accepted_at, message_id) < (?, ?) AND leased_until > ?
             LIMIT 1",
            session,
            accepted_at,
            message,
            waits_for
        );
        Ok(earlier.fetch_optional(connection).await?.is_some())
    }

    /// Somebody has had it, it was cancelled before anybody had, or an earlier turn is under way.
    async fn again(&self, connection: &mut SqliteConnection) -> sqlx::Result<Granted> {
        let task_id = self.request.task_id;
        let Some(row) = row::load(&mut *connection, task_id).await? else { return Ok(Granted::NotYet) };
        if !row.is_of(&self.request.user_id) {
            return Ok(Granted::Foreign);
        }
        if row.has_ended() {
            return match reopen::may_reopen(&row, self.request.reopen) {
                Some(replay) => self.reopened(connection, replay).await,
                None => self.ended(connection, row).await,
            };
        }
        let held = row.worker.is_some() && row.epoch.as_deref() == Some(self.epoch);
        if let Some(until) = row.leased_until.filter(|until| held && *until > self.now) {
            return Ok(Granted::HeldUntil(until));
        }
        if self.is_ahead(connection).await? {
            return Ok(Granted::NotYet);
        }
        let (reset_reason, lost) = if row.worker.is_some() { (codes::WORKER_LOST, 1) } else { (codes::HANDED_BACK, 0) };
        let task = task_id.to_string();
        let taken = sqlx::query!(
            "UPDATE turns
             SET attempt = attempt + 1, lost_attempts = lost_attempts + ?, reset_reason = ?, worker = ?, epoch = ?,
                 leased_until = ?
             WHERE task_id = ?
             RETURNING attempt, lost_attempts, failed_attempts,
                       cancel_requested_at IS NOT NULL OR session_deleted = 1 OR (reopened_by IS NULL AND EXISTS (
                           SELECT 1 FROM checkpoints
                           WHERE checkpoints.session_id = turns.session_id AND checkpoints.user_id = turns.user_id
                               AND interrupted_before > turns.accepted_at
                       )) AS 'stop!: bool'",
            lost,
            reset_reason,
            self.worker.0,
            self.epoch,
            self.until,
            task
        )
        .fetch_one(&mut *connection)
        .await?;
        let earlier_text = latest_text(connection, task_id).await?;
        let claim = self.granted(taken.attempt, taken.lost_attempts, taken.failed_attempts, taken.stop, earlier_text);
        Ok(Granted::Claimed { claim, reset_reason: reset_reason.to_owned() })
    }

    /// An operator wants an answer in place of a failure.
    async fn reopened(&self, connection: &mut SqliteConnection, replay: Uuid) -> sqlx::Result<Granted> {
        let hold = reopen::Hold { worker: &self.worker.0, epoch: self.epoch, until: self.until };
        let reopened = reopen::reopen(connection, self.request.task_id, replay, hold).await?;
        let claim = self.granted(reopened.attempt, 0, 0, reopened.stop, String::new());
        Ok(Granted::Claimed { claim, reset_reason: codes::REPLAYED.to_owned() })
    }

    /// A task that was cancelled by its id alone learns the rest now.
    async fn ended(&self, connection: &mut SqliteConnection, row: TurnRow) -> sqlx::Result<Granted> {
        let request = self.request;
        let mut task = row.task(request.task_id)?;
        if row.session_id.is_none() {
            let (id, session, message) =
                (request.task_id.to_string(), request.session_id.to_string(), request.message_id.to_string());
            let reply_message = request.reply_message_id.to_string();
            let accepted_at = request.accepted_at.timestamp_millis();
            sqlx::query!(
                "UPDATE turns SET session_id = ?, message_id = ?, reply_message_id = ?, accepted_at = ?, fingerprint = ?
                 WHERE task_id = ?",
                session,
                message,
                reply_message,
                accepted_at,
                request.fingerprint,
                id
            )
            .execute(&mut *connection)
            .await?;
            if let Some(row) = row::load(connection, request.task_id).await? {
                task = row.task(request.task_id)?;
            }
        }
        Ok(Granted::Ended(Box::new(task)))
    }

    fn granted(&self, attempt: i64, lost: i64, failed: i64, cancel_requested: bool, earlier_text: String) -> Claim {
        let small = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        Claim {
            task_id: self.request.task_id,
            session_id: self.request.session_id,
            user_id: self.request.user_id.clone(),
            attempt: small(attempt),
            worker: self.worker.clone(),
            lost_attempts: small(lost),
            failed_attempts: small(failed),
            cancel_requested,
            earlier_text,
            cancelled: CancellationToken::new(),
            lost: CancellationToken::new(),
        }
    }
}

/// The stored text of the latest attempt that said anything.
async fn latest_text(connection: &mut SqliteConnection, task: TaskId) -> sqlx::Result<String> {
    let id = task.to_string();
    let spoke = sqlx::query_scalar!("SELECT max(attempt) FROM reply_log WHERE task_id = ?", id)
        .fetch_one(&mut *connection)
        .await?;
    match spoke {
        Some(attempt) => row::stored_text(connection, task, attempt).await,
        None => Ok(String::new()),
    }
}

pub(super) async fn next_attempt(turns: &SqliteTurns, claim: Claim, reason: String) -> Result<Claim, ClaimError> {
    let (task, worker, attempt) = (claim.task_id.to_string(), claim.worker.0.clone(), i64::from(claim.attempt));
    let (hub, told) = (turns.hub.clone(), (claim.clone(), reason.clone()));
    let job = async move |connection: &mut SqliteConnection| {
        sqlx::query_scalar!(
            "UPDATE turns SET attempt = attempt + 1, failed_attempts = failed_attempts + 1, reset_reason = ?
             WHERE task_id = ? AND attempt = ? AND worker = ? AND finished_at IS NULL
             RETURNING attempt",
            reason,
            task,
            attempt,
            worker
        )
        .fetch_optional(connection)
        .await
    };
    let granted = turns
        .database
        .write_then(job, move |granted: &Option<i64>| {
            let ((claim, reason), Some(_)) = (told, granted) else { return };
            let live = hub.hold(claim.task_id);
            // The intent to cancel is the task's, not the attempt's.
            let was_cancelled = live.cancelled().is_cancelled();
            let cancelled = live.begin(claim.user_id, claim.attempt + 1, reason);
            if was_cancelled {
                cancelled.cancel();
            }
        })
        .await?;
    granted.ok_or(ClaimError::Fenced)?;
    let cancelled = turns.hub.open(claim.task_id).cancelled();
    Ok(Claim { attempt: claim.attempt + 1, failed_attempts: claim.failed_attempts + 1, cancelled, ..claim })
}

pub(super) async fn heartbeat(turns: &SqliteTurns, claims: &[Claim], lease: Duration) -> Result<(), PortError> {
    let until = turns.database.clock().now_millis() + millis(lease);
    let tasks: Vec<String> = claims.iter().map(|claim| claim.task_id.to_string()).collect();
    let tasks = serde_json::Value::from(tasks).to_string();
    let job = async move |connection: &mut SqliteConnection| {
        sqlx::query!(
            "UPDATE turns SET leased_until = ?
             WHERE worker IS NOT NULL AND finished_at IS NULL AND task_id IN (SELECT value FROM json_each(?))
             RETURNING task_id, attempt, worker AS 'worker!'",
            until,
            tasks
        )
        .fetch_all(connection)
        .await
    };
    let held = turns.database.write(job).await?;
    let held: HashSet<(String, i64, String)> =
        held.into_iter().map(|row| (row.task_id, row.attempt, row.worker)).collect();
    for claim in claims {
        if !held.contains(&(claim.task_id.to_string(), i64::from(claim.attempt), claim.worker.0.clone())) {
            claim.lost.cancel();
        }
    }
    Ok(())
}

pub(super) async fn release(turns: &SqliteTurns, claim: Claim) -> Result<(), PortError> {
    flush::flush(turns, turns.hub.find(claim.task_id).into_iter().collect()).await?;
    let (hub, task_id, now) = (turns.hub.clone(), claim.task_id, turns.database.clock().now_millis());
    let (task, worker, attempt) = (claim.task_id.to_string(), claim.worker.0, i64::from(claim.attempt));
    let job = async move |connection: &mut SqliteConnection| {
        sqlx::query!(
            "UPDATE turns SET worker = NULL, epoch = NULL, leased_until = ?
             WHERE task_id = ? AND attempt = ? AND worker = ? AND finished_at IS NULL",
            now,
            task,
            attempt,
            worker
        )
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
    };
    let let_go = move |released: &u64| {
        if *released == 1 {
            hub.let_go(task_id);
        }
    };
    turns.database.write_then(job, let_go).await?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
