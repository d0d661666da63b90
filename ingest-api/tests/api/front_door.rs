//! What is let in: rates by user and by address, streams and tasks at once, load, origins; and what every answer carries.

use std::time::Duration;

use http::{Method, Request};
use ingest_api::FrontDoor;
use parlance_conformance::wait::eventually;
use parlance_shared::{
    event::{MessageSubmitted, from_cloud_event},
    settings::{Bound, Environment, FrontDoorSettings, Rate},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{Answer, App, Fault, until};

const MINUTE: Duration = Duration::from_secs(60);

fn at(requests: u32, per: Duration) -> Bound<Rate> {
    Bound::At(Rate { requests, per })
}

async fn app(settings: FrontDoorSettings) -> App {
    App::start_with(|state| state.door = FrontDoor::new(&settings, Environment::Development, false)).await
}

async fn get_from(app: &App, forwarded_for: &str) -> Answer {
    app.send(Request::get("/v1/sessions").header("x-forwarded-for", forwarded_for), "").await
}

/// Whole seconds to wait, as a client reads them.
fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{answer:?}"))
}

#[tokio::test]
async fn a_user_who_calls_too_often_is_told_when_to_come_back() {
    let app = app(FrontDoorSettings { rate_per_user: at(3, MINUTE), ..Default::default() }).await;
    for left in [2, 1, 0] {
        let path = if left == 1 { "/v1/tasks/unknown" } else { "/v1/sessions" };
        let answer = app.get(path).await;
        assert_eq!(answer.status, if left == 1 { 404 } else { 200 }, "also an answer that finds nothing counts");
        assert_eq!(answer.header("ratelimit-policy"), r#""user";q=3;w=60"#);
        assert!(answer.header("ratelimit").starts_with(&format!(r#""user";r={left};t="#)), "{answer:?}");
    }
    let refused = app.post("/v1/messages", &json!({"content": "a"})).await;
    let problem = refused.problem(429, "rate_limited");
    assert_eq!((&problem["limit"], &problem["window_seconds"]), (&json!(3), &json!(60)));
    let seconds = retry_after(&refused);
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("ratelimit"), format!(r#""user";r=0;t={seconds}"#), "both name the same moment");
    assert_eq!(refused.header("ratelimit-policy"), r#""user";q=3;w=60"#);
    for _ in 0..5 {
        let health = app.get("/health").await;
        assert_eq!((health.status.as_u16(), health.header("ratelimit")), (200, ""), "probes are not counted");
        assert_eq!(app.get("/health/ready").await.status, 200);
    }
    app.assert_no_event().await;
    assert_eq!(app.state.metrics.calls_refused.get("rate_limited"), 1);
}

#[tokio::test]
async fn whoever_waits_as_long_as_they_are_told_is_served() {
    let app = app(FrontDoorSettings { rate_per_user: at(2, Duration::from_secs(1)), ..Default::default() }).await;
    let refused = loop {
        let answer = app.get("/v1/sessions").await;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.problem(429, "rate_limited");
    tokio::time::sleep(Duration::from_secs(retry_after(&refused))).await;
    assert_eq!(app.get("/v1/sessions").await.status, 200);
}

#[tokio::test]
async fn without_identity_nothing_is_limited_unless_it_is_set() {
    let app = App::start().await;
    for _ in 0..50 {
        let answer = app.get("/v1/sessions").await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, ""));
    }
    let identified = App::start_with(|state| {
        state.door = FrontDoor::new(&FrontDoorSettings::default(), Environment::Production, true);
    })
    .await;
    let answer = identified.get("/v1/sessions").await;
    assert_eq!(answer.header("ratelimit-policy"), r#""user";q=600;w=60, "ip";q=1200;w=60"#);
}

#[tokio::test]
async fn each_address_has_its_own_due_and_spoofed_ones_are_not_believed() {
    let settings = FrontDoorSettings { rate_per_ip: at(2, MINUTE), ..Default::default() };
    let behind_one = app(FrontDoorSettings { trusted_proxies: 1, ..settings.clone() }).await;
    for spoofed in ["9.9.9.1, 1.1.1.1", "9.9.9.2, 1.1.1.1"] {
        assert_eq!(get_from(&behind_one, spoofed).await.status, 200);
    }
    let refused = get_from(&behind_one, "9.9.9.3, 1.1.1.1").await;
    refused.problem(429, "rate_limited");
    assert!(refused.header("ratelimit").starts_with(r#""ip";r=0;"#), "{refused:?}");
    assert_eq!(get_from(&behind_one, "1.1.1.1, 2.2.2.2").await.status, 200, "another address");
    for host in ["2001:db8::1", "2001:db8::2"] {
        assert_eq!(get_from(&behind_one, host).await.status, 200);
    }
    get_from(&behind_one, "2001:db8:0:0:ffff::3").await.problem(429, "rate_limited");
    assert_eq!(get_from(&behind_one, "2001:db8:0:1::1").await.status, 200, "another network");

    let behind_two = app(FrontDoorSettings { trusted_proxies: 2, ..settings.clone() }).await;
    for hosting in ["5.5.5.1", "5.5.5.2"] {
        assert_eq!(get_from(&behind_two, &format!("9.9.9.9, 1.1.1.1, {hosting}")).await.status, 200);
    }
    get_from(&behind_two, "8.8.8.8, 1.1.1.1, 5.5.5.3").await.problem(429, "rate_limited");

    let direct = app(settings).await;
    assert_eq!(get_from(&direct, "1.1.1.1").await.status, 200);
    assert_eq!(get_from(&direct, "garbage \u{7f}".trim_end_matches('\u{7f}')).await.status, 200);
    get_from(&direct, "3.3.3.3").await.problem(429, "rate_limited");
}

#[tokio::test]
async fn streams_and_long_polls_at_once_are_bounded_and_come_back() {
    let app = app(FrontDoorSettings { streams_per_user: Bound::At(2), ..Default::default() }).await;
    let location = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
    let first = app.stream(&format!("{location}/stream")).await;
    let _second = app.stream(&format!("{location}/stream")).await;
    let refused = app.get(&format!("{location}/stream")).await;
    assert_eq!(refused.problem(429, "too_many_streams")["limit"], 2);
    assert!(retry_after(&refused) >= 1);
    app.get(&format!("{location}?wait=5")).await.problem(429, "too_many_streams");
    assert_eq!(app.get(&location).await.status, 200, "a look is no wait");
    assert_eq!(app.post(&format!("{location}/cancel"), &json!({})).await.status, 200, "nor is a cancel");
    drop(first);
    until("the stream is gone", || app.live_subscribers() <= 1).await;
    assert_eq!(app.get(&format!("{location}?wait=1")).await.status, 200);
}

#[tokio::test]
async fn tasks_that_have_not_ended_are_bounded() {
    let app = app(FrontDoorSettings { tasks_per_user: Bound::At(2), ..Default::default() }).await;
    let post = || app.post("/v1/messages", &MESSAGE);
    assert_eq!(app.post_with_key("/v1/messages", "one", &MESSAGE).await.status, 202);
    assert_eq!(post().await.status, 202);
    let refused = post().await;
    assert_eq!(refused.problem(429, "too_many_tasks")["limit"], 2);
    assert!(retry_after(&refused) >= 1);
    assert_eq!(app.post_with_key("/v1/messages", "one", &MESSAGE).await.status, 202, "the same task again");

    // What ends makes room, before the record hears of it; whoever is told by the record alone counts as well.
    let submitted: MessageSubmitted = from_cloud_event(&app.event().await).unwrap();
    let attempt = app.claim(&submitted).await;
    post().await.problem(429, "too_many_tasks");
    app.end(attempt, Status::Completed).await;
    assert_eq!(post().await.status, 202);
    post().await.problem(429, "too_many_tasks");
    app.persist().await;

    // Nobody is kept out by a record that does not answer.
    app.store.faults.set(Fault::Unavailable);
    assert_eq!(post().await.status, 202);
}

static MESSAGE: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| json!({"content": "a"}));

/// The runtime's one thread is kept busy, as by more work than it can do.
#[tokio::test]
async fn under_load_new_work_is_turned_away_and_health_is_served() {
    let app = app(FrontDoorSettings { queue_delay: Bound::At(Duration::from_millis(2)), ..Default::default() }).await;
    let location = app.post("/v1/messages", &MESSAGE).await.header("location").to_owned();
    let busy = app.state.lifecycle.spawn(async {
        loop {
            std::thread::sleep(Duration::from_millis(15));
            tokio::task::yield_now().await;
        }
    });
    let refused = loop {
        let answer = app.post("/v1/messages", &MESSAGE).await;
        if answer.status != 202 {
            break answer;
        }
    };
    refused.problem(503, "overloaded");
    assert_eq!(retry_after(&refused), 1);
    assert_eq!(app.get("/health").await.status, 200);
    assert!(app.state.metrics.calls_refused.get("overloaded") >= 1);
    busy.abort();
    // The load is over when nobody is turned away any more, ten times in a row.
    let mut accepted = 0;
    eventually("all is accepted again", async || {
        let answer = app.post("/v1/messages", &MESSAGE).await;
        accepted = if answer.status == 202 { accepted + 1 } else { 0 };
        (accepted == 10).then_some(())
    })
    .await;
    assert_eq!(app.get(&location).await.status, 200);
}

async fn preflight(app: &App, origin: &str, headers: &str) -> Answer {
    let request = Request::options("/v1/messages")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", headers);
    app.send(request, "").await
}

#[tokio::test]
async fn listed_origins_may_call_and_read() {
    let listed = FrontDoorSettings {
        cors_origins: Some(vec!["https://app.example.com".to_owned()]),
        rate_per_user: at(1, MINUTE),
        ..Default::default()
    };
    let app = App::start_with(|state| state.door = FrontDoor::new(&listed, Environment::Production, true)).await;
    let origin = "https://app.example.com";
    let answer = preflight(&app, origin, "authorization,x-stainless-lang,x-new").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,x-stainless-lang,x-new");
    assert!(answer.header("access-control-allow-methods").contains("PATCH"));
    assert_eq!(answer.header("access-control-max-age"), "7200");
    assert!(answer.header("vary").contains("origin"));
    preflight(&app, "https://app.example.com.evil.example", "x").await.problem(403, "origin_not_allowed");

    let read = app.send(Request::get("/v1/sessions").header("origin", origin), "").await;
    assert_eq!((read.status.as_u16(), read.header("access-control-allow-origin")), (200, origin));
    for exposed in ["x-call-id", "ratelimit", "retry-after", "location", "x-vercel-ai-ui-message-stream"] {
        assert!(read.header("access-control-expose-headers").contains(exposed), "{exposed}");
    }
    let refused = app.send(Request::get("/v1/sessions").header("origin", origin), "").await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), origin, "a page can read why");
    let foreign = app.send(Request::get("/health").header("origin", "https://evil.example"), "").await;
    assert_eq!((foreign.status.as_u16(), foreign.header("access-control-allow-origin")), (200, ""));
    assert_eq!(foreign.header("vary"), "origin");
    assert_eq!(app.get("/health").await.header("vary"), "", "no page asked");
}

/// Whoever develops on their own machine visits other pages as well.
#[tokio::test]
async fn without_credentials_only_this_machines_pages_may_act() {
    let app = App::start().await;
    let post = async |origin: &str| {
        let request = Request::post("/v1/sessions").header("origin", origin).header("content-type", "application/json");
        app.send(request, "{}").await
    };
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        post(origin).await.problem(403, "origin_not_allowed");
        preflight(&app, origin, "content-type").await.problem(403, "origin_not_allowed");
    }
    app.assert_no_event().await;
    let page = "http://localhost:5173";
    let made = post(page).await;
    assert_eq!((made.status.as_u16(), made.header("access-control-allow-origin")), (201, page));
    assert_eq!(preflight(&app, page, "content-type").await.status, 204);
    let private = Request::options("/v1/messages")
        .header("origin", page)
        .header("access-control-request-method", "POST")
        .header("access-control-request-private-network", "true");
    assert_eq!(app.send(private, "").await.header("access-control-allow-private-network"), "true");
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let app = App::start_with(|state| {
        state.door = FrontDoor::new(&FrontDoorSettings::default(), Environment::Production, true);
    })
    .await;
    let check = |headers: &dyn Fn(&str) -> String, what: &str| {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("server", ""),
        ] {
            assert_eq!(headers(name), value, "{name} of {what}");
        }
        assert!(headers("content-security-policy").contains("frame-ancestors 'none'"), "{what}");
        assert!(headers("strict-transport-security").starts_with("max-age="), "{what}");
    };
    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/v1/sessions"),
        (Method::GET, "/nowhere"),
        (Method::PUT, "/v1/sessions"),
        (Method::POST, "/v1/messages"),
    ] {
        let answer = app.send(Request::builder().method(method).uri(path), "").await;
        check(&|name| answer.header(name).to_owned(), path);
    }
    let bare = app.raw(b"no http at all\r\n\r\n").await;
    let head = |name: &str| {
        let line = bare.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    };
    check(&head, "what is no HTTP");
    assert!(App::start().await.get("/health").await.header("strict-transport-security").is_empty());
}

/// Also what never comes to a handler is answered by a problem.
#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let app = App::start().await;
    let long = "x".repeat(20_000);
    let many = "a: b\r\n".repeat(150);
    for (request, status, code) in [
        ("no http at all\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /health HTTP/1.1\r\nhost : localhost\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n".to_owned(), 400, "malformed_request"),
        (format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), 431, "headers_too_large"),
    ] {
        let answer = app.raw(request.as_bytes()).await;
        let shown: String = request.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains(code), "{shown}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    for request in ["TRACE /health HTTP/1.1\r\nhost: localhost", "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost"] {
        let answer = app.raw(format!("{request}\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET"), "{answer}");
    }
}
