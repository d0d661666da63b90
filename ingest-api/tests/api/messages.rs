//! Accepting messages: what is answered, what is published, and that nothing is when anything is wrong.

use std::time::Duration;

use http::Request;
use parlance_shared::{
    CallId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, call_id, from_cloud_event},
    id_mint::IdMint,
};
use serde_json::{Value, json};

use crate::support::{App, Fault};

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

async fn new_session(app: &App) -> SessionId {
    app.mint.mint(&app.user)
}

#[tokio::test]
async fn an_accepted_message_is_on_the_bus_and_can_be_read_at_once() {
    let app = App::start().await;
    let body = json!({"content": "What is a cursor?", "model": "small", "metadata": {"tab": 3}});
    let answer = app.post("/v1/messages", &body).await;
    assert_eq!(answer.status, 202);
    let accepted = answer.json();
    insta::assert_json_snapshot!("accepted", accepted, {
        ".task_id" => "[task]", ".message_id" => "[message]", ".session_id" => "[session]", ".links.*" => insta::dynamic_redaction(|value, _| {
            let link = value.as_str().unwrap().to_owned();
            link.split('/').map(|part| if part.contains('_') { &part[..3] } else { part }).collect::<Vec<_>>().join("/")
        }),
    });
    let task: TaskId = id(&accepted["task_id"]);
    assert_eq!(answer.header("location"), format!("/v1/tasks/{task}"));

    let event = app.event().await;
    let submitted: MessageSubmitted = from_cloud_event(&event).unwrap();
    assert_eq!(submitted.task_id, task);
    assert_eq!(submitted.message_id, id(&accepted["message_id"]));
    assert_eq!(submitted.session_id, id(&accepted["session_id"]));
    assert_eq!((submitted.content.as_str(), submitted.model.as_deref()), ("What is a cursor?", Some("small")));
    assert_eq!(submitted.metadata.unwrap()["tab"], 3);
    assert_eq!((submitted.user_id, submitted.fingerprint), (app.user.clone(), None));
    assert_eq!(call_id(&event), Some(answer.header("x-call-id").parse::<CallId>().unwrap()));
    assert_eq!(app.state.metrics.accepted.get(), 1);

    let read = app.get(answer.header("location")).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.json()["status"], "queued");
    let session = app.get(accepted["links"]["session"].as_str().unwrap()).await;
    assert_eq!((session.status.as_u16(), &session.json()["id"]), (200, &accepted["session_id"]));
    app.assert_no_event().await;
}

