//! What HTTP itself can get wrong.

use std::time::{Duration, Instant};

use http::{Method, Request};
use parlance_shared::task::Status;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{App, until};

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let app = App::start().await;
    for path in ["/v1", "/v1/", "/v2/messages", "/v1/tasks", "/v1/sessions/", "/favicon.ico", "//", "/v1/tasks/a/b/c"] {
        app.get(path).await.problem(404, "route_not_found");
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/sessions", "GET,HEAD,POST"),
        (Method::PUT, "/v1/sessions/x", "GET,HEAD,PATCH,DELETE"),
        (Method::GET, "/v1/messages", "POST"),
        (Method::GET, "/v1/tasks/x/cancel", "POST"),
        (Method::POST, "/v1/tasks/x/stream", "GET,HEAD"),
        (Method::OPTIONS, "/v1/messages", "POST"),
        (Method::POST, "/health", "GET,HEAD"),
    ] {
        let answer = app.json(method, path, &json!({})).await;
        answer.problem(405, "method_not_allowed");
        let sorted = |list: &str| {
            let mut words: Vec<_> = list.split(',').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(answer.header("allow")), sorted(allowed), "{path}");
    }
}

#[tokio::test]
async fn every_answer_carries_its_call_id_and_safe_headers() {
    let app = App::start().await;
    let mut ids = std::collections::HashSet::new();
    for path in ["/health", "/v1/sessions", "/nowhere", "/v1/tasks/x"] {
        let answer = app.send(Request::get(path).header("x-call-id", "call_mine"), "").await;
        assert!(answer.header("x-call-id").parse::<parlance_shared::CallId>().is_ok(), "{answer:?}");
        assert!(ids.insert(answer.header("x-call-id").to_owned()));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn only_this_machines_names_are_answered() {
    let app = App::start().await;
    for path in ["/health", "/v1/sessions", "/metrics", "/"] {
        let answer = app.send(Request::get(path).header("host", "rebound.example:8080"), "").await;
        answer.problem(403, "host_not_allowed");
        assert_eq!(app.send(Request::get(path).header("host", "LOCALHOST:1"), "").await.status, 200);
    }
    assert!(app.raw(b"GET /health HTTP/1.0\r\n\r\n").await.contains("host_missing"));
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_408() {
    let app = App::start_with(|state| state.limits.body_timeout = Duration::from_millis(100)).await;
    for head in ["content-length: 100\r\n\r\n{\"content\": \"a", "transfer-encoding: chunked\r\n\r\n3\r\n{\"c\r\n"] {
        let request =
            format!("POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}");
        let answer = app.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("request_timeout") && answer.contains("connection: close"), "{answer}");
    }
    app.assert_no_event().await;
}

#[tokio::test]
async fn headers_that_never_end_and_idle_connections_are_closed() {
    let app = App::start_with(|state| state.limits.header_timeout = Duration::from_millis(100)).await;
    let late = app.raw(b"GET /health HTTP/1.1\r\nhost: loc").await;
    assert!(late.starts_with("HTTP/1.1 408") && late.contains("request_timeout"), "{late}");
    assert_eq!(app.raw(b"").await, "");
    let answered = app.raw(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert!(app.raw(b"no http at all\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_a_413_however_it_comes() {
    let app = App::start().await;
    let long = "x".repeat(4 * 1024 * 1024);
    let problem = app.post("/v1/messages", &json!({"content": long})).await.problem(413, "body_too_large");
    assert!(problem["detail"].as_str().unwrap().contains("3145728"));
    // Announced and waiting for leave to send: told at once.
    let began = Instant::now();
    let asking = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 999999999\r\n\r\n";
    assert!(app.raw(asking).await.starts_with("HTTP/1.1 413"));
    assert!(began.elapsed() < Duration::from_secs(1));
    // Not announced.
    let mut chunked = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()).as_bytes());
    assert!(app.raw(&chunked).await.starts_with("HTTP/1.1 413"));
    app.assert_no_event().await;
}

#[tokio::test]
async fn many_requests_on_one_connection_are_answered_in_turn() {
    let app = App::start().await;
    let one = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let last = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answers = app.raw(format!("{one}{one}{last}").as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
}

#[tokio::test]
async fn connections_over_the_bound_wait_their_turn() {
    let app = App::start_with(|state| state.limits.connections = 2).await;
    let hold = TcpStream::connect(app.address).await.unwrap();
    let _hold = TcpStream::connect(app.address).await.unwrap();
    let mut third = TcpStream::connect(app.address).await.unwrap();
    third.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    let early = tokio::time::timeout(Duration::from_millis(100), third.read_exact(&mut answer)).await;
    assert!(early.is_err(), "the third connection was served");
    drop(hold);
    tokio::time::timeout(Duration::from_secs(10), third.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// A client that takes nothing for too long is dropped, and with it its subscription.
#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let app = App::start_with(|state| state.limits.write_stall = Duration::from_millis(100)).await;
    let location = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    let submitted = parlance_shared::event::from_cloud_event(&app.event().await).unwrap();
    let mut attempt = app.claim(&submitted).await;
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let request = format!("GET {location}/stream HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    until("it has subscribed", || app.live_subscribers() == 1).await;
    let piece = "x".repeat(1024 * 1024);
    for _ in 0..16 {
        attempt.say(&piece).await;
    }
    until("it is dropped", || app.live_subscribers() == 0).await;
}

/// A stream is taken from hyper and the connection given back to it: requests before, after and meanwhile are answered.
#[tokio::test]
async fn a_connection_goes_on_after_a_stream() {
    let app = App::start().await;
    let location = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    let submitted = parlance_shared::event::from_cloud_event(&app.event().await).unwrap();
    let mut attempt = app.claim(&submitted).await;
    attempt.say("whole").await;
    app.end(attempt, Status::Completed).await;
    let health = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let stream = format!("GET {location}/stream HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let last = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answers = app.raw(format!("{health}{stream}{health}{stream}{last}").as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 5, "{answers}");
    assert_eq!(answers.matches("\r\n0\r\n\r\nHTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(answers.matches("event: done").count(), 2);

    // Asked to close, it closes; old and odd requests are answered the plain way.
    let closing = format!("GET {location}/stream HTTP/1.1\r\nhost: localhost\r\nconnection: Close\r\n\r\n");
    let answer = app.raw(closing.as_bytes()).await;
    assert!(answer.contains("connection: close") && answer.ends_with("0\r\n\r\n"), "{answer}");
    let old = app.raw(format!("GET {location}/stream HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes()).await;
    assert!(old.contains("event: done") && !old.contains("chunked"), "{old}");
    let head = format!("HEAD {location}/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let head = app.raw(head.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n") && !head.contains("event:"), "{head}");
    until("no subscriber is left", || app.live_subscribers() == 0).await;
}

#[tokio::test]
async fn a_request_sent_during_a_stream_waits_for_its_end() {
    let app = App::start().await;
    let location = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    let submitted = parlance_shared::event::from_cloud_event(&app.event().await).unwrap();
    let mut attempt = app.claim(&submitted).await;
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let stream = format!("GET {location}/stream HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(stream.as_bytes()).await.unwrap();
    until("it has subscribed", || app.live_subscribers() == 1).await;
    for part in ["GET /health HTTP/1.1\r\nhost: loc", "alhost\r\nconnection: close\r\n\r\n"] {
        socket.write_all(part.as_bytes()).await.unwrap();
        attempt.say("word ").await;
    }
    app.end(attempt, Status::Completed).await;
    let mut answers = String::new();
    socket.read_to_string(&mut answers).await.unwrap();
    let (events, health) = answers.split_once("0\r\n\r\n").unwrap();
    assert!(events.contains("event: done"), "{answers}");
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.contains("active_tasks"), "{answers}");
}
