//! Several persist-workers write the same rows at once: nothing is lost, nothing waits for each other in a circle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
#![allow(clippy::disallowed_methods, reason = "tests spawn what they join")]

mod support;

use parlance_postgres::PostgresStore;
use parlance_shared::{
    CallId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    id::PrefixedId as _,
    port::{PortError, store::Store as _},
    task::Status,
};
use support::{
    TestDatabase, connect,
    events::{at, deleted, reply, request},
    record::dump,
    server,
};
use tokio::task::JoinSet;
use uuid::Uuid;

#[derive(Clone, Debug)]
enum Event {
    Submitted(MessageSubmitted),
    Changed(SessionChanged),
    Deleted(SessionDeleted),
    Replied(ReplyCompleted),
}

impl Event {
    async fn tell(&self, store: &PostgresStore) -> Result<(), PortError> {
        match self {
            Self::Submitted(event) => store.record_message_submitted(event).await,
            Self::Changed(event) => store.record_session_changed(event).await,
            Self::Deleted(event) => store.record_session_deleted(event).await,
            Self::Replied(event) => store.record_reply_completed(event).await,
        }
    }
}

/// A few users with a few sessions each, so that writers meet all the time.
fn history(random: &mut fastrand::Rng) -> Vec<Event> {
    let users = ["alice", "bob"].map(UserId::new);
    let mut events = Vec::new();
    for user in &users {
        for _ in 0..4 {
            let first = request(user, random.i64(0..50));
            for turn in 0..6 {
                let asked = MessageSubmitted {
                    session_id: first.session_id,
                    metadata: Some([("turn".to_owned(), turn.into())].into_iter().collect()),
                    ..request(user, random.i64(0..50))
                };
                events.push(Event::Submitted(asked.clone()));
                // A repeated request with a later time.
                events.push(Event::Submitted(MessageSubmitted { accepted_at: at(60), ..asked.clone() }));
                let ends: &[(Status, u32, &str)] = match random.u8(0..5) {
                    0 => &[(Status::Failed, 1, "half"), (Status::Completed, 2, "whole")],
                    1 => &[(Status::Failed, 1, "half"), (Status::Failed, 2, "")],
                    2 => &[(Status::Failed, 1, ""), (Status::Failed, 2, ""), (Status::Completed, 3, "third")],
                    3 => &[(Status::Cancelled, 0, "")],
                    _ => &[(Status::Completed, 1, "answer")],
                };
                events.extend(
                    ends.iter().map(|(status, attempt, text)| Event::Replied(reply(&asked, *status, *attempt, text))),
                );
            }
            for change in 0..3 {
                events.push(Event::Changed(SessionChanged {
                    session_id: first.session_id,
                    user_id: user.clone(),
                    change_id: CallId::from_uuid(Uuid::now_v7()),
                    changed_at: at(random.i64(0..20)),
                    heading: Some(Some(format!("heading {change}"))),
                    instructions: (change > 0).then(|| Some(format!("instructions {change}"))),
                    metadata: (change > 1).then_some(None),
                    strategy: Default::default(),
                }));
            }
            if random.u8(0..3) == 0 {
                events.push(Event::Deleted(SessionDeleted { deleted_at: at(30), ..deleted(&first) }));
            }
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_histories_told_by_many_at_once_end_as_one_told_in_order() {
    let Some(server) = server() else { return };
    let (in_order, at_once) = (TestDatabase::migrated(&server).await, TestDatabase::migrated(&server).await);
    let one = in_order.store();
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let events = history(&mut random);
        for event in &events {
            event.tell(&one).await.unwrap_or_else(|error| panic!("{error}: {event:?}"));
        }
        // Twelve workers in three processes, each told everything in an order of its own.
        let processes = [at_once.store(), at_once.store(), at_once.store()];
        let mut workers = JoinSet::new();
        for worker in 0..12 {
            let (store, mut mine) = (processes[worker % 3].clone(), events.clone());
            random.shuffle(&mut mine);
            workers.spawn(async move {
                for event in mine {
                    event.tell(&store).await.unwrap_or_else(|error| panic!("{error}: {event:?}"));
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap();
        }
        assert_eq!(dump(&at_once).await, dump(&in_order).await, "seed {seed}");
    }
    let mut connection = connect(&at_once.admin).await;
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
}

/// The deletion waits for what is being written, and then sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_at_the_same_moment_leaves_nothing() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    for round in 0..100 {
        let asked = request(&UserId::new("alice"), round);
        let said = reply(&asked, Status::Completed, 1, "answer");
        let gone = deleted(&asked);
        let (submitted, replied, erased) = tokio::join!(
            store.record_message_submitted(&asked),
            store.record_reply_completed(&said),
            store.record_session_deleted(&gone)
        );
        submitted.and(replied).and(erased).unwrap();
    }
    let left: Vec<String> = dump(&database).await.into_iter().filter(|row| row.contains("content")).collect();
    assert_eq!(left, [""; 0]);
}
