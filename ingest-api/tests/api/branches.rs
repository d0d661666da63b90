//! A reply that is wanted anew, a message that is edited: what is published, what is refused, what is listed.

use std::time::{Duration, Instant};

use http::Request;
use parlance_shared::{
    Clock, MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, from_cloud_event},
    port::turns::{Checkpoint, CheckpointTurn, Summary, Turns as _, VersionedCheckpoint},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{Answer, App, Fault};

async fn submitted(app: &App) -> MessageSubmitted {
    from_cloud_event(&app.event().await).unwrap()
}

fn messages_of(app: &App) -> String {
    let session: SessionId = app.mint.mint(&app.user);
    format!("/v1/sessions/{session}/messages")
}

async fn ask(app: &App, path: &str, body: &Value) -> MessageSubmitted {
    let answer = app.post(path, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    submitted(app).await
}

/// Answers and records a message, and remembers it in the checkpoint as a worker does.
async fn answer(app: &App, message: &MessageSubmitted, status: Status, text: &str) {
    app.record(message).await;
    let mut attempt = app.claim(message).await;
    if !text.is_empty() {
        attempt.say(text).await;
    }
    let task = app.end(attempt, status).await;
    app.persist_end(task).await;
    if status != Status::Failed && !text.is_empty() {
        remember(app, message).await;
    }
}

async fn remember(app: &App, message: &MessageSubmitted) {
    let mut stored = app.turns.checkpoint(&app.user, message.session_id).await.unwrap();
    let replaced = message.input.replaces.as_ref();
    let window = &mut stored.checkpoint.window;
    if let Some(place) = replaced.and_then(|r| window.iter().position(|turn| turn.task_id == r.task_id)) {
        window.truncate(place);
    }
    window.push(CheckpointTurn {
        task_id: message.task_id,
        user: message.content.clone(),
        assistant: "said".to_owned(),
        input: Default::default(),
        tool_calls: Vec::new(),
        tokens: 0,
        accepted_at: Some(message.accepted_at),
    });
    app.turns.save_checkpoint(&app.user, message.session_id, stored).await.unwrap();
}

async fn retry(app: &App, task: TaskId) -> Answer {
    app.send(Request::post(format!("/v1/tasks/{task}/retry")), "").await
}

async fn contents(app: &App, path: &str) -> Vec<String> {
    let page = app.get(path).await.json();
    page["data"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_last_reply_is_given_anew_and_the_earlier_one_stays_readable() {
    let app = App::start().await;
    let path = messages_of(&app);
    let tools = json!([{"type": "function"}]);
    let body = json!({"content": "question", "model": "small", "metadata": {"a": 1}, "tools": tools});
    let first = ask(&app, &path, &body).await;
    answer(&app, &first, Status::Completed, "one").await;

    let retried = retry(&app, first.task_id).await;
    assert_eq!(retried.status, 202);
    let second = submitted(&app).await;
    let accepted = retried.json();
    assert_eq!(accepted["message_id"], json!(first.message_id));
    assert_eq!(accepted["task_id"], json!(second.task_id));
    assert_eq!(retried.header("location"), format!("/v1/tasks/{}", second.task_id));
    assert!(second.task_id != first.task_id && second.reply_message_id != first.reply_message_id);
    let replaced = second.input.replaces.clone().unwrap();
    assert_eq!((replaced.task_id, replaced.accepted_at), (first.task_id, first.accepted_at));
    assert_eq!((&second.content, &second.model, &second.metadata), (&first.content, &first.model, &first.metadata));
    assert_eq!((second.message_id, &second.input.tools), (first.message_id, &first.input.tools));
    assert!(second.accepted_at > first.accepted_at);

    retry(&app, first.task_id).await.problem(409, "session_busy");
    answer(&app, &second, Status::Completed, "two").await;
    assert_eq!(contents(&app, &path).await, ["question", "two"]);
    let all = app.get(&format!("{path}?branch=all")).await.json();
    let superseded: Vec<_> =
        all["data"].as_array().unwrap().iter().map(|m| (m["content"].clone(), m["superseded_by"].clone())).collect();
    let by = json!(second.task_id);
    let expected = [("question", by.clone()), ("one", by), ("question", Value::Null), ("two", Value::Null)];
    assert_eq!(superseded, expected.map(|(content, by)| (json!(content), by)));
    let earlier = app.get(&format!("/v1/tasks/{}", first.task_id)).await.json();
    assert_eq!(earlier["reply"]["content"], "one");
    retry(&app, first.task_id).await.problem(409, "not_the_last_turn");

    // With another model, and once more.
    let request =
        Request::post(format!("/v1/tasks/{}/retry", second.task_id)).header("content-type", "application/json");
    assert_eq!(app.send(request, r#"{"model": "large"}"#).await.status, 202);
    let third = submitted(&app).await;
    assert_eq!((third.model.as_deref(), third.input.replaces.unwrap().task_id), (Some("large"), second.task_id));
    app.get(&format!("{path}?branch=other")).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_retry_under_a_key_is_one_task() {
    let app = App::start().await;
    let path = messages_of(&app);
    let first = ask(&app, &path, &json!({"content": "question"})).await;
    answer(&app, &first, Status::Failed, "").await;
    let retry = format!("/v1/tasks/{}/retry", first.task_id);
    let accepted = app.post_with_key(&retry, "k", &json!({})).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let second = submitted(&app).await;
    for stage in ["on the bus", "ended"] {
        let again = app.post_with_key(&retry, "k", &json!({"model": null})).await;
        assert_eq!((again.status, &again.body), (accepted.status, &accepted.body), "{stage}");
        app.post_with_key(&retry, "k", &json!({"model": "m"})).await.problem(409, "idempotency_key_reused");
        if stage == "on the bus" {
            answer(&app, &second, Status::Completed, "two").await;
        }
    }
    app.assert_no_event().await;
}

#[tokio::test]
async fn what_can_not_be_answered_anew_is_told() {
    let app = App::start_with(|state| state.limits.record_patience = Duration::from_millis(100)).await;
    let path = messages_of(&app);
    let foreign: TaskId = app.mint.mint(&UserId::new("mallory"));
    retry(&app, foreign).await.problem(404, "task_not_found");
    let first = ask(&app, &path, &json!({"content": "one"})).await;
    retry(&app, first.task_id).await.problem(409, "task_not_ended");
    let attempt = app.claim(&first).await;
    retry(&app, first.task_id).await.problem(409, "task_not_ended");
    let task = app.end(attempt, Status::Completed).await;
    // The record is behind.
    let late = retry(&app, first.task_id).await;
    late.problem(503, "unavailable");
    assert!(!late.header("retry-after").is_empty());
    let (retried, ()) = tokio::join!(retry(&app, first.task_id), async {
        app.record(&first).await;
        app.persist_end(task).await;
    });
    assert_eq!(retried.status, 202, "it waits for the record");
    let second = submitted(&app).await;
    answer(&app, &second, Status::Completed, "two").await;
    let third = ask(&app, &path, &json!({"content": "three"})).await;
    answer(&app, &third, Status::Completed, "three").await;
    retry(&app, second.task_id).await.problem(409, "not_the_last_turn");
    let post = |body: &'static str| {
        let request = Request::post(format!("/v1/tasks/{}/retry", third.task_id));
        app.send(request.header("content-type", "application/json"), body)
    };
    assert_eq!(post(r#"{"model": " "}"#).await.problem(400, "invalid_field")["field"], "model");
    assert_eq!(post(r#"{"content": "a"}"#).await.problem(400, "unknown_field")["field"], "content");
    app.store.faults.set(Fault::Unavailable);
    retry(&app, third.task_id).await.problem(503, "unavailable");
    app.store.faults.set(Fault::None);
    app.assert_no_event().await;
}

#[tokio::test]
async fn an_edited_message_takes_the_place_of_all_that_followed() {
    let app = App::start().await;
    let path = messages_of(&app);
    let mut turns = Vec::new();
    for text in ["one", "two", "three"] {
        let message = ask(&app, &path, &json!({"content": text})).await;
        answer(&app, &message, Status::Completed, text).await;
        turns.push(message);
    }
    let edited = ask(&app, &path, &json!({"content": "2", "edits": turns[1].message_id})).await;
    let replaced = edited.input.replaces.clone().unwrap();
    assert_eq!((replaced.task_id, replaced.accepted_at), (turns[1].task_id, turns[1].accepted_at));
    assert_ne!(edited.message_id, turns[1].message_id);
    answer(&app, &edited, Status::Completed, "II").await;
    assert_eq!(contents(&app, &path).await, ["one", "one", "2", "II"]);
    assert_eq!(contents(&app, &format!("{path}?branch=all")).await.len(), 8);
    let problem = app.post(&path, &json!({"content": "a", "edits": turns[2].message_id})).await;
    assert_eq!(problem.problem(409, "message_superseded")["field"], "edits");
}

#[tokio::test]
async fn what_can_not_be_edited_is_told() {
    let app = App::start_with(|state| state.limits.record_patience = Duration::from_millis(100)).await;
    let path = messages_of(&app);
    let edit = async |message: MessageId| app.post(&path, &json!({"content": "a", "edits": message})).await;
    edit(app.mint.mint(&UserId::new("mallory"))).await.problem(404, "message_not_found");
    let unknown = edit(app.mint.mint(&app.user)).await;
    unknown.problem(409, "message_not_recorded");
    assert!(!unknown.header("retry-after").is_empty());
    let first = ask(&app, &path, &json!({"content": "one"})).await;
    edit(first.message_id).await.problem(409, "session_busy");
    answer(&app, &first, Status::Completed, "one").await;
    let elsewhere = messages_of(&app);
    let other = app.post(&elsewhere, &json!({"content": "a", "edits": first.message_id})).await;
    other.problem(409, "message_not_recorded");
    edit(first.reply_message_id).await.problem(409, "message_not_recorded");
    let new = app.post("/v1/messages", &json!({"content": "a", "edits": first.message_id})).await;
    assert_eq!(new.problem(400, "invalid_field")["field"], "edits");

    // While something runs, only an interrupt may change what it answers.
    let second = ask(&app, &path, &json!({"content": "two"})).await;
    app.record(&second).await;
    let running = app.claim(&second).await;
    edit(first.message_id).await.problem(409, "session_busy");
    let body = json!({"content": "2", "edits": second.message_id, "strategy": "interrupt"});
    let edited = ask(&app, &path, &body).await;
    assert_eq!(edited.input.replaces.unwrap().task_id, second.task_id);
    tokio::time::timeout(Duration::from_secs(5), running.claim.cancelled.cancelled()).await.unwrap();
    app.assert_no_event().await;
}

/// Only what may have been accepted a moment ago is waited for.
#[tokio::test]
async fn an_edit_of_what_can_not_be_there_is_refused_at_once() {
    const PATIENCE: Duration = Duration::from_secs(20);
    let clock = Clock::manual(Clock::system().now());
    let app = App::start_with(|state| {
        state.clock = clock.clone();
        state.limits.record_patience = PATIENCE;
    })
    .await;
    let path = messages_of(&app);
    let first = ask(&app, &path, &json!({"content": "one"})).await;
    answer(&app, &first, Status::Completed, "one").await;
    let keyed: MessageId = app.mint.derive(&app.user, "a key");
    let made: MessageId = app.mint.mint(&app.user);
    clock.advance(Duration::from_secs(61));
    let began = Instant::now();
    let edit = async |message: MessageId| app.post(&path, &json!({"content": "a", "edits": message})).await;
    for old in [made, first.reply_message_id, app.mint.mint(&UserId::new("mallory"))] {
        assert_eq!(edit(old).await.problem(404, "message_not_found")["field"], "edits");
    }
    assert!(began.elapsed() < PATIENCE, "it waited {:?}", began.elapsed());

    // One that is old and recorded is found; one that is new, or may be, is waited for.
    let edited = ask(&app, &path, &json!({"content": "1", "edits": first.message_id})).await;
    answer(&app, &edited, Status::Completed, "I").await;
    assert_eq!(edited.input.replaces.as_ref().unwrap().task_id, first.task_id);
    let (late, ()) = tokio::join!(edit(keyed), async {
        let mut message = edited.clone();
        (message.message_id, message.task_id) = (keyed, app.mint.derive(&app.user, "a key"));
        message.reply_message_id = app.mint.mint(&app.user);
        message.input.replaces = None;
        app.record(&message).await;
    });
    assert_eq!(late.status, 202, "it was found: {late:?}");
    let replaces = submitted(&app).await.input.replaces;
    assert_eq!(replaces.map(|replaced| replaced.task_id), Some(app.mint.derive(&app.user, "a key")));
}

/// What is known by the summary only can't be taken out of it again.
#[tokio::test]
async fn a_message_that_went_into_the_summary_is_too_old() {
    let app = App::start().await;
    let path = messages_of(&app);
    let mut turns = Vec::new();
    for (text, status) in [
        ("one", Status::Completed),
        ("failed early", Status::Failed),
        ("two", Status::Completed),
        ("failed late", Status::Failed),
        ("three", Status::Completed),
    ] {
        let message = ask(&app, &path, &json!({"content": text})).await;
        answer(&app, &message, status, if status == Status::Failed { "" } else { text }).await;
        turns.push(message);
    }
    let session = turns[0].session_id;
    let stored = app.turns.checkpoint(&app.user, session).await.unwrap();
    let summary = Summary {
        version: 1,
        text: "They counted.".to_owned(),
        through: turns[2].task_id,
        turns: 2,
        tokens: 3,
        made_at: app.state.clock.now(),
        through_at: Some(turns[2].accepted_at),
        model: None,
        usage: Default::default(),
    };
    let window = stored.checkpoint.window[2..].to_vec();
    let checkpoint = Checkpoint { summary: Some(summary), window, ..stored.checkpoint };
    app.turns.save_checkpoint(&app.user, session, VersionedCheckpoint { checkpoint, ..stored }).await.unwrap();
    for old in &turns[..3] {
        let answer = app.post(&path, &json!({"content": "a", "edits": old.message_id})).await;
        let problem = answer.problem(409, "message_too_old");
        assert!(problem["detail"].as_str().unwrap().contains("summary"), "{problem}");
    }
    // A failed turn is in no window, and in no summary either.
    let edited = ask(&app, &path, &json!({"content": "better", "edits": turns[3].message_id})).await;
    let replaced = edited.input.replaces.unwrap();
    assert_eq!((replaced.task_id, replaced.accepted_at), (turns[3].task_id, turns[3].accepted_at));
}

/// A reply wanted anew that failed has not taken the place of the one before, in the worker's eyes: the next does.
#[tokio::test]
async fn a_failed_retry_hands_on_what_it_stood_in_for() {
    let app = App::start().await;
    let path = messages_of(&app);
    let first = ask(&app, &path, &json!({"content": "question"})).await;
    answer(&app, &first, Status::Completed, "one").await;
    assert_eq!(retry(&app, first.task_id).await.status, 202);
    let second = submitted(&app).await;
    answer(&app, &second, Status::Failed, "").await;
    assert_eq!(retry(&app, second.task_id).await.status, 202);
    let third = submitted(&app).await;
    assert_eq!(third.input.replaces.as_ref().unwrap().task_id, first.task_id);
    answer(&app, &third, Status::Completed, "three").await;
    assert_eq!(contents(&app, &path).await, ["question", "three"]);
}
