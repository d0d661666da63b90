//! The conformance suite of turns and reply log on Postgres, as the services' role: once with one process that does all,
//! once with a worker and a reader in two.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parlance_conformance::turns::{self, TurnsHarness};
use parlance_postgres::Role;
use parlance_shared::{
    UserId,
    cursor::Cursor,
    port::{
        reply_log::{AppendError, FollowError, ReplyLog, ReplyReader, ReplyWriter},
        turns::{Claim, Turns},
    },
};
use support::{TestDatabase, process::Process, server};

struct World {
    database: TestDatabase,
    worker: Process,
    /// Whoever reads, if that is another process.
    reader: Option<Process>,
}

impl World {
    async fn new(is_split: bool) -> Option<Self> {
        Some(Self::on(TestDatabase::migrated(&server()?).await, is_split))
    }

    fn on(database: TestDatabase, is_split: bool) -> Self {
        let role = if is_split { Role::Worker } else { Role::Both };
        let worker = Process::start(&database, role);
        let reader = is_split.then(|| Process::start(&database, Role::Reader));
        Self { database, worker, reader }
    }
}

/// Writes in one process, reads in another.
struct SplitLog {
    writes: Arc<dyn ReplyLog>,
    reads: Arc<dyn ReplyLog>,
}

#[async_trait]
impl ReplyLog for SplitLog {
    async fn writer(&self, claim: &Claim) -> Result<Box<dyn ReplyWriter>, AppendError> {
        self.writes.writer(claim).await
    }

    async fn follow(
        &self,
        user: &UserId,
        task: parlance_shared::TaskId,
        after: Option<Cursor>,
    ) -> Result<Box<dyn ReplyReader>, FollowError> {
        self.reads.follow(user, task, after).await
    }
}

#[async_trait(?Send)]
impl TurnsHarness for World {
    fn turns(&self) -> Arc<dyn Turns> {
        self.worker.turns.clone()
    }

    fn log(&self) -> Arc<dyn ReplyLog> {
        match &self.reader {
            None => self.worker.turns.clone(),
            Some(reader) => Arc::new(SplitLog { writes: self.worker.turns.clone(), reads: reader.turns.clone() }),
        }
    }

    /// Nothing is flushed or released, as after a kill.
    async fn restart(self) -> Self {
        let Self { database, worker, reader } = self;
        worker.kill().await;
        let is_split = reader.is_some();
        if let Some(reader) = reader {
            reader.kill().await;
        }
        Self::on(database, is_split)
    }

    async fn advance(&self, by: Duration) {
        self.database.let_pass(by).await;
    }
}

macro_rules! suite {
    ($is_split:literal: $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(world) = crate::World::new($is_split).await else { return };
                crate::turns::$name(world).await;
            }
        )*
    };
}

mod one_process {
    suite! { false:
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
        a_failed_task_is_reopened_once_by_each_replay
        an_earlier_replay_reopens_nothing_again
        a_completed_or_cancelled_task_stays_ended
        a_reopened_task_resets_its_readers
        a_reopened_task_counts_by_its_last_end
        what_ended_counts_once_against_its_owner
        a_reader_sees_a_task_from_queued_to_done
        calls_of_tools_resume_exactly
        every_cursor_resumes_exactly
        a_new_attempt_resets_readers
        a_reader_ahead_of_a_crash_is_reset
        a_waiting_reader_sees_the_cancel
        made_up_cursors_are_refused
        slow_readers_hold_up_nobody
        random_readers_end_with_the_stored_text
    }
}

mod worker_and_reader_apart {
    // Not those that ask, right after an append, what another process can only know a moment later.
    suite! { true:
        a_lost_lease_is_fenced
        tenants_are_apart
        a_deletion_ends_the_streams_that_are_open
        a_deletion_ends_the_stream_of_a_task_that_waits
        a_reopened_task_resets_its_readers
        a_reader_sees_a_task_from_queued_to_done
        calls_of_tools_resume_exactly
        every_cursor_resumes_exactly
        a_new_attempt_resets_readers
        a_reader_ahead_of_a_crash_is_reset
        a_waiting_reader_sees_the_cancel
        slow_readers_hold_up_nobody
        random_readers_end_with_the_stored_text
    }
}
