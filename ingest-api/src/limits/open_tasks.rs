//! Tasks of a user that have not ended: those in the record, wherever they were accepted, and those that this process has
//! accepted and the record may not have yet.
//!
//! So the bound holds across instances but for what others have accepted within the time that persistence takes. If the
//! record does not answer, the message is accepted: the bus takes it either way, and a bound that nobody can check must not
//! stop everybody.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use parlance_shared::{TaskId, UserId};
use tracing::warn;

use crate::{
    bounded::bounded,
    problem::{Code, Problem},
    state::ApiState,
};

/// Users kept in mind at most.
const USERS: usize = 20_000;
/// Long after that the record has what was accepted.
const KEPT: Duration = Duration::from_secs(600);
/// Most tasks take longer than this; so asking again sooner is of no use.
const RETRY_AFTER: u32 = 1;

/// What this process has accepted lately, by user.
#[derive(Debug, Default)]
pub(crate) struct OpenTasks {
    users: Mutex<HashMap<UserId, Recent>>,
}

#[derive(Debug)]
struct Recent {
    touched: Instant,
    tasks: Vec<TaskId>,
}

/// A task's place among its user's, given up unless it is kept.
#[derive(Debug)]
pub(crate) struct OpenTask<'a> {
    tasks: &'a OpenTasks,
    user: &'a UserId,
    task: TaskId,
    kept: bool,
}

impl OpenTasks {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Recent>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the task, and those before it; no place for one that has it already.
    fn reserve<'a>(&'a self, user: &'a UserId, task: TaskId) -> Option<(OpenTask<'a>, Vec<TaskId>)> {
        let mut users = self.lock();
        make_room(&mut users);
        let recent = users.entry(user.clone()).or_insert_with(|| Recent { touched: Instant::now(), tasks: Vec::new() });
        if recent.tasks.contains(&task) {
            return None;
        }
        recent.touched = Instant::now();
        let earlier = recent.tasks.clone();
        recent.tasks.push(task);
        Some((OpenTask { tasks: self, user, task, kept: false }, earlier))
    }
}

impl OpenTask<'_> {
    /// The message is durable.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for OpenTask<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut users = self.tasks.lock();
        if let Some(recent) = users.get_mut(self.user) {
            recent.tasks.retain(|task| *task != self.task);
            if recent.tasks.is_empty() {
                users.remove(self.user);
            }
        }
    }
}

/// A place for one more task of the user's, to be kept once it is accepted; none where nothing is limited or the same task
/// was accepted before.
pub(crate) async fn enter<'a>(
    state: &'a ApiState,
    user: &'a UserId,
    task: TaskId,
) -> Result<Option<OpenTask<'a>>, Problem> {
    let limits = &state.door.limits;
    let Some(most) = limits.tasks_per_user else { return Ok(None) };
    let Some((place, earlier)) = limits.open_tasks.reserve(user, task) else { return Ok(None) };
    let looking = state.store.open_tasks(user, &earlier, most);
    let open = match bounded(state.limits.glance_timeout, "store", looking).await {
        Ok(open) => open,
        Err(error) => {
            warn!(%error, "accepting without a look at the user's open tasks");
            // It can't be told which of them have ended; what is remembered must not grow meanwhile.
            let mut users = limits.open_tasks.lock();
            if let Some(recent) = users.get_mut(user).filter(|recent| recent.tasks.len() > 2 * most as usize) {
                recent.tasks.drain(..most as usize);
            }
            return Ok(Some(place));
        }
    };
    if open.len() >= most as usize && !open.contains(&task) {
        let detail = format!("{most} of your tasks have not ended. Try again when one has.");
        return Err(Problem::new(Code::TooManyTasks, detail).retry_after(RETRY_AFTER).member("limit", most));
    }
    if let Some(recent) = limits.open_tasks.lock().get_mut(user) {
        recent.tasks.retain(|task| !earlier.contains(task) || open.contains(task));
    }
    Ok(Some(place))
}

/// Once in many calls: those long untouched go, or the older half.
fn make_room(users: &mut HashMap<UserId, Recent>) {
    if users.len() < USERS {
        return;
    }
    users.retain(|_, recent| recent.touched.elapsed() < KEPT);
    if users.len() >= USERS / 2 {
        let mut touched: Vec<Instant> = users.values().map(|recent| recent.touched).collect();
        let middle = touched.len() / 2;
        let (_, median, _) = touched.select_nth_unstable(middle);
        let median = *median;
        users.retain(|_, recent| recent.touched > median);
    }
}

#[cfg(test)]
mod tests {
    use parlance_shared::id::PrefixedId as _;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn places_are_given_up_or_kept_and_bounded() {
        let tasks = OpenTasks::default();
        let task = || TaskId::from_uuid(Uuid::now_v7());
        let (user, first) = (UserId::new("olga"), task());
        let (place, earlier) = tasks.reserve(&user, first).unwrap();
        assert!(earlier.is_empty() && tasks.reserve(&user, first).is_none());
        drop(place);
        assert!(tasks.lock().is_empty());
        tasks.reserve(&user, first).unwrap().0.keep();
        assert_eq!(tasks.reserve(&user, task()).unwrap().1, [first]);
        for number in 0..USERS + 10 {
            let user = UserId::new(number.to_string());
            tasks.reserve(&user, task()).unwrap().0.keep();
        }
        assert!(tasks.lock().len() <= USERS);
    }
}
