//! The store on Postgres keeps what every store must, as the services' role; and what is its own: erased text, indexes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::sync::Arc;

use parlance_conformance::store as suite;
use parlance_postgres::Role;
use parlance_shared::{
    UserId,
    page::{PagePosition, PageRequest},
    port::store::Store as _,
    task::{Status, TaskError},
};
use sqlx::AssertSqlSafe;
use support::{
    TestDatabase, connect,
    events::{deleted, reply, request},
    process::Process,
    record::dump,
    server,
};
use tokio::sync::OnceCell;

/// Tests share a database, as users share a store.
async fn shared() -> Option<TestDatabase> {
    static SHARED: OnceCell<TestDatabase> = OnceCell::const_new();
    let server = server()?;
    Some(SHARED.get_or_init(async || TestDatabase::migrated(&server).await).await.clone())
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(database) = shared().await else { return };
                suite::$name(Arc::new(database.store())).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_and_any_number_of_times_end_the_same() {
    let Some(server) = server() else { return };
    let (one, other) = (TestDatabase::migrated(&server).await, TestDatabase::migrated(&server).await);
    suite::any_order_and_any_number_of_times_end_the_same(Arc::new(one.store()), Arc::new(other.store())).await;
}

macro_rules! conforms_for_operators {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(database) = shared().await else { return };
                let store = Arc::new(database.store());
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

macro_rules! conforms_beside_turns {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(database) = shared().await else { return };
                let process = Process::start(&database, Role::Both);
                suite::$name(Arc::new(database.store()), process.turns.clone()).await;
                process.kill().await;
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

#[tokio::test]
async fn nothing_of_what_was_said_is_left_in_a_deleted_session() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    let mut request = request(&UserId::new("alice"), 1);
    request.content = "my secret".to_owned();
    request.metadata = Some([("note".to_owned(), "my secret".into())].into_iter().collect());
    request.model = Some("my secret".to_owned());
    request.fingerprint = Some("hash of my secret".to_owned());
    let mut reply = reply(&request, Status::Failed, 1, "your secret");
    reply.task.error = Some(TaskError {
        code: "content_refused".to_owned(),
        message: "The secret was refused.".to_owned(),
        retryable: false,
    });
    store.record_message_submitted(&request).await.unwrap();
    store.record_reply_completed(&reply).await.unwrap();
    store.record_session_deleted(&deleted(&request)).await.unwrap();
    store.record_message_submitted(&request).await.unwrap();
    store.record_reply_completed(&reply).await.unwrap();
    let dump = dump(&database).await.join("\n");
    assert!(
        dump.contains(&request.task_id.to_string()) && !dump.contains("secret") && !dump.contains("refused"),
        "{dump}"
    );
}

/// Clients hold cursors; whatever they make of them is answered, not a fault of the server's.
#[tokio::test]
async fn strange_cursors_and_names_are_answered() {
    let Some(database) = shared().await else { return };
    let store = database.store();
    let request = request(&UserId::new("nul \0 user"), 1);
    store.record_message_submitted(&request).await.unwrap();
    for at in [i64::MIN, -1, 0, 1, i64::MAX] {
        for id in ["", "\0", "\u{10ffff}", "ses_"] {
            let from = Some(PagePosition { at, id: id.to_owned() });
            let page = PageRequest { limit: 5, from };
            store.sessions(&request.user_id, &page).await.unwrap();
            store.messages(&request.user_id, request.session_id, &page).await.unwrap();
        }
    }
    let first = PageRequest { limit: 5, from: None };
    assert_eq!(store.sessions(&request.user_id, &first).await.unwrap().data.len(), 1);
    for other in ["nul \u{1a}0 user", "nul  user", "nul "] {
        assert_eq!(store.sessions(&UserId::new(other), &first).await.unwrap().data, []);
    }
}

/// Each list reads what it shows, in the order of an index, however many rows others have.
#[tokio::test]
async fn the_lists_are_read_by_their_indexes() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    database
        .admin(
            "INSERT INTO sessions (id, user_id, created_at, updated_at)
                 SELECT 'ses_' || n, 'u' || n % 100, to_timestamp(n), now() FROM generate_series(1, 20000) AS n;
             INSERT INTO tasks (id, user_id, session_id, reply_message_id, status, attempt)
                 SELECT 'tsk_' || n, 'u' || n % 100, 'ses_' || n % 20, 'msg_r' || n, 'queued', 0
                 FROM generate_series(1, 20000) AS n;
             INSERT INTO messages (task_id, role, id, session_id, user_id, content, created_at, sorts_at)
                 SELECT 'tsk_' || n, 'user', 'msg_' || n, 'ses_' || n % 20, 'u' || n % 20, 'text', now(), n
                 FROM generate_series(1, 20000) AS n;
             ANALYZE",
        )
        .await;
    let mut connection = connect(&database.service).await;
    for (query, index) in [
        (
            "EXPLAIN SELECT heading FROM sessions
             WHERE user_id = 'u7' AND deleted_at IS NULL AND (created_at, id) < ('2020-01-01', 'x')
             ORDER BY created_at DESC, id DESC LIMIT 21",
            "Index Scan Backward using sessions_by_user",
        ),
        (
            "EXPLAIN SELECT m.content, t.status FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
             WHERE m.session_id = 'ses_7' AND m.user_id = 'u7' AND (m.sorts_at, m.id) > (9, 'x')
             ORDER BY m.sorts_at, m.id LIMIT 21",
            "Index Scan using messages_by_session",
        ),
        (
            "EXPLAIN SELECT m.content, t.status FROM messages AS m
             JOIN tasks AS t ON t.id = m.task_id JOIN sessions AS s ON s.id = m.session_id
             WHERE m.role = 'user' AND s.deleted_at IS NULL AND t.reply_message_id IS NOT NULL
                 AND m.sorts_at < 15000 AND (m.sorts_at, m.id) > (9000, 'x')
             ORDER BY m.sorts_at, m.id LIMIT 20",
            "Index Scan using messages_by_time",
        ),
    ] {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    }
}
