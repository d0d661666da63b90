//! Who may work on a task. The fence is the pair (attempt, worker) in the task's row: every write of a worker names both,
//! so a worker whose lease was taken over writes nothing more.

use std::time::Duration;

use chrono::SubsecRound as _;
use parlance_shared::{
    port::{
        PortError,
        turns::{Claim, ClaimOutcome, EARLIER_TURN, TurnRequest, WorkerId},
        users::user_key,
    },
    task::{Status, Task, codes},
};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::{
    PostgresTurns, Worker,
    notice::send,
    row::{self, TurnRow},
};
use crate::{
    log::{Fact, Notice},
    text::to_sql,
    users::is_erased,
};

enum Granted {
    Claimed { claim: Claim, reset_reason: String },
    Ended(Box<Task>),
    HeldFor(Duration),
    NotYet,
    Foreign,
}

pub(super) async fn claim(
    turns: &PostgresTurns,
    worker: &Worker,
    request: &TurnRequest,
    id: &WorkerId,
    lease: Duration,
) -> Result<ClaimOutcome, PortError> {
    let asked = Ask { turns, request, worker: id, lease: lease.as_secs_f64() };
    let granted = turns.database.run(&asked, |connection, asked| Box::pin(asked.grant(connection))).await?;
    match granted {
        Granted::Claimed { claim, reset_reason } => {
            worker.held.hold(&claim, reset_reason.clone());
            let begun = Fact::Begun { task: claim.task_id, attempt: claim.attempt, reason: reset_reason };
            worker.outbox.tell(begun);
            worker.worked.notify_one();
            if worker.held.count() == 1 {
                turns.busy.notify_one();
            }
            Ok(ClaimOutcome::Claimed(claim))
        }
        Granted::Ended(task) => {
            // Whoever ended it may have died before it could say so.
            worker.outbox.tell(Fact::EndStored { task: task.id, attempt: task.attempt });
            Ok(ClaimOutcome::Ended(task))
        }
        // As long by our clock as it is by the database's, however far they are apart.
        Granted::HeldFor(left) => Ok(ClaimOutcome::HeldUntil(turns.database.clock().now() + left)),
        Granted::NotYet => Ok(ClaimOutcome::NotYet),
        Granted::Foreign => Err(PortError::Rejected { what: "the claim", cause: "the task is another user's".into() }),
    }
}

struct Ask<'a> {
    turns: &'a PostgresTurns,
    request: &'a TurnRequest,
    worker: &'a WorkerId,
    lease: f64,
}

