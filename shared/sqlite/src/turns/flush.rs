//! Stores the text of running attempts about every second, all tasks in one commit, so that a crash or a cancel keeps
//! most of what was said. Fenced like everything a worker writes.

use std::{sync::Arc, time::Duration};

use sqlx::SqliteConnection;
use tracing::warn;

use parlance_shared::{Lifecycle, port::PortError};

use super::{SqliteTurns, live::LiveTask};

/// What a crash can cost of a cancelled reply's text.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the process stops and nothing is said any more; sleeps while nothing is said. What is said after that, by a
/// turn that was about to begin when the stop came, is stored by its end or when it is handed back.
pub(super) async fn run(turns: SqliteTurns, lifecycle: Lifecycle) {
    let (stopping, aborting) = (lifecycle.stopping(), lifecycle.aborting());
    let all_said = async {
        stopping.cancelled().await;
        turns.hub.idle().await;
    };
    tokio::pin!(all_said);
    loop {
        tokio::select! {
            () = aborting.cancelled() => return,
            () = &mut all_said => return,
            () = turns.hub.dirty.notified() => {}
        }
        tokio::select! {
            () = aborting.cancelled() => return,
            () = &mut all_said => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = flush(&turns, turns.hub.take_dirty()).await {
            // The text is still in memory: the end stores it whole, and the next piece of it brings it here again.
            warn!(%error, "could not store the text of running replies");
        }
    }
}

pub(super) async fn flush(turns: &SqliteTurns, tasks: Vec<Arc<LiveTask>>) -> Result<(), PortError> {
    let pieces: Vec<_> = tasks.into_iter().filter_map(|live| live.unstored().map(|piece| (live, piece))).collect();
    if pieces.is_empty() {
        return Ok(());
    }
    let job = async move |connection: &mut SqliteConnection| {
        for (live, piece) in &pieces {
            let (task, attempt) = (live.id.to_string(), i64::from(piece.attempt));
            let start = i64::try_from(piece.start).unwrap_or(i64::MAX);
            sqlx::query!(
                "INSERT INTO reply_log (task_id, attempt, start, text)
                 SELECT task_id, attempt, ?, ? FROM turns WHERE task_id = ? AND attempt = ? AND finished_at IS NULL
                 ON CONFLICT DO NOTHING",
                start,
                piece.text,
                task,
                attempt
            )
            .execute(&mut *connection)
            .await?;
        }
        Ok(pieces.iter().map(|(live, piece)| (live.clone(), piece.attempt, piece.start + piece.text.len())).collect())
    };
    turns
        .database
        .write_then(job, |stored: &Vec<(Arc<LiveTask>, u32, usize)>| {
            for (live, attempt, bytes) in stored {
                live.mark_stored(*attempt, *bytes);
            }
        })
        .await?;
    Ok(())
}
