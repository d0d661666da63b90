//! One step of an erasure: some sessions with all that belongs to them, in one transaction.
//!
//! A turn that a worker of this process has is told to stop and keeps its row's owner until it has ended; a later step, which
//! finds it by that, erases what the end has written.

use parlance_shared::{TaskId, port::users::EraseStep};
use sqlx::SqliteConnection;

use super::marks;
use crate::bus::forget::forget_session;

/// Sessions of one transaction: bounds how long other writes wait.
const BATCH: i64 = 4;

pub(super) struct Erasing<'a> {
    pub(super) user: &'a str,
    pub(super) key: &'a str,
    /// Leases of another one are void.
    pub(super) epoch: &'a str,
    pub(super) now: i64,
}

#[derive(Default)]
pub(super) struct Stepped {
    pub(super) report: EraseStep,
    /// Turns that a worker has.
    pub(super) to_stop: Vec<TaskId>,
    /// Turns that nobody had, ended here, with their attempts.
    pub(super) ended: Vec<(TaskId, u32)>,
}

impl Erasing<'_> {
    pub(super) async fn step(&self, connection: &mut SqliteConnection) -> sqlx::Result<Stepped> {
        let mut stepped = Stepped::default();
        // First: what arrives from now on finds it.
        marks::mark(connection, self.key, self.now).await?;
        let sessions = self.sessions(connection).await?;
        for session in &sessions {
            self.erase_session(connection, session, &mut stepped).await?;
        }
        if !sessions.is_empty() {
            return Ok(stepped);
        }
        // Turns of which only the owner's wish to cancel is known.
        self.reduce_turns(connection, None, &mut stepped).await?;
        let running =
            sqlx::query_scalar!("SELECT count(*) FROM turns WHERE user_id = ?", self.user).fetch_one(&mut *connection);
        stepped.report.running = u64::try_from(running.await?).unwrap_or_default();
        if stepped.report.running == 0 {
            sqlx::query!("DELETE FROM hidden_responses WHERE user_id = ?", self.user).execute(&mut *connection).await?;
            sqlx::query!("DELETE FROM hidden_responses WHERE user_id = ?", self.user).execute(&mut *connection).await?;
            sqlx::query!("DELETE FROM api_keys WHERE user_id = ?", self.user).execute(&mut *connection).await?;
            sqlx::query!("DELETE FROM users WHERE id = ?", self.user).execute(connection).await?;
            stepped.report.done = true;
        }
        Ok(stepped)
    }

    /// Those that still bear the user's name, but for the turns that are waited for.
    async fn sessions(&self, connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar!(
            r#"SELECT id AS "id!: String" FROM (
                   SELECT id FROM sessions WHERE user_id = ?1
                   UNION SELECT session_id FROM checkpoints WHERE user_id = ?1
                   UNION SELECT session_id FROM turns AS t
                   WHERE user_id = ?1 AND session_id IS NOT NULL AND (
                       NOT (finished_at IS NULL AND worker IS NOT NULL AND epoch = ?2 AND leased_until > ?3)
                       OR NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.id = t.session_id AND s.user_id = ''))
               ) ORDER BY 1 LIMIT ?4"#,
            self.user,
            self.epoch,
            self.now,
            BATCH
        )
        .fetch_all(connection)
        .await
    }

    pub(super) async fn erase_session(
        &self,
        connection: &mut SqliteConnection,
        session: &str,
        stepped: &mut Stepped,
    ) -> sqlx::Result<()> {
        forget_session(connection, session).await?;
        sqlx::query!(
            "INSERT INTO checkpoints (session_id, user_id, version, checkpoint, deleted, saved_at) VALUES (?1, '', 1, '{}', 1, ?3)
             ON CONFLICT (session_id) DO UPDATE
             SET user_id = '', version = version + 1, checkpoint = '{}', deleted = 1, saved_at = ?3,
                 interrupted_before = NULL, interrupted_by = NULL
             WHERE user_id = ?2",
            session,
            self.user,
            self.now
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "DELETE FROM reply_log WHERE task_id IN (SELECT task_id FROM turns WHERE session_id = ? AND user_id = ?)",
            session,
            self.user
        )
        .execute(&mut *connection)
        .await?;
        self.reduce_turns(connection, Some(session), stepped).await?;
        let buried = sqlx::query!(
            "INSERT INTO sessions (id, user_id, created_at, updated_at, deleted_at) VALUES (?1, '', ?3, ?3, ?3)
             ON CONFLICT (id) DO UPDATE
             SET user_id = '', created_at = ?3, updated_at = ?3, deleted_at = ?3, heading = NULL, heading_rev = NULL,
                 instructions = NULL, instructions_rev = NULL, metadata = NULL, metadata_rev = NULL,
                 strategy = NULL, strategy_rev = NULL
             WHERE user_id = ?2",
            session,
            self.user,
            self.now
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!("DELETE FROM summaries WHERE session_id = ? AND user_id = ?", session, self.user)
            .execute(&mut *connection)
            .await?;
        sqlx::query!("DELETE FROM branches WHERE session_id = ? AND user_id = ?", session, self.user)
            .execute(&mut *connection)
            .await?;
        let messages = sqlx::query!("DELETE FROM messages WHERE session_id = ? AND user_id = ?", session, self.user)
            .execute(&mut *connection)
            .await?;
        sqlx::query!("DELETE FROM tasks WHERE session_id = ? AND user_id = ?", session, self.user)
            .execute(connection)
            .await?;
        // Not those that are met again because a turn of theirs has ended.
        stepped.report.sessions += buried.rows_affected();
        stepped.report.messages += messages.rows_affected();
        Ok(())
    }

    /// Only ids stay, and that they have ended: what is delivered again is not begun again.
    async fn reduce_turns(
        &self,
        connection: &mut SqliteConnection,
        session: Option<&str>,
        stepped: &mut Stepped,
    ) -> sqlx::Result<()> {
        let held = sqlx::query_scalar!(
            "UPDATE turns
             SET session_deleted = 1, cancel_requested_at = coalesce(cancel_requested_at, ?4), details = NULL
             WHERE user_id = ?1 AND session_id IS ?2 AND finished_at IS NULL AND worker IS NOT NULL AND epoch = ?3
                 AND leased_until > ?4
             RETURNING task_id",
            self.user,
            session,
            self.epoch,
            self.now
        )
        .fetch_all(&mut *connection)
        .await?;
        stepped.to_stop.extend(held.iter().filter_map(|id| id.parse::<TaskId>().ok()));
        let open = sqlx::query!(
            "SELECT task_id, attempt FROM turns
             WHERE user_id = ?1 AND session_id IS ?2 AND finished_at IS NULL
                 AND NOT (worker IS NOT NULL AND epoch = ?3 AND leased_until > ?4)",
            self.user,
            session,
            self.epoch,
            self.now
        )
        .fetch_all(&mut *connection)
        .await?;
        for turn in open {
            let attempt = u32::try_from(turn.attempt).unwrap_or(u32::MAX);
            stepped.ended.extend(turn.task_id.parse().ok().map(|task| (task, attempt)));
        }
        sqlx::query!(
            "UPDATE turns
             SET user_id = '', session_deleted = 1, status = iif(finished_at IS NULL, 'cancelled', status),
                 finished_at = coalesce(finished_at, ?4), reply = '', reply_expired = 0, reset_reason = '', worker = NULL,
                 epoch = NULL, leased_until = NULL, cancel_requested_at = NULL, fingerprint = NULL, provider = NULL,
                 model = NULL, input_tokens = NULL, output_tokens = NULL, cached_tokens = NULL, cost_micro_usd = NULL,
                 accepted_at = NULL, started_at = NULL, first_token_at = NULL, error_code = NULL, error_message = NULL,
                 error_retryable = NULL, reopened_by = NULL, details = NULL
             WHERE user_id = ?1 AND session_id IS ?2
                 AND NOT (finished_at IS NULL AND worker IS NOT NULL AND epoch = ?3 AND leased_until > ?4)",
            self.user,
            session,
            self.epoch,
            self.now
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
