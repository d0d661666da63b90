//! A task as its owner sees it: the row, and the text so far from whoever in this process knows it, or as it is stored.

use parlance_shared::{
    TaskId, UserId,
    port::{PortError, turns::TurnView},
};

use sqlx::PgConnection;

use super::{PostgresTurns, row};
use crate::log::assemble;

pub(super) async fn task(turns: &PostgresTurns, user: &UserId, id: TaskId) -> Result<Option<TurnView>, PortError> {
    turns.database.run(&(turns, user), |connection, (turns, user)| Box::pin(find(connection, turns, user, id))).await
}

async fn find(
    connection: &mut PgConnection,
    turns: &PostgresTurns,
    user: &UserId,
    id: TaskId,
) -> sqlx::Result<Option<TurnView>> {
    let row = row::load(connection, id).await?.filter(|row| row.is_of(user));
    let Some(mut row) = row else { return Ok(None) };
    let mut task = row.take_task(id)?;
    if !row.has_ended() && row.attempt > 0 {
        let text = match turns.text_here(id, row.attempt()) {
            Some(text) => text,
            None => {
                let mut stored = row::stored_texts(connection, std::iter::once(&row)).await?;
                assemble(stored.remove(&row.task_id).unwrap_or_default())
            }
        };
        task.set_log_text(&text);
    }
    Ok(Some(TurnView {
        task,
        fingerprint: row.fingerprint,
        reply_expired: row.reply_expired,
        session_deleted: row.session_deleted,
    }))
}
