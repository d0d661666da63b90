//! The embedded store keeps what every store must, and what is its own: restarts, a full disk, erased text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::{path::Path, sync::Arc};

use chrono::DateTime;
use parlance_conformance::store as suite;
use parlance_shared::{
    Lifecycle, MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionDeleted, Strategy},
    id::PrefixedId as _,
    page::PageRequest,
    port::{
        PortError,
        store::{Lookup, Store},
    },
    task::{Status, Task, Timings},
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteStore, SqliteTurns};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

async fn open(folder: &Path) -> (Database, Arc<dyn Store>) {
    let database = Database::open(DatabaseOptions::new(folder)).await.unwrap();
    (database.clone(), Arc::new(SqliteStore::new(database)))
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = TempDir::new().unwrap();
                let (_database, store) = open(folder.path()).await;
                suite::$name(store).await;
            }
        )*
    };
}

conforms!(
    a_working_store_is_ready,
    reads_find_nothing_of_another_user,
    events_of_another_user_are_refused_and_leave_nothing,
    a_deleted_session_stays_deleted,
    a_session_can_be_deleted_before_it_is_known,
    every_version_of_a_summary_is_stored_once,
    summaries_of_a_deleted_session_are_gone,
    a_found_heading_never_replaces_the_owners,
    each_field_keeps_its_latest_change,
    the_earliest_and_latest_events_date_a_session,
    a_task_is_read_as_it_ended,
    a_reply_may_come_before_its_request,
    an_end_is_final,
    a_later_attempt_replaces_an_end,
    a_reply_without_text_is_a_message_only_when_completed,
    a_request_made_twice_is_one_message,
    what_can_never_work_is_refused,
    sessions_are_listed_newest_first,
    pages_of_sessions_are_stable_while_others_come,
    messages_are_listed_oldest_first,
    pages_of_messages_are_stable_while_others_come,
    a_branch_takes_the_place_of_what_it_covers,
    a_refused_turn_stands_in_for_nothing,
    pages_of_a_branch_are_stable,
    a_turn_is_found_whole,
    a_hidden_response_stays_hidden,
    long_texts_come_back_whole,
    text_of_any_script_comes_back_unchanged,
    a_deleted_session_was_used_all_the_same,
    days_begin_at_midnight_utc,
    pages_of_usage_hold_every_group_once,
    speed_and_patience_are_measured_where_they_are_known,
    usage_is_grouped_and_nobody_elses,
    headings_count_and_are_no_summaries,
    usage_is_the_same_after_duplicates_and_replays,
    what_has_no_price_costs_an_unknown_amount,
);

macro_rules! conforms_for_operators {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = TempDir::new().unwrap();
                let store = Arc::new(SqliteStore::new(open(folder.path()).await.0));
                suite::$name(store.clone(), store).await;
            }
        )*
    };
}

conforms_for_operators!(
    requests_are_given_back_whole,
    requests_say_where_their_tasks_stand,
    requests_are_found_by_session_task_and_time,
    pages_of_requests_are_bounded_in_bytes,
    deleted_sessions_have_no_requests,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_and_any_number_of_times_end_the_same() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let ((_first, in_order), (_second, shuffled)) = (open(one.path()).await, open(other.path()).await);
    suite::any_order_and_any_number_of_times_end_the_same(in_order, shuffled).await;
}

macro_rules! conforms_beside_turns {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = TempDir::new().unwrap();
                let (database, store) = open(folder.path()).await;
                suite::$name(store, Arc::new(SqliteTurns::start(database, &Lifecycle::new()))).await;
            }
        )*
    };
}

conforms_beside_turns!(
    admission_counts_what_no_end_is_known_of,
    admission_is_the_owners,
    open_tasks_are_those_without_a_known_end,
    summaries_and_headings_count_against_the_budget
);

