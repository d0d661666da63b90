//! A task as its owner sees it: the row, and the text so far from memory or from what was stored.

use std::sync::Arc;

use parlance_shared::{
    TaskId, UserId,
    port::{PortError, turns::TurnView},
};

use super::{
    SqliteTurns,
    live::{LiveTask, Stored},
    row::{self, TurnRow},
};
use crate::database::port_error;

pub(super) async fn task(turns: &SqliteTurns, user: &UserId, id: TaskId) -> Result<Option<TurnView>, PortError> {
    let mut connection = turns.database.read().await?;
    let Some(row) = row::load(&mut *connection, id).await.map_err(port_error)?.filter(|row| row.is_of(user)) else {
        return Ok(None);
    };
    let mut task = row.task(id).map_err(port_error)?;
    if !row.has_ended() {
        match turns.hub.find(id).and_then(|live| live.snapshot(row.attempt())) {
            // It ended while the row was being read.
            Some((_, Some(end))) => task = Arc::unwrap_or_clone(end),
            Some((text, None)) => task.set_log_text(&text),
            None => {
                let text = row::stored_text(&mut *connection, id, row.attempt).await.map_err(port_error)?;
                task.set_log_text(&text);
            }
        }
    }
    Ok(Some(TurnView {
        task,
        fingerprint: row.fingerprint,
        reply_expired: row.reply_expired == 1,
        session_deleted: row.session_deleted == 1,
    }))
}

/// Makes sure that the task in memory is at least as new as the database.
pub(super) async fn load_live(turns: &SqliteTurns, live: &LiveTask) -> Result<(), PortError> {
    if live.is_known() {
        return Ok(());
    }
    let _one_at_a_time = live.loading.lock().await;
    if live.is_known() {
        return Ok(());
    }
    let mut connection = turns.database.read().await?;
    let stored = match row::load(&mut *connection, live.id).await.map_err(port_error)? {
        None => None,
        Some(row) => {
            let text = match &row.reply {
                Some(reply) => reply.clone(),
                None => row::stored_text(&mut *connection, live.id, row.attempt).await.map_err(port_error)?,
            };
            Some(stored(live.id, row, text).map_err(port_error)?)
        }
    };
    live.load(stored);
    Ok(())
}

fn stored(id: TaskId, row: TurnRow, text: String) -> sqlx::Result<Stored> {
    let end = if row.has_ended() { Some(row.task(id)?) } else { None };
    // The end's text stands in its row as it was said, and its calls of tools apart from it.
    let text = end.as_ref().map_or(text, |task| task.log_text().into_owned());
    Ok(Stored {
        end,
        attempt: row.attempt(),
        expired: row.reply_expired == 1,
        erased: row.session_deleted == 1,
        user: UserId::new(row.user_id),
        reset_reason: row.reset_reason,
        text,
    })
}
