//! A message during a reply: it waits, it interrupts, or it is refused; and how many may wait.

use std::time::Duration;

use http::Method;
use parlance_shared::{
    SessionId,
    event::{MessageSubmitted, SessionChanged, Strategy, from_cloud_event},
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

async fn say(app: &App, path: &str, strategy: &str) -> Answer {
    app.post(path, &json!({"content": "a", "strategy": strategy})).await
}

#[tokio::test]
async fn reject_is_refused_from_the_moment_that_another_message_is_accepted_to_its_end() {
    let app = App::start().await;
    let path = messages_of(&app);
    assert_eq!(say(&app, &path, "reject").await.status, 202, "nothing waits");
    let first = submitted(&app).await;
    assert_eq!(first.strategy, Strategy::Reject);
    say(&app, &path, "reject").await.problem(409, "session_busy");
    app.record(&first).await;
    say(&app, &path, "reject").await.problem(409, "session_busy");
    let attempt = app.claim(&first).await;
    say(&app, &path, "reject").await.problem(409, "session_busy");
    app.end(attempt, Status::Completed).await;
    assert_eq!(say(&app, &path, "reject").await.status, 202, "the record is behind, the end is stored");
    submitted(&app).await;
    app.assert_no_event().await;
}

#[tokio::test]
async fn of_several_at_once_one_is_not_rejected() {
    let app = App::start().await;
    let path = messages_of(&app);
    let answers = futures_util::future::join_all((0..8).map(|_| say(&app, &path, "reject"))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.status == 202 || answer.status == 409));
    submitted(&app).await;
    app.assert_no_event().await;
}

#[tokio::test]
async fn an_interrupt_stops_what_runs_and_what_waits() {
    let app = App::start().await;
    let path = messages_of(&app);
    say(&app, &path, "enqueue").await;
    let first = submitted(&app).await;
    app.record(&first).await;
    let mut running = app.claim(&first).await;
    running.say("half of").await;
    say(&app, &path, "enqueue").await;
    let second = submitted(&app).await;
    assert_eq!(say(&app, &path, "interrupt").await.status, 202);
    let third = submitted(&app).await;
    assert_eq!(third.strategy, Strategy::Interrupt);
    assert!(first.accepted_at.timestamp_millis() < second.accepted_at.timestamp_millis());
    assert!(second.accepted_at.timestamp_millis() < third.accepted_at.timestamp_millis());
    assert_eq!(say(&app, &path, "enqueue").await.status, 202);
    let fourth = submitted(&app).await;

    tokio::time::timeout(Duration::from_secs(5), running.claim.cancelled.cancelled()).await.unwrap();
    let ended = app.end(running, Status::Cancelled).await;
    assert_eq!(ended.reply.content, "half of");
    for (message, stops) in [(&second, true), (&third, false), (&fourth, false)] {
        let attempt = app.claim(message).await;
        assert_eq!(attempt.claim.cancel_requested, stops);
        app.end(attempt, if stops { Status::Cancelled } else { Status::Completed }).await;
    }
}

/// Sent again under its key, also by way of another instance, it does not stop itself.
#[tokio::test]
async fn an_interrupt_that_is_sent_again_stops_nothing_more() {
    let app = App::start().await;
    let path = messages_of(&app);
    let body = json!({"content": "a", "strategy": "interrupt"});
    let first = app.post_with_key(&path, "k", &body).await;
    let message = submitted(&app).await;
    assert_eq!(app.post_with_key(&path, "k", &body).await.body, first.body);
    // What another instance does that knows nothing of the first.
    let later = message.accepted_at + Duration::from_secs(1);
    let (session, task) = (message.session_id, message.task_id);
    let before = app.state.turns.interrupt(&app.user, session, task, later).await.unwrap();
    assert_eq!(before, message.accepted_at);
    assert!(!app.claim(&message).await.claim.cancel_requested);
}