#[tokio::test]
async fn a_new_task_is_read_as_queued_before_anyone_has_heard_of_it() {
    let app = App::start().await;
    let task: TaskId = app.mint.mint(&app.user);
    let read = app.get(&format!("/v1/tasks/{task}")).await;
    insta::assert_json_snapshot!("queued", read.json(), {".id" => "[task]", ".timings.accepted_at" => "[time]"});
    assert_eq!(read.json()["timings"]["accepted_at"], json!(IdMint::made_at(task)));
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_published() {
    let app = App::start_with(|state| state.allowed_models = vec!["small".into(), "large".into()]).await;
    let path = format!("/v1/sessions/{}/messages", new_session(&app).await);
    let long = "x".repeat(256 * 1024 + 1);
    let deep_nul = json!({"a": [{"b": "\0"}]});
    for (body, status, code, field) in [
        (json!({}), 400, "missing_field", "content"),
        (json!({"content": null}), 400, "missing_field", "content"),
        (json!({"content": 7}), 400, "invalid_field", "content"),
        (json!({"content": " \n\u{2003}"}), 400, "invalid_field", "content"),
        (json!({"content": "a\0b"}), 400, "invalid_field", "content"),
        (json!({"content": long}), 413, "content_too_large", "content"),
        (json!({"content": "a", "strategy": "hurry"}), 400, "invalid_field", "strategy"),
        (json!({"content": "a", "strategy": ["enqueue"]}), 400, "invalid_field", "strategy"),
        (json!({"content": "a", "model": " "}), 400, "invalid_field", "model"),
        (json!({"content": "a", "model": "huge"}), 400, "invalid_field", "model"),
        (json!({"content": "a", "metadata": "x"}), 400, "invalid_field", "metadata"),
        (json!({"content": "a", "metadata": deep_nul}), 400, "invalid_field", "metadata.a"),
        (json!({"content": "a", "metadata": {"a": long}}), 400, "invalid_field", "metadata"),
        (json!({"content": "a", "Model": "small"}), 400, "unknown_field", "Model"),
    ] {
        for path in [path.as_str(), "/v1/messages"] {
            let problem = app.post(path, &body).await.problem(status, code);
            assert_eq!(problem["field"], field, "{problem}");
        }
    }
    let problem = app.post("/v1/messages", &json!({"content": "a", "model": "huge"})).await.json();
    assert_eq!(problem["accepted"], json!(["small", "large"]));
    let several = app.post("/v1/messages", &json!({"content": " ", "strategy": "hurry"})).await.json();
    insta::assert_json_snapshot!("several_faults", several);
    app.post(&format!("{path}?wait=1"), &json!({"content": "a"})).await.problem(400, "unknown_parameter");
    app.assert_no_event().await;
    assert_eq!(app.state.metrics.accepted.get(), 0);

    let all_right = json!({"content": "x".repeat(256 * 1024), "model": "small", "strategy": "enqueue"});
    assert_eq!(app.post(&path, &all_right).await.status, 202);
    assert_eq!(app.post(&path, &json!({"content": "a", "strategy": null, "metadata": null})).await.status, 202);
}

/// Escapes make a body six times as long as the text it stands for.
#[tokio::test]
async fn the_longest_content_is_taken_however_it_is_escaped() {
    let app = App::start().await;
    let body = format!(r#"{{"content": "{}"}}"#, "\\u0061".repeat(256 * 1024));
    let request = Request::post("/v1/messages").header("content-type", "application/json");
    assert_eq!(app.send(request, body).await.status, 202);
}

#[tokio::test]
async fn another_users_session_is_as_unknown_as_one_that_never_was() {
    let app = App::start().await;
    let foreign: SessionId = app.mint.mint(&UserId::new("mallory"));
    let foreign_task: TaskId = app.mint.mint(&UserId::new("mallory"));
    let body = json!({"content": "a"});
    let mut problems = Vec::new();
    for session in [foreign.to_string(), "ses_1".into(), foreign_task.to_string(), "%FF".into()] {
        problems
            .push(app.post(&format!("/v1/sessions/{session}/messages"), &body).await.problem(404, "session_not_found"));
    }
    problems.dedup();
    assert_eq!(problems.len(), 1);
    app.assert_no_event().await;
}

#[tokio::test]
async fn a_deleted_session_takes_no_more() {
    let app = App::start().await;
    let session = new_session(&app).await;
    let path = format!("/v1/sessions/{session}/messages");
    let task = app.post(&path, &json!({"content": "a"})).await.header("location").to_owned();
    app.persist().await;
    assert_eq!(app.delete(&format!("/v1/sessions/{session}")).await.status, 204);
    app.event().await;
    app.post(&path, &json!({"content": "b"})).await.problem(404, "session_not_found");
    app.get(&task).await.problem(404, "task_not_found");
    app.get(&format!("{task}/stream")).await.problem(404, "task_not_found");
    app.send(Request::post(format!("{task}/cancel")), "").await.problem(404, "task_not_found");
    app.assert_no_event().await;
}

#[tokio::test]
async fn the_same_key_with_the_same_request_is_the_same_task() {
    let app = App::start().await;
    let session = new_session(&app).await;
    for path in [format!("/v1/sessions/{session}/messages"), "/v1/messages".to_owned()] {
        let key = if path.contains("sessions") { "k1" } else { "k2" };
        let first = app.post_with_key(&path, key, &json!({"content": "a", "metadata": {"x": 1, "y": 2}})).await;
        assert_eq!(first.status, 202);
        let submitted: MessageSubmitted = from_cloud_event(&app.event().await).unwrap();
        assert_ne!(submitted.message_id, submitted.reply_message_id);
        let again = json!({"metadata": {"y": 2, "x": 1}, "content": "a", "strategy": "enqueue"});
        let other = json!({"content": "b", "metadata": {"x": 1, "y": 2}});
        let check = async |stage: &str| {
            let second = app.post_with_key(&path, key, &again).await;
            assert_eq!((second.status, &second.body), (first.status, &first.body), "{stage}");
            assert_eq!(second.header("location"), first.header("location"), "{stage}");
            let problem = app.post_with_key(&path, key, &other).await.problem(409, "idempotency_key_reused");
            assert_eq!(problem["field"], "Idempotency-Key", "{stage}");
            app.assert_no_event().await;
        };
        check("on the bus").await;
        app.record(&submitted).await;
        check("persisted").await;
        let attempt = app.claim(&submitted).await;
        check("claimed").await;
        app.end(attempt, parlance_shared::task::Status::Completed).await;
        check("ended").await;
    }
    // The key belongs to the user, so another path is another request.
    app.post_with_key("/v1/messages", "k1", &json!({"content": "a", "metadata": {"x": 1, "y": 2}}))
        .await
        .problem(409, "idempotency_key_reused");
    assert_eq!(app.state.metrics.accepted.get(), 2);
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_is_accepted() {
    let app = App::start().await;
    let posts = (0..16).map(|n| {
        let app = &app;
        async move { app.post_with_key("/v1/messages", "k", &json!({"content": format!("{}", n % 2)})).await }
    });
    let answers = futures_util::future::join_all(posts).await;
    let accepted: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert_eq!(accepted.len(), 8);
    assert!(accepted.windows(2).all(|two| two[0].body == two[1].body));
    assert!(answers.iter().all(|answer| answer.status == 202 || answer.status == 409));
    app.event().await;
    app.assert_no_event().await;
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let app = App::start().await;
    for key in ["", "a b", "k".repeat(256).as_str()] {
        let problem =
            app.post_with_key("/v1/messages", key, &json!({"content": "a"})).await.problem(400, "invalid_header");
        assert_eq!(problem["field"], "Idempotency-Key");
    }
    app.assert_no_event().await;
}

#[tokio::test]
async fn messages_are_accepted_while_the_store_is_away() {
    let app = App::start_with(|state| state.limits.glance_timeout = Duration::from_millis(20)).await;
    let path = format!("/v1/sessions/{}/messages", new_session(&app).await);
    for fault in [Fault::Unavailable, Fault::Hangs, Fault::Rejected] {
        app.store.faults.set(fault);
        assert_eq!(app.post(&path, &json!({"content": "a"})).await.status, 202, "{fault:?}");
        let key = format!("{fault:?}");
        assert_eq!(app.post_with_key(&path, &key, &json!({"content": "a"})).await.status, 202, "{fault:?}");
    }
}

#[tokio::test]
async fn a_new_session_costs_no_read() {
    let app = App::start().await;
    assert_eq!(app.post("/v1/messages", &json!({"content": "a"})).await.status, 202);
    assert_eq!(app.store.faults.calls(), 0);
}

#[tokio::test]
async fn a_bus_in_trouble_is_a_503_that_tells_nothing_inner() {
    let app = App::start_with(|state| state.limits.publish_timeout = Duration::from_millis(20)).await;
    for (fault, status, code) in [
        (Fault::Unavailable, 503, "unavailable"),
        (Fault::Hangs, 503, "unavailable"),
        (Fault::Full, 503, "storage_full"),
        (Fault::Rejected, 500, "internal_error"),
    ] {
        app.bus.faults.set(fault);
        let answer = app.post("/v1/messages", &json!({"content": "a"})).await;
        let problem = answer.problem(status, code);
        assert_eq!(answer.header("retry-after").is_empty(), status == 500, "{fault:?}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    assert!(app.state.metrics.render().contains("parlance_http_responses_total{class=\"5xx\"} 4"));
    app.bus.faults.set(Fault::None);
    app.assert_no_event().await;
    assert_eq!(app.post("/v1/messages", &json!({"content": "a"})).await.status, 202);
}
