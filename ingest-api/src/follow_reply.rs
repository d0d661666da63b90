//! Opens a reply for reading: every client protocol is a view of the one log.

use parlance_shared::{
    Caller,
    cursor::Cursor,
    log_view::Entry,
    port::{
        PortError,
        reply_log::{FollowError, ReplyReader},
    },
    task::Task,
};

use crate::{
    find_task::{find_task, follow_problem, unknown_cursor},
    limits::Slot,
    problem::Problem,
    state::ApiState,
    stored_reply::StoredReply,
};

/// A reader of the task's log behind `seen`, or of the stored reply once the log is gone. `place` is where the client said
/// what it has seen.
///
/// # Errors
/// As a problem of the call: a cursor that no event had, a task that is gone, a log that does not answer.
pub(crate) async fn follow_reply(
    state: &ApiState,
    caller: &Caller,
    task: Task,
    seen: Option<Cursor>,
    place: &'static str,
) -> Result<Box<dyn ReplyReader>, Problem> {
    // Held for as long as the reader is.
    let slot = state.door.limits.stream(&caller.user)?;
    let opening = state.log.follow(&caller.user, task.id, seen);
    let opened = match tokio::time::timeout(state.limits.read_timeout, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(PortError::Unavailable { what: "reply log", cause: "it took too long to open".into() }.into()),
    };
    match opened {
        Ok(reader) => Ok(counted(reader, slot)),
        Err(FollowError::Expired) => {
            // The task may have ended after it was looked up.
            let task = if task.status.is_terminal() { task } else { find_task(state, caller, task.id).await? };
            let stored = StoredReply::open(task, seen).map_err(|_| unknown_cursor(place))?;
            Ok(counted(Box::new(stored), slot))
        }
        Err(error) => Err(follow_problem(error, place)),
    }
}

fn counted(reader: Box<dyn ReplyReader>, slot: Option<Slot>) -> Box<dyn ReplyReader> {
    match slot {
        Some(slot) => Box::new(Counted { reader, _slot: slot }),
        None => reader,
    }
}

/// A reader that counts among its user's streams.
struct Counted {
    reader: Box<dyn ReplyReader>,
    _slot: Slot,
}

#[async_trait::async_trait]
impl ReplyReader for Counted {
    async fn next(&mut self) -> Result<Option<Entry>, FollowError> {
        self.reader.next().await
    }
}
