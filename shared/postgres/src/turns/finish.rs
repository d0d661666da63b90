//! The end of a task: closes its log, stores the reply and saves the checkpoint in one transaction, for the valid claim
//! only.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use parlance_shared::{
    port::turns::{Claim, ClaimError, TurnEnd, VersionedCheckpoint},
    task::Task,
};
use sqlx::{Connection as _, PgConnection};
use tracing::debug;

use super::{
    PostgresTurns, Worker,
    checkpoint::{self, Saved},
    notice::send,
    row,
};
use crate::{
    log::{Fact, Notice},
    text::to_sql,
};

/// How long the end waits to be told with the next flush.
const TELL: Duration = Duration::from_secs(1);

enum Finished {
    Task(Box<Task>),
    Fenced,
    StaleCheckpoint,
}

pub(super) async fn finish(
    turns: &PostgresTurns,
    worker: &Worker,
    claim: &Claim,
    end: TurnEnd,
    save: Option<VersionedCheckpoint>,
) -> Result<Task, ClaimError> {
    let _moving = worker.held.moving(claim);
    let ending = Ending { claim, end: &end, save: save.as_ref(), tries: AtomicU32::new(0) };
    let finished = turns.database.run(&ending, |connection, ending| Box::pin(ending.try_once(connection))).await?;
    let task = match finished {
        Finished::Task(task) => task,
        Finished::Fenced => return Err(ClaimError::Fenced),
        Finished::StaleCheckpoint => return Err(ClaimError::StaleCheckpoint),
    };
    let streamed = worker.held.find_for(claim).is_some_and(|held| held.stream.text_is(&task.log_text()));
    let fact = match streamed {
        true => Fact::Ended(task.clone()),
        false => Fact::EndStored { task: task.id, attempt: task.attempt },
    };
    // In order after the text. Should that take long, readers are sent to the database; should the process die before
    // either, the next delivery of the message tells it.
    let told = worker.outbox.tell(fact);
    if !worker.outbox.told(told, TELL).await {
        let notice = [Notice::Changed(task.id)];
        if let Err(error) = turns.database.run(&notice, |connection, notice| Box::pin(send(connection, notice))).await {
            debug!(%error, task_id = %task.id, "the end could not be told yet");
        }
    }
    worker.held.let_go(claim);
    Ok(*task)
}

struct Ending<'a> {
    claim: &'a Claim,
    end: &'a TurnEnd,
    save: Option<&'a VersionedCheckpoint>,
    tries: AtomicU32,
}

impl Ending<'_> {
    async fn try_once(&self, connection: &mut PgConnection) -> sqlx::Result<Finished> {
        let Self { claim, end, save, .. } = *self;
        let is_repeated = self.tries.fetch_add(1, Ordering::Relaxed) > 0;
        let mut transaction = connection.begin().await?;
        if !write_end(&mut transaction, claim, end).await? {
            return match row::load(&mut transaction, claim.task_id).await? {
                // An attempt has one holder: if its answer was lost, this is the end that it stored.
                Some(mut row) if is_repeated && row.has_ended() && row.attempt() == claim.attempt => {
                    Ok(Finished::Task(Box::new(row.take_task(claim.task_id)?)))
                }
                _ => Ok(Finished::Fenced),
            };
        }
        if let Some(save) = save {
            match checkpoint::save_in(&mut transaction, &claim.user_id, claim.session_id, save).await? {
                Saved::Yes | Saved::SessionDeleted => {}
                Saved::Stale => return Ok(Finished::StaleCheckpoint),
            }
        }
        let mut row = row::load(&mut transaction, claim.task_id).await?.ok_or(sqlx::Error::RowNotFound)?;
        let task = row.take_task(claim.task_id)?;
        transaction.commit().await?;
        Ok(Finished::Task(Box::new(task)))
    }
}

/// What a deleted session's last turn said is not kept.
async fn write_end(connection: &mut PgConnection, claim: &Claim, end: &TurnEnd) -> sqlx::Result<bool> {
    let text = |text: &Option<String>| text.as_deref().map(|text| to_sql(text).into_owned());
    let error = end.error.as_ref();
    let written = sqlx::query!(
        "UPDATE turns
         SET status = $4, reply = CASE WHEN turns.session_deleted OR gone.gone THEN '' ELSE $5 END,
             session_deleted = turns.session_deleted OR gone.gone, provider = $6, model = $7, input_tokens = $8,
             output_tokens = $9, cached_tokens = $10, first_token_at = $11, finished_at = clock_timestamp(),
             error_code = $12, error_message = CASE WHEN turns.session_deleted OR gone.gone THEN '' ELSE $13 END,
             error_retryable = $14,
             fingerprint = CASE WHEN turns.session_deleted OR gone.gone THEN NULL ELSE turns.fingerprint END,
             details = CASE WHEN turns.session_deleted OR gone.gone THEN NULL ELSE $16 END, cost_micro_usd = $17,
             worker = NULL, leased_until = NULL
         FROM (SELECT EXISTS (SELECT FROM checkpoints WHERE session_id = $15 AND deleted) AS gone) AS gone
         WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND finished_at IS NULL",
        claim.task_id.to_string(),
        i64::from(claim.attempt),
        claim.worker.0,
        end.status.as_str(),
        &to_sql(&end.content),
        text(&end.provider),
        text(&end.model),
        signed(end.usage.input_tokens),
        signed(end.usage.output_tokens),
        signed(end.usage.cached_tokens),
        end.first_token_at,
        error.map(|error| to_sql(&error.code).into_owned()),
        error.map(|error| to_sql(&error.message).into_owned()),
        error.map(|error| error.retryable),
        claim.session_id.to_string(),
        end.details.to_column(),
        signed(end.details.cost_micro_usd)
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

fn signed(tokens: Option<u64>) -> Option<i64> {
    tokens.and_then(|tokens| i64::try_from(tokens).ok())
}
