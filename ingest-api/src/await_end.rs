//! Waits for a task's end by following its log: no polling, and no wait once the process stops.

use std::time::{Duration, Instant};

use parlance_shared::{
    Caller,
    cursor::{Cursor, Place},
    log_view::LogEvent,
    port::reply_log::FollowError,
    task::Task,
};

use crate::{find_task::find_task, problem::Problem, state::ApiState};

/// Between two tries to follow a log that is in trouble.
const TROUBLE: Duration = Duration::from_millis(500);

/// The task at its end; or as it stands when the process stops, or when a call may not take longer. For protocols whose clients
/// ask once and wait.
pub(crate) async fn await_whole(state: &ApiState, caller: &Caller, mut task: Task) -> Result<Task, Problem> {
    let deadline = Instant::now() + state.limits.completion_patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        task = await_end(state, caller, task, left).await?;
        if task.status.is_terminal() || left.is_zero() || state.lifecycle.stopping().is_cancelled() {
            return Ok(task);
        }
        // Only a log in trouble ends the wait before.
        tokio::time::sleep(TROUBLE.min(left)).await;
    }
}

/// The task at its end, or as it stands after `patience`.
pub(crate) async fn await_end(
    state: &ApiState,
    caller: &Caller,
    task: Task,
    patience: Duration,
) -> Result<Task, Problem> {
    if task.status.is_terminal() || patience.is_zero() {
        return Ok(task);
    }
    let ended = tokio::select! {
        ended = tokio::time::timeout(patience, follow_to_end(state, caller, &task)) => ended,
        () = state.lifecycle.stopping().cancelled() => Ok(Ok(None)),
    };
    match ended {
        Ok(Ok(Some(ended))) => Ok(*ended),
        // Time is up, or the log is gone or in trouble: whoever knows the task says how it stands, or what the trouble is.
        Ok(Ok(None) | Err(_)) | Err(_) => find_task(state, caller, task.id).await,
    }
}

async fn follow_to_end(state: &ApiState, caller: &Caller, task: &Task) -> Result<Option<Box<Task>>, FollowError> {
    // Text that is known already need not be read again.
    let seen = Cursor { attempt: task.attempt, place: Place::Text(task.log_text().len() as u64) };
    let mut reader = match state.log.follow(&caller.user, task.id, Some(seen)).await {
        Err(FollowError::UnknownCursor(_)) => state.log.follow(&caller.user, task.id, None).await?,
        opened => opened?,
    };
    while let Some(entry) = reader.next().await? {
        if let LogEvent::End(task) = entry.event {
            return Ok(Some(task));
        }
    }
    Ok(None)
}
