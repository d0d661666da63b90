//! What each event does to the record, in the transaction of its caller.
//!
//! The session's row comes first: it tells whose the event is and whether it is too late to keep anything. Of an erased user
//! nothing is kept at all.

use parlance_shared::{
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    task::Status,
};
use sqlx::SqliteConnection;

use super::{branches, messages, sessions, sessions::SessionState, summaries, tasks, tasks::Recorded, values::millis};
use crate::{bus::forget::forget_session, database::refused, users::is_erased};

pub(super) async fn message_submitted(connection: &mut SqliteConnection, event: &MessageSubmitted) -> sqlx::Result<()> {
    let at = event.accepted_at.timestamp_millis();
    if is_erased(connection, &event.user_id, event.session_id, at).await? {
        return Ok(());
    }
    let session = sessions::touch(connection, &event.user_id, event.session_id, at, at).await?;
    let message_id = match session {
        SessionState::Kept => messages::put_users(connection, event).await?,
        SessionState::Deleted => event.message_id,
    };
    let task = tasks::accept(connection, event, message_id, session).await?;
    // What was refused stands in for nothing.
    if session == SessionState::Kept && !task.was_refused {
        branches::put(connection, event).await?;
    }
    if task.status.is_terminal() && session == SessionState::Kept {
        messages::sort_reply_after(connection, event.task_id, task.accepted_at).await?;
    }
    Ok(())
}

pub(super) async fn session_changed(connection: &mut SqliteConnection, event: &SessionChanged) -> sqlx::Result<()> {
    let at = event.changed_at.timestamp_millis();
    if is_erased(connection, &event.user_id, event.session_id, at).await? {
        return Ok(());
    }
    sessions::change(connection, event).await
}

pub(crate) async fn session_deleted(connection: &mut SqliteConnection, event: &SessionDeleted) -> sqlx::Result<()> {
    let at = event.deleted_at.timestamp_millis();
    if is_erased(connection, &event.user_id, event.session_id, at).await? {
        return Ok(());
    }
    forget_session(connection, &event.session_id.to_string()).await?;
    sessions::erase(connection, event).await?;
    messages::erase(connection, event.session_id).await?;
    summaries::erase(connection, event.session_id).await?;
    branches::erase(connection, event.session_id).await?;
    tasks::erase(connection, event.session_id).await
}

pub(super) async fn reply_completed(connection: &mut SqliteConnection, event: &ReplyCompleted) -> sqlx::Result<()> {
    let task = &event.task;
    if !task.status.is_terminal() {
        return Err(refused(format!("task {} has not ended but is {}", task.id, task.status.as_str())));
    }
    if task.session_id.is_some_and(|session| session != event.session_id) {
        return Err(refused(format!("task {} and its event name different sessions", task.id)));
    }
    let accepted_at = millis(task.timings.accepted_at);
    let Some(ended_at) = millis(task.timings.finished_at).or(accepted_at) else {
        return Err(refused(format!("task {} does not say when it ended", task.id)));
    };
    let began_at = accepted_at.unwrap_or(ended_at);
    if is_erased(connection, &event.user_id, event.session_id, began_at).await? {
        return Ok(());
    }
    let session = sessions::touch(connection, &event.user_id, event.session_id, began_at, ended_at).await?;
    let Some(Recorded { reply_message_id, accepted_at, was_refused, .. }) =
        tasks::end(connection, event, session).await?
    else {
        return Ok(());
    };
    if session == SessionState::Deleted {
        return Ok(());
    }
    if was_refused {
        branches::remove(connection, task.id).await?;
    }
    // A completed reply is a message even when the model said nothing; a failed or cancelled one only if it said something.
    if task.status != Status::Completed && task.reply.content.is_empty() {
        return messages::remove_reply(connection, task.id).await;
    }
    let Some(reply_message_id) = reply_message_id else {
        return Err(refused(format!("the reply of task {} has no id", task.id)));
    };
    messages::put_reply(connection, event, reply_message_id, ended_at, accepted_at).await
}
