//! The conformance suite of turns and reply log on SQLite, and what is SQLite's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parlance_conformance::turns::{self, TurnsHarness};
use parlance_shared::{
    Clock, Lifecycle,
    port::{reply_log::ReplyLog, turns::Turns},
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteTurns};
use tempfile::TempDir;

struct Embedded {
    folder: TempDir,
    clock: Clock,
    lifecycle: Lifecycle,
    database: Database,
    turns: Arc<SqliteTurns>,
}

impl Embedded {
    async fn new() -> Self {
        let start = chrono::DateTime::from_timestamp_millis(1_700_000_001_000).unwrap();
        Self::open(TempDir::new().unwrap(), Clock::manual(start)).await
    }

    async fn open(folder: TempDir, clock: Clock) -> Self {
        let options = DatabaseOptions { clock: clock.clone(), ..DatabaseOptions::new(folder.path()) };
        let database = Database::open(options).await.unwrap();
        let lifecycle = Lifecycle::new();
        let turns = Arc::new(SqliteTurns::start(database.clone(), &lifecycle));
        Self { folder, clock, lifecycle, database, turns }
    }
}

#[async_trait(?Send)]
impl TurnsHarness for Embedded {
    fn turns(&self) -> Arc<dyn Turns> {
        self.turns.clone()
    }

    fn log(&self) -> Arc<dyn ReplyLog> {
        self.turns.clone()
    }

    /// Nothing is flushed or released, as after a kill; the lock goes with the old process, so here with its handle.
    async fn restart(self) -> Self {
        let Self { folder, clock, lifecycle, database, turns } = self;
        assert!(lifecycle.stop(Duration::ZERO, Duration::from_secs(5)).await);
        drop(turns);
        database.close().await;
        drop(database);
        Self::open(folder, clock).await
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

macro_rules! suite {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                turns::$name(Embedded::new().await).await;
            }
        )*
    };
}

suite! {
    one_claim_at_a_time
    racing_claims_have_one_winner
    a_turn_waits_for_the_one_before
    a_lost_lease_is_fenced
    a_heartbeat_keeps_the_claim
    a_released_claim_is_free_at_once
    a_crash_frees_claims_and_keeps_what_ended
    the_next_attempt_fences_the_one_before
    an_end_is_final
    a_cancel_before_the_work_ends_it
    a_cancel_reaches_the_worker_and_outlives_it
    an_interrupt_reaches_the_turn_that_runs
    an_interrupt_reaches_turns_that_wait
    an_interrupt_outlives_the_worker
    an_interrupt_counts_once
    an_interrupt_leaves_reopened_turns_alone
    an_interrupt_is_the_owners
    of_turns_accepted_at_once_the_first_claimed_stays
    a_later_turn_makes_none_too_many
    a_refused_turn_is_not_reopened
    earlier_text_is_handed_on
    checkpoints_are_compared_and_swapped
    tenants_are_apart
    a_deleted_session_stays_deleted
    a_deletion_ends_the_streams_that_are_open
    a_deletion_ends_the_stream_of_a_task_that_waits
    a_running_task_shows_its_text_so_far
    a_reader_sees_a_task_from_queued_to_done
    calls_of_tools_resume_exactly
    every_cursor_resumes_exactly
    a_new_attempt_resets_readers
    a_reader_ahead_of_a_crash_is_reset
    a_waiting_reader_sees_the_cancel
    made_up_cursors_are_refused
    slow_readers_hold_up_nobody
    random_readers_end_with_the_stored_text
    a_failed_task_is_reopened_once_by_each_replay
    an_earlier_replay_reopens_nothing_again
    a_completed_or_cancelled_task_stays_ended
    a_reopened_task_resets_its_readers
    a_reopened_task_counts_by_its_last_end
    what_ended_counts_once_against_its_owner
}