impl Ask<'_> {
    async fn grant(&self, connection: &mut PgConnection) -> sqlx::Result<Granted> {
        match self.first(connection).await? {
            Some(granted) => Ok(granted),
            None => self.again(connection).await,
        }
    }

    /// The usual case, in one statement: nobody has had it before. A session that is being deleted at this moment is
    /// noticed by the first heartbeat, and by the end at the latest.
    async fn first(&self, connection: &mut PgConnection) -> sqlx::Result<Option<Granted>> {
        let request = self.request;
        let new = sqlx::query!(
            r#"INSERT INTO turns (task_id, user_id, session_id, message_id, reply_message_id, status, attempt, attempt_at,
                                  worker, leased_until, fingerprint, accepted_at, started_at, session_deleted)
               SELECT $1, $2, $3, $4, $5, 'running', 1, present.at, $6, present.at + $7 * interval '1 second', $8, $9,
                      present.at, coalesce((SELECT deleted FROM checkpoints WHERE session_id = $3), false)
               FROM (SELECT clock_timestamp() AS at) AS present
               WHERE NOT EXISTS (
                   SELECT FROM turns AS earlier
                   WHERE earlier.session_id = $3 AND earlier.finished_at IS NULL
                       AND (earlier.accepted_at, earlier.message_id) < ($9, $4)
                       AND earlier.leased_until > present.at - $10 * interval '1 second')
               ON CONFLICT (task_id) DO NOTHING
               RETURNING session_deleted OR EXISTS (
                   SELECT FROM checkpoints WHERE session_id = $3 AND user_id = $2 AND interrupted_before > $9
               ) AS "stop!",
               EXISTS (SELECT FROM sessions WHERE id = $3 AND user_id = '')
                   OR EXISTS (SELECT FROM erased_users WHERE user_key = $11 AND erased_at >= $9) AS "erased!""#,
            request.task_id.to_string(),
            &to_sql(request.user_id.as_str()),
            request.session_id.to_string(),
            request.message_id.to_string(),
            request.reply_message_id.to_string(),
            self.worker.0,
            self.lease,
            request.fingerprint,
            request.accepted_at.trunc_subsecs(3),
            EARLIER_TURN.as_secs_f64(),
            user_key(&request.user_id)
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

    /// It comes too late: its user was erased. The row that was made for it keeps its id alone; should this process die in
    /// between, the row is ended so by the next delivery, when the lease has run out.
    async fn erased(&self, connection: &mut PgConnection) -> sqlx::Result<Granted> {
        let request = self.request;
        let mut transaction = connection.begin().await?;
        sqlx::query!(
            "UPDATE turns
             SET user_id = '', status = 'cancelled', attempt = 0, reply = '', finished_at = clock_timestamp(), worker = NULL,
                 leased_until = NULL, fingerprint = NULL, accepted_at = NULL, started_at = NULL, session_deleted = true
             WHERE task_id = $1 AND user_id = $2",
            request.task_id.to_string(),
            &to_sql(request.user_id.as_str())
        )
        .execute(&mut *transaction)
        .await?;
        is_erased(&mut transaction, &request.user_id, request.session_id, request.accepted_at).await?;
        let mut row = row::load(&mut transaction, request.task_id).await?.ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        Ok(Granted::Ended(Box::new(row.take_task(request.task_id)?)))
    }

    /// Somebody has had it, it was cancelled before anybody had, or an earlier turn is under way.
    async fn again(&self, connection: &mut PgConnection) -> sqlx::Result<Granted> {
        let mut transaction = connection.begin().await?;
        let task = self.request.task_id;
        sqlx::query!("SELECT 1 AS one FROM turns WHERE task_id = $1 FOR UPDATE", task.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row::load(&mut transaction, task).await? else { return Ok(Granted::NotYet) };
        let granted = if !row.is_of(&self.request.user_id) {
            Granted::Foreign
        } else if row.has_ended() && !self.reopens(&row) {
            self.ended(&mut transaction, row).await?
        } else if let Some(left) = row.lease_left.filter(|left| row.worker.is_some() && *left > 0.0) {
            Granted::HeldFor(Duration::from_secs_f64(left))
        } else if self.is_ahead(&mut transaction).await? {
            Granted::NotYet
        } else {
            self.take_over(&mut transaction, row).await?
        };
        transaction.commit().await?;
        Ok(granted)
    }

    /// Whether an earlier turn of the session is under way.
    async fn is_ahead(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let request = self.request;
        let earlier = sqlx::query_scalar!(
            "SELECT 1 FROM turns
             WHERE session_id = $1 AND finished_at IS NULL AND (accepted_at, message_id) < ($2, $3)
                 AND leased_until > clock_timestamp() - $4 * interval '1 second'
             LIMIT 1",
            request.session_id.to_string(),
            request.accepted_at.trunc_subsecs(3),
            request.message_id.to_string(),
            EARLIER_TURN.as_secs_f64()
        );
        Ok(earlier.fetch_optional(connection).await?.is_some())
    }

    /// A replay has a failed task answered anew, once.
    fn reopens(&self, row: &TurnRow) -> bool {
        let is_new = self.request.reopen.is_some_and(|replay| !row.reopened_by.contains(&replay));
        let was_refused = row.error_code.as_deref() == Some(codes::SESSION_BUSY);
        is_new && row.status == Status::Failed.as_str() && !was_refused && !row.session_deleted
    }

    async fn take_over(&self, connection: &mut PgConnection, row: TurnRow) -> sqlx::Result<Granted> {
        let (reset_reason, lost, reopened_by) = match () {
            () if row.has_ended() => (codes::REPLAYED, 0, self.request.reopen),
            () if row.worker.is_some() => (codes::WORKER_LOST, 1, None),
            () => (codes::HANDED_BACK, 0, None),
        };
        let taken = sqlx::query!(
            r#"UPDATE turns
               SET attempt = attempt + 1, attempt_at = clock_timestamp(), reset_reason = $2, worker = $3,
                   leased_until = clock_timestamp() + $4 * interval '1 second',
                   lost_attempts = CASE WHEN finished_at IS NULL THEN lost_attempts + $5 ELSE 0 END,
                   failed_attempts = CASE WHEN finished_at IS NULL THEN failed_attempts ELSE 0 END,
                   reopened_by = array_remove(reopened_by || $6::uuid, NULL), status = 'running', reply = NULL,
                   reply_expired = false,
                   provider = NULL, model = NULL, input_tokens = NULL, output_tokens = NULL, cached_tokens = NULL,
                   first_token_at = NULL, finished_at = NULL, error_code = NULL, error_message = NULL,
                   error_retryable = NULL, details = NULL
               WHERE task_id = $1
               RETURNING attempt, lost_attempts, failed_attempts,
                         cancel_requested_at IS NOT NULL OR session_deleted OR reopened_by = '{}' AND EXISTS (
                             SELECT FROM checkpoints
                             WHERE checkpoints.session_id = turns.session_id AND checkpoints.user_id = turns.user_id
                                 AND interrupted_before > turns.accepted_at
                         ) AS "stop!""#,
            row.task_id,
            reset_reason,
            self.worker.0,
            self.lease,
            lost,
            reopened_by
        )
        .fetch_one(&mut *connection)
        .await?;
        let earlier_text = row::latest_stored_text(connection, &row).await?;
        let claim = self.granted(taken.attempt, taken.lost_attempts, taken.failed_attempts, taken.stop, earlier_text);
        let notice = Notice::Taken {
            task: claim.task_id,
            attempt: claim.attempt,
            process: self.turns.process,
            reason: reset_reason.to_owned(),
        };
        send(connection, &[notice]).await?;
        Ok(Granted::Claimed { claim, reset_reason: reset_reason.to_owned() })
    }

    /// A task that was cancelled by its id alone learns the rest now.
    async fn ended(&self, connection: &mut PgConnection, mut row: TurnRow) -> sqlx::Result<Granted> {
        let request = self.request;
        if row.session_id.is_none() {
            sqlx::query!(
                "UPDATE turns SET session_id = $2, message_id = $3, reply_message_id = $4, accepted_at = $5, fingerprint = $6
                 WHERE task_id = $1",
                row.task_id,
                request.session_id.to_string(),
                request.message_id.to_string(),
                request.reply_message_id.to_string(),
                request.accepted_at.trunc_subsecs(3),
                request.fingerprint
            )
            .execute(&mut *connection)
            .await?;
            row = row::load(connection, request.task_id).await?.ok_or(sqlx::Error::RowNotFound)?;
        }
        Ok(Granted::Ended(Box::new(row.take_task(request.task_id)?)))
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