fn request(user: &UserId, content: &str) -> MessageSubmitted {
    MessageSubmitted {
        task_id: TaskId::from_uuid(Uuid::now_v7()),
        session_id: SessionId::from_uuid(Uuid::now_v7()),
        message_id: MessageId::from_uuid(Uuid::now_v7()),
        reply_message_id: MessageId::from_uuid(Uuid::now_v7()),
        user_id: user.clone(),
        content: content.to_owned(),
        model: None,
        strategy: Strategy::Enqueue,
        metadata: None,
        accepted_at: DateTime::from_timestamp_millis(1_790_000_000_000).unwrap(),
        fingerprint: None,
        input: Default::default(),
        looked_at: None,
    }
}

fn reply(request: &MessageSubmitted, content: &str) -> ReplyCompleted {
    let mut task = Task::queued(request.task_id);
    task.session_id = Some(request.session_id);
    task.message_id = Some(request.message_id);
    task.status = Status::Completed;
    task.attempt = 1;
    task.reply.message_id = Some(request.reply_message_id);
    task.reply.content = content.to_owned();
    let at = Some(request.accepted_at);
    task.timings = Timings::from_instants(at, at, at, at);
    ReplyCompleted { user_id: request.user_id.clone(), session_id: request.session_id, task, webhook: None }
}

const FIRST_PAGE: PageRequest = PageRequest { limit: 100, from: None };

#[tokio::test]
async fn the_record_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let alice = UserId::new("alice");
    let request = request(&alice, "question");
    let (database, store) = open(folder.path()).await;
    store.record_message_submitted(&request).await.unwrap();
    store.record_reply_completed(&reply(&request, "answer")).await.unwrap();
    let messages = store.messages(&alice, request.session_id, &FIRST_PAGE).await.unwrap();
    let task = store.task(&alice, request.task_id).await.unwrap();
    assert_eq!(messages.data.len(), 2);
    database.close().await;
    let closed = store.ready().await;
    assert!(matches!(closed, Err(PortError::Unavailable { .. })), "{closed:?}");
    drop((database, store));

    let (_database, store) = open(folder.path()).await;
    assert_eq!(store.messages(&alice, request.session_id, &FIRST_PAGE).await.unwrap(), messages);
    assert_eq!(store.task(&alice, request.task_id).await.unwrap(), task);
    assert_eq!(store.sessions(&alice, &FIRST_PAGE).await.unwrap().data.len(), 1);
}

#[tokio::test]
async fn a_full_disk_shows_and_nothing_is_half_written() {
    let folder = TempDir::new().unwrap();
    let options = DatabaseOptions { max_pages: Some(200), ..DatabaseOptions::new(folder.path()) };
    let database = Database::open(options).await.unwrap();
    let store = SqliteStore::new(database);
    store.ready().await.unwrap();
    let alice = UserId::new("alice");
    let refused = loop {
        let request = request(&alice, &"x".repeat(20_000));
        match store.record_message_submitted(&request).await {
            Ok(()) => {}
            Err(error) => break (error, request),
        }
    };
    assert!(matches!(refused.0, PortError::Full { .. }), "{refused:?}");
    assert_eq!(store.session(&alice, refused.1.session_id).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.task(&alice, refused.1.task_id).await.unwrap(), Lookup::Unknown);
    // What room is left is smaller than that message; take it, too.
    for size in [3_000, 1] {
        while store.record_message_submitted(&request(&alice, &"x".repeat(size))).await.is_ok() {}
    }
    let ready = store.ready().await;
    assert!(matches!(ready, Err(PortError::Full { .. })), "{ready:?}");
    // Deleting makes room.
    let session = store.sessions(&alice, &FIRST_PAGE).await.unwrap().data.pop().unwrap().id;
    let deleted_at = DateTime::from_timestamp_millis(1_790_000_000_001).unwrap();
    store.record_session_deleted(&SessionDeleted { session_id: session, user_id: alice, deleted_at }).await.unwrap();
    store.ready().await.unwrap();
}

