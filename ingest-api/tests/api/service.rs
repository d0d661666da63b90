//! Health, readiness, metrics.

use serde_json::json;

use crate::support::{App, Fault};

#[tokio::test]
async fn health_says_what_runs_and_answers_when_all_else_is_down() {
    let app = App::start().await;
    let health = app.get("/health").await;
    insta::assert_json_snapshot!("health", health.json(), {".timestamp" => "[time]"});
    app.store.faults.set(Fault::Hangs);
    app.bus.faults.set(Fault::Hangs);
    app.database.close().await;
    assert_eq!(app.get("/health").await.json()["status"], "ok");
    assert_eq!(app.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn health_counts_tasks_under_way() {
    let app = App::start().await;
    app.post("/v1/messages", &json!({"content": "a"})).await;
    let submitted = parlance_shared::event::from_cloud_event(&app.event().await).unwrap();
    let _attempt = app.claim(&submitted).await;
    assert_eq!(app.get("/health").await.json()["active_tasks"], 1);
}

#[tokio::test]
async fn ready_means_that_the_store_answers_and_nothing_stops() {
    let app = App::start().await;
    assert_eq!(app.get("/health/ready").await.json(), json!({"status": "ready", "degraded": []}));
    for fault in [Fault::Unavailable, Fault::Hangs] {
        app.store.faults.set(fault);
        let answer = app.get("/health/ready").await;
        assert!(!answer.problem(503, "not_ready").to_string().contains("secret"));
        assert_eq!(answer.header("retry-after"), "1");
    }
}

/// Taken out of service, an instance could accept nothing at all.
#[tokio::test]
async fn a_bus_of_its_own_keeps_the_process_ready_while_the_store_is_away() {
    let app = App::start_with(|state| state.accepting_needs_store = false).await;
    app.store.faults.set(Fault::Unavailable);
    let answer = app.get("/health/ready").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": "ready", "degraded": ["store"]})));
    assert_eq!(app.post("/v1/messages", &json!({"content": "a"})).await.status, 202);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let app = App::start().await;
    app.post("/v1/messages", &json!({"content": "a"})).await;
    app.post("/v1/messages", &json!({"content": ""})).await;
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "parlance_accepted_messages_total 1",
        "parlance_accept_latency_seconds_count 1",
        "parlance_http_responses_total{class=\"2xx\"} 1",
        "parlance_http_responses_total{class=\"4xx\"} 1",
        "parlance_live_subscribers 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|other| other == line), "no {line:?} in {text}");
    }
}

#[tokio::test]
async fn the_index_leads_everywhere() {
    let app = App::start().await;
    let index = app.get("/").await.json();
    insta::assert_json_snapshot!("index", index);
    for link in index["links"].as_object().unwrap().values() {
        let status = app.get(link.as_str().unwrap()).await.status;
        assert!(status == 200 || status == 405, "{link} gives {status}");
    }
}