#[tokio::test]
async fn a_session_has_a_strategy_of_its_own() {
    let app = App::start().await;
    let made = app.post("/v1/sessions", &json!({"strategy": "reject"})).await;
    assert_eq!(made.json()["strategy"], "reject");
    let session = made.header("location").to_owned();
    let change: SessionChanged = from_cloud_event(&app.event().await).unwrap();
    assert_eq!(change.strategy, Some(Some(Strategy::Reject)));
    let path = format!("{session}/messages");
    assert_eq!(app.post(&path, &json!({"content": "a"})).await.status, 202);
    assert_eq!(submitted(&app).await.strategy, Strategy::Reject);
    app.post(&path, &json!({"content": "b"})).await.problem(409, "session_busy");
    assert_eq!(say(&app, &path, "enqueue").await.status, 202, "a message may say so itself");
    submitted(&app).await;

    let patched = app.json(Method::PATCH, &session, &json!({"strategy": null})).await.json();
    assert_eq!(patched["strategy"], Value::Null);
    assert_eq!(app.get(&session).await.json(), patched);
    app.event().await;
    assert_eq!(app.post(&path, &json!({"content": "c"})).await.status, 202);
    for body in [json!({"strategy": "hurry"}), json!({"strategy": 1})] {
        assert_eq!(app.json(Method::PATCH, &session, &body).await.problem(400, "invalid_field")["field"], "strategy");
    }
}

#[tokio::test]
async fn so_many_may_wait_and_no_more() {
    let app = App::start_with(|state| state.limits.queued_per_session = 3).await;
    let path = messages_of(&app);
    let mut waiting = Vec::new();
    for n in 0..3 {
        assert_eq!(say(&app, &path, "enqueue").await.status, 202);
        waiting.push(submitted(&app).await);
        if n == 1 {
            app.record(&waiting[n]).await;
        }
    }
    let answer = say(&app, &path, "enqueue").await;
    let problem = answer.problem(429, "too_many_queued");
    assert!(problem["detail"].as_str().unwrap().contains("At most 3 "), "{problem}");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    assert_eq!(say(&app, &messages_of(&app), "enqueue").await.status, 202, "another session");
    submitted(&app).await;
    let attempt = app.claim(&waiting[0]).await;
    app.end(attempt, Status::Completed).await;
    assert_eq!(say(&app, &path, "enqueue").await.status, 202, "one has ended");
    submitted(&app).await;
    say(&app, &path, "enqueue").await.problem(429, "too_many_queued");
    assert_eq!(say(&app, &path, "interrupt").await.status, 202, "the way out");
}

#[tokio::test]
async fn without_the_database_what_waits_its_turn_is_accepted_and_the_rest_told_to_come_again() {
    let app = App::start_with(|state| state.limits.glance_timeout = Duration::from_millis(20)).await;
    let path = messages_of(&app);
    for fault in [Fault::Unavailable, Fault::Hangs] {
        app.store.faults.set(fault);
        assert_eq!(say(&app, &path, "enqueue").await.status, 202, "{fault:?}");
        submitted(&app).await;
        for strategy in ["reject", "interrupt"] {
            let answer = say(&app, &path, strategy).await;
            answer.problem(503, "unavailable");
            assert!(!answer.header("retry-after").is_empty(), "{fault:?}");
        }
    }
    app.assert_no_event().await;
    app.store.faults.set(Fault::None);
    say(&app, &path, "reject").await.problem(409, "session_busy");
}

/// A message that could not be published leaves nothing behind that the next one is judged by.
#[tokio::test]
async fn what_was_not_accepted_does_not_count() {
    let app = App::start().await;
    let path = messages_of(&app);
    app.bus.faults.set(Fault::Unavailable);
    say(&app, &path, "reject").await.problem(503, "unavailable");
    app.bus.faults.set(Fault::None);
    assert_eq!(say(&app, &path, "reject").await.status, 202);
}