#[tokio::test]
async fn nothing_of_what_was_said_is_left_in_a_deleted_session() {
    let folder = TempDir::new().unwrap();
    let alice = UserId::new("alice");
    let mut request = request(&alice, "my secret");
    request.metadata = Some([("note".to_owned(), "my secret".into())].into_iter().collect());
    request.model = Some("my secret".to_owned());
    request.fingerprint = Some("hash of my secret".to_owned());
    let mut reply = reply(&request, "your secret");
    reply.task.status = Status::Failed;
    reply.task.error = Some(parlance_shared::task::TaskError {
        code: "content_refused".to_owned(),
        message: "The secret was refused.".to_owned(),
        retryable: false,
    });
    let (database, store) = open(folder.path()).await;
    let (session_id, deleted_at) = (request.session_id, request.accepted_at);
    let deleted = SessionDeleted { session_id, user_id: alice.clone(), deleted_at };
    store.record_message_submitted(&request).await.unwrap();
    store.record_reply_completed(&reply).await.unwrap();
    store.record_session_deleted(&deleted).await.unwrap();
    store.record_message_submitted(&request).await.unwrap();
    store.record_reply_completed(&reply).await.unwrap();
    database.close().await;

    let file = SqliteConnectOptions::new().filename(folder.path().join("parlance.db"));
    let mut connection = file.connect().await.unwrap();
    let messages: i64 = sqlx::query_scalar("SELECT count(*) FROM messages").fetch_one(&mut connection).await.unwrap();
    assert_eq!(messages, 0);
    let tasks: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws('|', requested_model, fingerprint, error_code, error_message, error_retryable) FROM tasks",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(tasks, [""]);
}

#[tokio::test]
async fn the_lists_are_read_by_their_indexes() {
    let folder = TempDir::new().unwrap();
    let (database, _store) = open(folder.path()).await;
    database.close().await;
    let file = SqliteConnectOptions::new().filename(folder.path().join("parlance.db"));
    let mut connection = file.connect().await.unwrap();
    for (query, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT id, heading FROM sessions
             WHERE user_id = ?1 AND deleted_at IS NULL AND (created_at, id) < (?2, ?3)
             ORDER BY created_at DESC, id DESC LIMIT ?4",
            "sessions_by_user (user_id=? AND ",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT m.content, t.status FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
             WHERE m.session_id = ?1 AND m.user_id = ?2 AND (m.sorts_at, m.id) > (?3, ?4)
             ORDER BY m.sorts_at, m.id LIMIT ?5",
            "messages_by_session (session_id=? AND ",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT m.content, t.status FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
             WHERE m.session_id = ?1 AND m.user_id = ?2 AND (m.sorts_at, m.id) > (?3, ?4)
               AND (?6 OR NOT EXISTS (SELECT 1 FROM branches AS b
                    WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at))
             ORDER BY m.sorts_at, m.id LIMIT ?5",
            "branches_by_session (session_id=? AND from_at<?",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM tasks WHERE session_id = ?1 AND user_id = ?2 AND status = 'queued'",
            "tasks_waiting (session_id=?)",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT task_id FROM turns WHERE session_id = ?1 AND +user_id = ?2 AND finished_at IS NULL",
            "turns_unfinished (session_id=?)",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT m.content, t.status FROM messages AS m
             JOIN tasks AS t ON t.id = m.task_id JOIN sessions AS s ON s.id = m.session_id
             WHERE m.role = 'user' AND s.deleted_at IS NULL AND t.reply_message_id IS NOT NULL
               AND m.sorts_at >= ?1 AND m.sorts_at < ?2
               AND (m.session_id, m.sorts_at, m.id) > (?3, ?4, ?5) AND m.session_id <= ?6
               AND (?7 IS NULL OR m.task_id = ?7)
             ORDER BY m.session_id, m.sorts_at, m.id LIMIT ?8",
            "messages_by_session ((session_id,sorts_at,id)>(?,?,?) AND session_id<?)",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(query).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = plan.into_iter().map(|(.., detail)| detail).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE") || step.starts_with("SCAN")), "{plan:#?}");
    }
}
