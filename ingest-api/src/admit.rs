//! Whether a session takes a message now, and what becomes of what waits or runs in it.
//!
//! One look at the database, no longer than a glance. If that fails, a message that waits its turn is accepted all the same:
//! the bus keeps it. One that asks what runs before it can't be judged then.

use parlance_shared::{
    TaskId,
    event::Strategy,
    port::{PortError, store::Admission},
};
use tracing::warn;

use crate::problem::{Code, Problem};

/// Seconds after which a queue may have moved.
const QUEUE_MOVES: u32 = 5;

/// What a message wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// What it says itself about what runs.
    pub(crate) strategy: Option<Strategy>,
    /// It stands in for an earlier turn, which must not change meanwhile.
    pub(crate) replaces: bool,
}

/// How a message enters its session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// What becomes of what runs: waited for, or interrupted.
    pub(crate) strategy: Strategy,
    /// Turns before it that wait or run.
    pub(crate) waiting: Vec<TaskId>,
}

/// How many waiting turns a look should tell of.
pub(crate) fn look_limit(most: u32) -> u32 {
    most.saturating_mul(2)
}

/// Judges by what the look gave; `recent` are turns that this instance accepted a moment ago.
pub(crate) fn judge(
    look: Result<Admission, PortError>,
    recent: &[TaskId],
    wish: Wish,
    most: u32,
) -> Result<Admitted, Problem> {
    let (strategy, waiting) = match look {
        Ok(Admission { deleted: true, .. }) => return Err(Problem::session_not_found()),
        Ok(known) => (wish.strategy.or(known.strategy).unwrap_or_default(), known.waiting),
        Err(error) if wish.replaces || wish.strategy.unwrap_or_default() != Strategy::Enqueue => {
            return Err(error.into());
        }
        Err(error) => {
            warn!(%error, "accepting without a look at what waits in the session");
            (Strategy::Enqueue, recent.to_vec())
        }
    };
    let busy = !waiting.is_empty();
    if busy && (strategy == Strategy::Reject || wish.replaces && strategy != Strategy::Interrupt) {
        return Err(session_busy());
    }
    // What interrupts the others is the way out of a full queue; but it waits until they have ended, too.
    let most = if strategy == Strategy::Interrupt { look_limit(most) } else { most };
    if waiting.len() >= most as usize {
        return Err(too_many_queued(most));
    }
    Ok(Admitted { strategy, waiting })
}

fn session_busy() -> Problem {
    Problem::new(
        Code::SessionBusy,
        "A message of this session waits or is being answered. Wait for its end, or use the strategy interrupt.",
    )
}

fn too_many_queued(most: u32) -> Problem {
    Problem::new(Code::TooManyQueued, format!("At most {most} messages of a session may wait to be answered."))
        .retry_after(QUEUE_MOVES)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use parlance_shared::id::PrefixedId as _;
    use uuid::Uuid;

    use super::*;

    fn tasks(count: usize) -> Vec<TaskId> {
        (0..count).map(|_| TaskId::from_uuid(Uuid::now_v7())).collect()
    }

    fn status(judged: Result<Admitted, Problem>) -> u16 {
        judged.map_or_else(|problem| problem.into_response().status().as_u16(), |_| 202)
    }

    fn away() -> Result<Admission, PortError> {
        Err(PortError::Unavailable { what: "store", cause: "away".into() })
    }

    #[test]
    fn each_strategy_is_judged_by_what_waits() {
        use Strategy::{Enqueue, Interrupt, Reject};
        for (asked, default, replaces, waiting, expected) in [
            (None, None, false, 0, 202),
            (None, None, false, 2, 202),
            (None, None, false, 3, 429),
            (None, Some(Reject), false, 1, 409),
            (Some(Enqueue), Some(Reject), false, 1, 202),
            (Some(Reject), None, false, 0, 202),
            (Some(Reject), None, false, 1, 409),
            (Some(Interrupt), None, false, 5, 202),
            (Some(Interrupt), None, false, 6, 429),
            (None, None, true, 0, 202),
            (None, None, true, 1, 409),
            (None, Some(Interrupt), true, 1, 202),
        ] {
            let look = Admission { strategy: default, waiting: tasks(waiting), ..Admission::default() };
            let wish = Wish { strategy: asked, replaces };
            assert_eq!(status(judge(Ok(look), &[], wish, 3)), expected, "{wish:?} {default:?} {waiting}");
        }
        let wish = Wish { strategy: None, replaces: false };
        assert_eq!(status(judge(Ok(Admission { deleted: true, ..Admission::default() }), &[], wish, 3)), 404);
    }

    #[test]
    fn without_a_look_only_what_waits_its_turn_is_accepted() {
        for (strategy, replaces, recent, expected) in [
            (None, false, 2, 202),
            (Some(Strategy::Enqueue), false, 2, 202),
            (None, false, 3, 429),
            (Some(Strategy::Reject), false, 0, 503),
            (Some(Strategy::Interrupt), false, 0, 503),
            (None, true, 0, 503),
        ] {
            let judged = judge(away(), &tasks(recent), Wish { strategy, replaces }, 3);
            assert_eq!(status(judged), expected, "{strategy:?} {replaces} {recent}");
        }
    }
}
