//! What this instance has just accepted, by session: neither the record nor a worker need have heard of it yet.
//!
//! Two messages that one client sends right after the other are judged rightly, and those of a session are accepted a
//! millisecond apart, the precision that is stored, so that "before" and "after" mean something everywhere. Bounded: what is
//! forgotten is only judged by what the database knows.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use parlance_shared::{SessionId, TaskId};

/// Sessions kept in mind at most.
const SESSIONS: usize = 20_000;
/// Long after that the record knows of what was accepted, or is not being written at all.
const KEPT: Duration = Duration::from_secs(600);

/// The turns that this instance has accepted lately.
#[derive(Debug, Default)]
pub struct RecentTurns {
    sessions: Mutex<HashMap<SessionId, Recent>>,
}

#[derive(Debug)]
struct Recent {
    touched: Instant,
    latest: DateTime<Utc>,
    /// In the order in which they were accepted.
    turns: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    task: TaskId,
    fingerprint: Option<String>,
    durable: bool,
}

/// What is known of a turn's place when its message comes.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// It is new here.
    New(Reservation<'a>),
    /// The same task is being accepted at this moment.
    Pending,
    /// The same task was accepted.
    Accepted {
        /// Hash of its request.
        fingerprint: Option<String>,
    },
}

/// A place in a session, given up unless it is kept.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    recent: &'a RecentTurns,
    session: SessionId,
    task: TaskId,
    /// Turns that have their places before this one.
    pub(crate) earlier: Vec<TaskId>,
    /// When the message is accepted.
    pub(crate) accepted_at: DateTime<Utc>,
}

impl RecentTurns {
    /// Takes the next place in the session, at `now` or right after the one before.
    pub(crate) fn reserve(
        &self,
        session: SessionId,
        task: TaskId,
        fingerprint: Option<&str>,
        now: DateTime<Utc>,
    ) -> Place<'_> {
        let mut sessions = self.lock();
        make_room(&mut sessions);
        let recent = sessions.entry(session).or_insert_with(|| Recent {
            touched: Instant::now(),
            latest: DateTime::UNIX_EPOCH,
            turns: Vec::new(),
        });
        if let Some(turn) = recent.turns.iter().find(|turn| turn.task == task) {
            return if turn.durable {
                Place::Accepted { fingerprint: turn.fingerprint.clone() }
            } else {
                Place::Pending
            };
        }
        recent.touched = Instant::now();
        let accepted_at = now.max(after(recent.latest));
        recent.latest = accepted_at;
        let earlier = recent.turns.iter().map(|turn| turn.task).collect();
        recent.turns.push(Turn { task, fingerprint: fingerprint.map(str::to_owned), durable: false });
        Place::New(Reservation { recent: self, session, task, earlier, accepted_at })
    }

    /// The session's turns, in the order in which they were accepted.
    pub(crate) fn tasks(&self, session: SessionId) -> Vec<TaskId> {
        let sessions = self.lock();
        sessions.get(&session).into_iter().flat_map(|recent| &recent.turns).map(|turn| turn.task).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Recent>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// The turn whose place it is.
    pub(crate) fn task(&self) -> TaskId {
        self.task
    }

    /// Moves the place behind what others have accepted in the session.
    pub(crate) fn follow(&mut self, latest: DateTime<Utc>) {
        self.move_to(self.accepted_at.max(after(latest)));
    }

    /// Moves the place to the next whole millisecond: what was accepted earlier is earlier by the stored precision, too.
    pub(crate) fn round_up(&mut self) {
        if self.accepted_at != self.accepted_at.trunc_subsecs(3) {
            self.move_to(after(self.accepted_at));
        }
    }

    /// Moves the place.
    pub(crate) fn move_to(&mut self, accepted_at: DateTime<Utc>) {
        self.accepted_at = accepted_at;
        if let Some(recent) = self.recent.lock().get_mut(&self.session) {
            recent.latest = recent.latest.max(accepted_at);
        }
    }

    /// Forgets those before it that no longer wait.
    pub(crate) fn forget_ended(&self, waiting: &[TaskId]) {
        if let Some(recent) = self.recent.lock().get_mut(&self.session) {
            recent.turns.retain(|turn| !self.earlier.contains(&turn.task) || waiting.contains(&turn.task));
        }
    }

    /// The message is durable.
    pub(crate) fn keep(self) {
        if let Some(recent) = self.recent.lock().get_mut(&self.session) {
            recent.turns.iter_mut().filter(|turn| turn.task == self.task).for_each(|turn| turn.durable = true);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(recent) = self.recent.lock().get_mut(&self.session) {
            recent.turns.retain(|turn| turn.task != self.task || turn.durable);
        }
    }
}

/// The first moment of the next millisecond.
fn after(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3) + TimeDelta::milliseconds(1)
}

