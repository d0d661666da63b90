//! Reading, awaiting and cancelling tasks.

use std::time::{Duration, Instant};

use http::Request;
use parlance_shared::{
    TaskId, UserId,
    event::{MessageSubmitted, from_cloud_event},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{App, Fault, until};

async fn submit(app: &App) -> (String, MessageSubmitted) {
    let path = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    (path, from_cloud_event(&app.event().await).unwrap())
}

async fn cancel(app: &App, task: &str) -> Value {
    let answer = app.send(Request::post(format!("{task}/cancel")), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_task_is_read_at_every_stage() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    assert_eq!(app.get(&task).await.json()["status"], "queued");
    app.record(&submitted).await;
    let queued = app.get(&task).await.json();
    assert_eq!((&queued["status"], &queued["session_id"]), (&json!("queued"), &json!(submitted.session_id)));

    let mut attempt = app.claim(&submitted).await;
    attempt.say("It is ").await;
    let running = app.get(&task).await.json();
    assert_eq!((&running["status"], &running["attempt"]), (&json!("running"), &json!(1)));
    assert_eq!(running["reply"]["content"], "It is ");

    attempt.say("a place.").await;
    app.end(attempt, Status::Completed).await;
    let completed = app.get(&task).await.json();
    insta::assert_json_snapshot!("completed", completed, {
        ".id" => "[task]", ".session_id" => "[session]", ".message_id" => "[message]", ".reply.message_id" => "[reply]",
        ".timings.accepted_at" => "[time]",
        ".timings.started_at" => "[time]",
        ".timings.first_token_at" => "[time]",
        ".timings.finished_at" => "[time]",
        ".timings.first_token_ms" => "[time]",
        ".timings.total_ms" => "[time]",
        ".timings.tokens_per_second" => "[rate]",
    });
    for key in ["accepted_at", "started_at", "first_token_at", "finished_at", "first_token_ms", "total_ms"] {
        assert!(!completed["timings"][key].is_null(), "{key}");
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_task() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let began = Instant::now();
    let (waited, ()) = tokio::join!(app.get_owned(format!("{task}?wait=30")), async {
        let mut attempt = app.claim(&submitted).await;
        attempt.say("Yes.").await;
        let mut attempt = app.retry(attempt, "provider_stalled").await;
        attempt.say("No.").await;
        app.end(attempt, Status::Failed).await;
    });
    assert!(began.elapsed() < Duration::from_secs(20));
    let failed = waited.json();
    assert_eq!((&failed["status"], &failed["attempt"]), (&json!("failed"), &json!(2)));
    assert_eq!(failed["error"]["code"], "provider_stalled");
    assert_eq!(failed["reply"]["content"], "No.");
    // An ended task is not waited for.
    assert_eq!(app.get(&format!("{task}?wait=55")).await.json(), failed);
}

#[tokio::test]
async fn a_wait_has_an_end_of_its_own() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let mut attempt = app.claim(&submitted).await;
    attempt.say("So far").await;
    let began = Instant::now();
    let running = app.get(&format!("{task}?wait=1")).await.json();
    assert!((1.0..5.0).contains(&began.elapsed().as_secs_f64()));
    assert_eq!((&running["status"], &running["reply"]["content"]), (&json!("running"), &json!("So far")));
}

#[tokio::test]
async fn a_wait_ends_when_the_process_stops() {
    let app = App::start().await;
    let (task, _) = submit(&app).await;
    let began = Instant::now();
    let before = app.store.faults.calls();
    let (waited, ()) = tokio::join!(app.get_owned(format!("{task}?wait=55")), async {
        until("the task was looked up", || app.store.faults.calls() > before).await;
        app.state.lifecycle.begin_stop();
    });
    assert_eq!((waited.status.as_u16(), &waited.json()["status"]), (200, &json!("queued")));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn strange_waits_are_refused() {
    let app = App::start().await;
    let (task, _) = submit(&app).await;
    for wait in ["-1", "56", "99999999999999999999", "", "1.5", "soon"] {
        let problem = app.get(&format!("{task}?wait={wait}")).await.problem(400, "invalid_parameter");
        assert_eq!(
            (&problem["field"], &problem["accepted"]),
            (&json!("wait"), &json!(["a whole number from 0 to 55"]))
        );
    }
    app.get(&format!("{task}?wait=1&wait=1")).await.problem(400, "duplicate_parameter");
    app.get(&format!("{task}?timeout=1")).await.problem(400, "unknown_parameter");
}

#[tokio::test]
async fn other_users_tasks_are_unknown_in_every_way() {
    let app = App::start().await;
    let foreign: TaskId = app.mint.mint(&UserId::new("mallory"));
    let mut problems = Vec::new();
    for task in [foreign.to_string(), "tsk_1".into(), foreign.to_string().replace("tsk", "ses"), "%00".into()] {
        problems.push(app.get(&format!("/v1/tasks/{task}")).await.problem(404, "task_not_found"));
        problems.push(app.get(&format!("/v1/tasks/{task}/stream")).await.problem(404, "task_not_found"));
        let cancel = Request::post(format!("/v1/tasks/{task}/cancel"));
        problems.push(app.send(cancel, "").await.problem(404, "task_not_found"));
    }
    problems.dedup();
    assert_eq!(problems.len(), 1, "answers differ: {problems:?}");
}

#[tokio::test]
async fn a_task_that_waits_is_cancelled_at_once() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let cancelled = cancel(&app, &task).await;
    assert_eq!((&cancelled["status"], &cancelled["attempt"]), (&json!("cancelled"), &json!(0)));
    assert_eq!(cancel(&app, &task).await["status"], "cancelled");
    // The durable record knows where it came from.
    app.record(&submitted).await;
    let read = app.get(&task).await.json();
    assert_eq!((&read["status"], &read["session_id"]), (&json!("cancelled"), &json!(submitted.session_id)));
    assert_eq!(read["message_id"], json!(submitted.message_id));
}

#[tokio::test]
async fn a_task_under_way_is_cancelled_with_what_it_had_said() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let mut attempt = app.claim(&submitted).await;
    attempt.say("Half a").await;
    let told = attempt.claim.cancelled.clone();
    let (cancelled, ended) = tokio::join!(cancel(&app, &task), async {
        told.cancelled().await;
        app.end(attempt, Status::Cancelled).await
    });
    assert_eq!((&cancelled["status"], &cancelled["reply"]["content"]), (&json!("cancelled"), &json!("Half a")));
    assert_eq!(cancelled, json!(ended));
    assert_eq!(cancel(&app, &task).await, cancelled);
}

#[tokio::test]
async fn a_cancel_that_is_not_heard_is_recorded_all_the_same() {
    let app = App::start_with(|state| state.limits.cancel_patience = Duration::from_millis(30)).await;
    let (task, submitted) = submit(&app).await;
    let attempt = app.claim(&submitted).await;
    assert_eq!(cancel(&app, &task).await["status"], "running");
    assert!(attempt.claim.cancelled.is_cancelled());
    app.end(attempt, Status::Cancelled).await;
    assert_eq!(cancel(&app, &task).await["status"], "cancelled");
}

#[tokio::test]
async fn a_store_in_trouble_is_a_503_for_what_only_it_knows() {
    let app = App::start_with(|state| state.limits.read_timeout = Duration::from_millis(50)).await;
    let (task, submitted) = submit(&app).await;
    for fault in [Fault::Unavailable, Fault::Hangs] {
        app.store.faults.set(fault);
        let answer = app.get(&task).await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    // What a worker has is read without it.
    let attempt = app.claim(&submitted).await;
    assert_eq!(app.get(&task).await.json()["status"], "running");
    app.end(attempt, Status::Completed).await;
    assert_eq!(app.get(&task).await.json()["status"], "completed");
}
