//! `/metrics`, on `PORT` for those who may, on `METRICS_PORT` for whoever is on this machine, and the list in the
//! documentation.

use std::{collections::BTreeMap, net::SocketAddr};

use parlance_mock_llm::Script;
use reqwest::Method;
use serde_json::json;

use crate::support::{HttpClient, World, eventually, run};

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Name and type of each metric.
fn shown(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let name = |name: &str, kind: &str| if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
    types.map(|(metric, kind)| (name(metric, kind), kind.to_owned())).collect()
}

fn documented() -> BTreeMap<String, String> {
    let list = include_str!("../../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    list.map(|line| {
        let mut columns = line.split(" | ");
        (columns.next().unwrap().trim_end_matches('`').to_owned(), columns.next().unwrap().to_owned())
    })
    .collect()
}

#[tokio::test]
async fn what_a_working_process_counts_is_in_the_list_and_the_list_is_true() {
    let world = World::new(Script::default()).with("TURN_MAX_ATTEMPTS", "1");
    let server = world.start().await;
    server.ended(&server.say(None, "hello").await.task).await;
    server.ended(&server.say(None, "no [[mock fault=http_400]]").await.task).await;
    let text = eventually("it is counted", async || {
        let text = server.get("/metrics").await.body;
        let recorded = server.metric("parlance_persist_lag_seconds_count").await >= 4.0;
        (recorded && text.contains("parlance_dead_letters_total{subscription=\"llm-worker\"} 1")).then_some(text)
    })
    .await;
    let documented = documented();
    for (name, kind) in shown(&text) {
        assert_eq!(documented.get(&name), Some(&kind), "{name} in docs/metrics.md");
    }
    for sample in [
        r#"parlance_http_requests_total{method="POST",route="/v1/messages",class="2xx"} 2"#,
        r#"parlance_http_request_duration_seconds_count{route="/v1/messages"} 2"#,
        r#"parlance_tasks_ended_total{status="completed"} 1"#,
        r#"parlance_tasks_failed_total{code="provider_rejected"} 1"#,
        r#"parlance_llm_requests_total{provider="openai-compatible"} 2"#,
        r#"parlance_llm_errors_total{provider="openai-compatible",code="provider_rejected"} 1"#,
        r#"parlance_llm_first_token_seconds_count{provider="openai-compatible"} 1"#,
        r#"parlance_time_to_first_token_seconds_count 1"#,
        r#"parlance_bus_oldest_waiting_seconds{subscription="llm-worker"} 0"#,
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
}

#[tokio::test]
async fn a_collector_beside_the_process_needs_no_key() {
    let port = free_port();
    let world = World::new(Script::default()).with("AUTH_API_KEYS", "on").with("METRICS_PORT", &port.to_string());
    let server = world.start_known().await;
    server.ended(&server.say(None, "hello").await.task).await;
    let stranger = HttpClient::new(server.address);
    stranger.get("/metrics").await.problem(401, "unauthenticated");
    let collector = HttpClient::new(SocketAddr::from(([127, 0, 0, 1], port)));
    let metrics = collector.get("/metrics").await;
    assert_eq!(
        (metrics.status, metrics.header("content-type")),
        (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(
        metrics.body.contains("parlance_accepted_messages_total 1") && metrics.body.ends_with("# EOF\n"),
        "{metrics:?}"
    );
    // And nothing else is there.
    for path in ["/", "/health", "/v1/sessions", "/metrics/"] {
        assert_eq!(collector.get(path).await.status, 404, "{path}");
    }
    assert_eq!(collector.try_call(Method::POST, "/metrics", Some(&json!({}))).await.unwrap().status, 405);
    server.stop().await;
    assert!(collector.try_call(Method::GET, "/metrics", None).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_or_the_other_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = run(&[], &[("DATA_DIR", data), ("METRICS_PORT", &port)]).await;
    assert!(refused.failed_with_a_sentence().starts_with("METRICS_PORT: can't listen on 127.0.0.1:"), "{refused:?}");
    let both = run(&[], &[("DATA_DIR", data), ("PORT", "8123"), ("METRICS_PORT", "8123")]).await;
    assert!(both.refused(2).contains("METRICS_PORT: 8123 is also PORT"), "{both:?}");
}