/// Once in many calls: those long untouched go, or the older half.
fn make_room(sessions: &mut HashMap<SessionId, Recent>) {
    if sessions.len() < SESSIONS {
        return;
    }
    sessions.retain(|_, recent| recent.touched.elapsed() < KEPT);
    if sessions.len() >= SESSIONS / 2 {
        let mut touched: Vec<Instant> = sessions.values().map(|recent| recent.touched).collect();
        let middle = touched.len() / 2;
        let (_, median, _) = touched.select_nth_unstable(middle);
        let median = *median;
        sessions.retain(|_, recent| recent.touched > median);
    }
}

#[cfg(test)]
mod tests {
    use parlance_shared::id::PrefixedId as _;
    use uuid::Uuid;

    use super::*;

    fn session() -> SessionId {
        SessionId::from_uuid(Uuid::now_v7())
    }

    fn task() -> TaskId {
        TaskId::from_uuid(Uuid::now_v7())
    }

    fn reserve<'a>(recent: &'a RecentTurns, session: SessionId, task: TaskId) -> Reservation<'a> {
        match recent.reserve(session, task, Some("f"), DateTime::UNIX_EPOCH + Duration::from_micros(5_000_300)) {
            Place::New(reservation) => reservation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_of_a_session_are_a_millisecond_apart_and_know_those_before() {
        let (recent, session, tasks) = (RecentTurns::default(), session(), [task(), task(), task()]);
        let first = reserve(&recent, session, tasks[0]);
        let second = reserve(&recent, session, tasks[1]);
        assert_eq!((first.earlier.as_slice(), second.earlier.as_slice()), (&[][..], &tasks[..1]));
        assert_eq!(second.accepted_at.timestamp_micros() - first.accepted_at.timestamp_micros(), 700);
        first.keep();
        drop(second);
        let mut third = reserve(&recent, session, tasks[2]);
        assert_eq!(third.earlier, &tasks[..1], "what was given up leaves no trace");
        third.follow(third.accepted_at + Duration::from_secs(1));
        assert_eq!(third.accepted_at.timestamp_millis(), 6_003);
        third.forget_ended(&[]);
        third.keep();
        let other = reserve(&recent, session, task());
        assert_eq!(other.earlier, &tasks[2..]);
        assert!(other.accepted_at.timestamp_millis() > 6_003);
    }

    #[test]
    fn the_same_task_is_told_by_whether_it_is_durable() {
        let (recent, session, task) = (RecentTurns::default(), session(), task());
        let again = || recent.reserve(session, task, Some("g"), DateTime::UNIX_EPOCH);
        let first = reserve(&recent, session, task);
        assert!(matches!(again(), Place::Pending));
        first.keep();
        assert!(matches!(again(), Place::Accepted { fingerprint: Some(earlier) } if earlier == "f"));
    }

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        let recent = RecentTurns::default();
        let mut last = session();
        for _ in 0..SESSIONS + 10 {
            last = session();
            reserve(&recent, last, task()).keep();
        }
        let kept = recent.lock();
        assert!(kept.len() <= SESSIONS && kept.contains_key(&last), "{}", kept.len());
    }
}
