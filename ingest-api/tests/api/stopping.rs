//! A soft stop lets replies finish, a hard one hands clients over; both end.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use ingest_api::router;
use parlance_shared::{
    event::{MessageSubmitted, from_cloud_event},
    task::Status,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower::ServiceExt as _;

use crate::support::App;

async fn submit(app: &App) -> (String, MessageSubmitted) {
    let path = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    (path, from_cloud_event(&app.event().await).unwrap())
}

#[tokio::test]
async fn a_soft_stop_waits_for_replies_and_sends_off_the_rest() {
    let app = App::start().await;
    let (_, submitted) = submit(&app).await;
    let (waiting, _) = submit(&app).await;
    let task = format!("/v1/tasks/{}", submitted.task_id);
    let mut attempt = app.claim(&submitted).await;
    let mut running = app.stream(&format!("{task}/stream")).await;
    let mut queued = app.stream(&format!("{waiting}/stream")).await;
    let mut idle = TcpStream::connect(app.address).await.unwrap();
    idle.write_all(b"HEAD /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(idle.read_u8().await.unwrap());
    }
    assert_eq!(running.next().await.unwrap().event, "status");
    assert_eq!(queued.any().await.unwrap().retry, "1000");
    assert_eq!(queued.next().await.unwrap().id, "0-0");

    app.state.lifecycle.begin_stop();
    let farewell = queued.any().await.unwrap();
    assert_eq!((farewell.retry.as_str(), queued.any().await), ("1000", None));
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "an idle connection stays open");

    attempt.say("The last word").await;
    app.end(attempt, Status::Completed).await;
    let events = running.rest().await;
    assert_eq!(events.last().unwrap().event, "done");
    let serving = app.serving.lock().unwrap().take().unwrap();
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("connections stay open").unwrap();
    assert!(!app.state.lifecycle.aborting().is_cancelled());
    assert!(TcpStream::connect(app.address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_hard_stop_ends_streams_with_a_hint_to_come_back() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let mut attempt = app.claim(&submitted).await;
    let mut events = app.stream(&format!("{task}/stream")).await;
    attempt.say("Half").await;
    while events.next().await.unwrap().event != "delta" {}
    let (stopped, last) =
        tokio::join!(app.state.lifecycle.stop(Duration::from_millis(50), Duration::from_secs(5)), async {
            (events.any().await.unwrap(), events.any().await)
        });
    assert!(stopped);
    assert_eq!((last.0.retry.as_str(), last.1), ("1000", None));
}

/// Also a client that takes nothing can't hold up the end.
#[tokio::test]
async fn a_hard_stop_does_not_wait_for_a_client_that_takes_nothing() {
    let app = App::start().await;
    let (task, submitted) = submit(&app).await;
    let mut attempt = app.claim(&submitted).await;
    let stuck = app.stream(&format!("{task}/stream")).await;
    let piece = "x".repeat(1024 * 1024);
    for _ in 0..16 {
        attempt.say(&piece).await;
    }
    drop(attempt);
    // Time for the connection's buffers to fill, which nothing shows. A stop that comes too early only finds a client that is
    // not stuck yet, and the test still holds.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    assert!(app.state.lifecycle.stop(Duration::from_millis(50), Duration::from_secs(8)).await);
    assert!(began.elapsed() < Duration::from_secs(6));
    drop(stuck);
}

#[tokio::test]
async fn a_stopping_process_is_not_ready() {
    let app = App::start().await;
    app.state.lifecycle.begin_stop();
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
        let answer = router(app.state.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, problem) = ask("/health/ready").await;
    assert_eq!((status, &problem["code"]), (503, &json!("not_ready")));
    let (status, health) = ask("/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("stopping")));
}
