//! Reads lists to their end, and all that a store says of some ids.

use std::collections::BTreeMap;

use parlance_shared::{
    SessionId, TaskId, UserId,
    message::Message,
    page::{Page, PagePosition, PageRequest},
    port::store::{Admission, Lookup, Store, StoredTask},
    session::Session,
    task::Task,
};

/// Follows a list's cursors from the start. Checks that each page keeps to its limit.
pub(super) async fn walk<T>(limit: u32, mut page: impl AsyncFnMut(PageRequest) -> Page<T>) -> Vec<T> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let read = page(PageRequest { limit, from: from.clone() }).await;
        assert!(read.data.len() <= limit as usize, "{} entries on a page of {limit}", read.data.len());
        assert!(read.next.is_none() || !read.data.is_empty(), "an empty page says that more follows");
        all.extend(read.data);
        match read.next {
            None => return all,
            Some(cursor) => {
                let next = Some(position(&cursor));
                assert_ne!(next, from, "a page leads back to itself");
                from = next;
            }
        }
    }
}

pub(super) fn position(cursor: &str) -> PagePosition {
    PagePosition::decode(cursor).unwrap_or_else(|| panic!("{cursor:?} is handed out, but can't be read back"))
}

pub(super) async fn all_sessions(store: &dyn Store, user: &UserId, limit: u32) -> Vec<Session> {
    walk(limit, async |page| store.sessions(user, &page).await.unwrap()).await
}

pub(super) async fn all_messages(store: &dyn Store, user: &UserId, session: SessionId, limit: u32) -> Vec<Message> {
    walk(limit, async |page| store.messages(user, session, &page).await.unwrap()).await
}

pub(super) async fn all_branches(store: &dyn Store, user: &UserId, session: SessionId, limit: u32) -> Vec<Message> {
    walk(limit, async |page| store.messages_of_all_branches(user, session, &page).await.unwrap()).await
}

pub(super) async fn session(store: &dyn Store, user: &UserId, session: SessionId) -> Session {
    match store.session(user, session).await.unwrap() {
        Lookup::Found(session) => session,
        other => panic!("session {session}: {other:?}"),
    }
}

pub(super) async fn task(store: &dyn Store, user: &UserId, task: TaskId) -> Task {
    match store.task(user, task).await.unwrap() {
        Lookup::Found(stored) => stored.task,
        other => panic!("task {task}: {other:?}"),
    }
}

/// All that a user can read.
#[derive(Debug, PartialEq)]
pub(super) struct Sight {
    listed: Vec<Session>,
    sessions: BTreeMap<SessionId, Lookup<Session>>,
    messages: BTreeMap<SessionId, Vec<Message>>,
    branches: BTreeMap<SessionId, Vec<Message>>,
    admissions: BTreeMap<SessionId, Admission>,
    tasks: BTreeMap<TaskId, Lookup<StoredTask>>,
}

impl Sight {
    pub(super) async fn of(
        store: &dyn Store,
        user: &UserId,
        (sessions, tasks): &(Vec<SessionId>, Vec<TaskId>),
        limit: u32,
    ) -> Self {
        let mut sight = Self {
            listed: all_sessions(store, user, limit).await,
            sessions: BTreeMap::new(),
            messages: BTreeMap::new(),
            branches: BTreeMap::new(),
            admissions: BTreeMap::new(),
            tasks: BTreeMap::new(),
        };
        for id in sessions {
            sight.sessions.insert(*id, store.session(user, *id).await.unwrap());
            sight.messages.insert(*id, all_messages(store, user, *id, limit).await);
            sight.branches.insert(*id, all_branches(store, user, *id, limit).await);
            let mut admission = store.admission(user, *id, &[], 100).await.unwrap();
            admission.looked_at = None;
            admission.waiting.sort_unstable();
            sight.admissions.insert(*id, admission);
        }
        for id in tasks {
            sight.tasks.insert(*id, store.task(user, *id).await.unwrap());
        }
        sight
    }

    /// Nothing is listed and nothing is found.
    pub(super) fn is_blank(&self) -> bool {
        self.listed.is_empty()
            && self.sessions.values().all(|found| *found == Lookup::Unknown)
            && self.messages.values().chain(self.branches.values()).all(Vec::is_empty)
            && self.admissions.values().all(|admission| *admission == Admission::default())
            && self.tasks.values().all(|found| *found == Lookup::Unknown)
    }
}
