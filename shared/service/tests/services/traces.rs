//! One trace across the three processes: over Pub/Sub, pulled or pushed.

use parlance_mock_llm::Script;
use parlance_mock_otlp::{MockCollector, TakenSpan};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    push::WORKERS,
    support::{HttpClient, Service, World, eventually},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const ALL: [(&str, &str); 8] = [
    ("ingest-api", "POST /v1/messages"),
    ("ingest-api", "send parlance-requests"),
    ("llm-worker", "process llm-worker"),
    ("llm-worker", "chat mock-model"),
    ("llm-worker", "send parlance-replies"),
    ("persist-worker", "process persist-requests"),
    ("persist-worker", "process persist-replies"),
    ("persist-worker", "record parlance.reply.completed.v1"),
];

async fn one_trace(ingest: &Service, collector: &MockCollector) -> [TakenSpan; 8] {
    let body = json!({"content": "hello"});
    let answer = ingest.try_call(Method::POST, "/v1/messages", &[("traceparent", TRACEPARENT)], Some(&body)).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.header("x-trace-id")), (202, TRACE));
    eventually("the spans", async || {
        let spans = collector.trace(TRACE);
        let find =
            |(service, name)| spans.iter().find(|span| (&*span.service, &*span.name) == (service, name)).cloned();
        ALL.map(find).into_iter().collect::<Option<Vec<_>>>()?.try_into().ok()
    })
    .await
}

fn are_tied(spans: &[TakenSpan; 8]) {
    let [request, publish, work, chat, reply, record, record_reply, write] = spans;
    for (child, parent) in [
        (publish, request),
        (work, publish),
        (chat, work),
        (reply, work),
        (record, publish),
        (record_reply, reply),
        (write, record_reply),
    ] {
        assert_eq!(child.parent.as_ref(), Some(&parent.span_id), "{} and {}", child.name, parent.name);
    }
    for worker in [work, record, record_reply] {
        assert_eq!(worker.links[0].span_id, worker.parent.clone().unwrap());
        assert_eq!(worker.resource["gcp.project_id"], request.resource["gcp.project_id"]);
    }
    assert_eq!(publish.attribute("messaging.system"), "gcp_pubsub");
}

#[tokio::test]
async fn a_call_is_one_trace_across_the_processes_and_others_can_read_it_off_the_messages() {
    let Some(world) = World::new(Script::default()).await else { return };
    let collector = MockCollector::start().unwrap();
    let world = world.with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    let (ingest, _llm, _persist) = world.all().await;
    world.pubsub.subscribe("look", "parlance-requests").await;
    let spans = one_trace(&ingest, &collector).await;
    are_tied(&spans);
    let message = eventually("the message", async || world.pubsub.take("look").await.pop()).await;
    let published = format!("00-{TRACE}-{}-01", spans[1].span_id);
    assert_eq!((&message.attributes["traceparent"], &message.attributes["ce-traceparent"]), (&published, &published));
}

#[tokio::test]
async fn through_push_as_well() {
    let Some(world) = World::new(Script::default()).await else { return };
    let collector = MockCollector::start().unwrap();
    let world = world.with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()).with("PUBSUB_DELIVERY", "push");
    let ingest = world.ingest().await;
    let mut workers = Vec::new();
    for (name, subscriptions) in WORKERS {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        for subscription in subscriptions {
            world.pubsub.push_to(subscription, &format!("http://127.0.0.1:{port}/push")).await;
        }
        let mut command = world.command(name);
        command.env("PORT", port.to_string());
        workers.push(Service::start(command).await);
    }
    are_tied(&one_trace(&ingest, &collector).await);
}

#[tokio::test]
async fn each_service_shows_its_metrics_to_a_collector_beside_it_and_all_of_them_are_in_the_list() {
    let Some(world) = World::new(Script::default()).await else { return };
    let mut collectors = Vec::new();
    let mut services = Vec::new();
    for name in ["ingest-api", "llm-worker", "persist-worker"] {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut command = world.command(name);
        command.env("METRICS_PORT", address.port().to_string());
        services.push(Service::start(command).await);
        collectors.push(HttpClient::new(address));
    }
    let accepted = services[0].say(None, "hello").await;
    services[0].completed(&accepted.task).await;
    services[0].recorded(&accepted.session, 2).await;
    let list = include_str!("../../../../docs/metrics.md");
    let expected = ["parlance_accepted_messages", "parlance_llm_requests", "parlance_persist_lag_seconds"];
    for (collector, expected) in collectors.iter().zip(expected) {
        let text = eventually("it has counted", async || {
            let text = collector.get("/metrics").await.body;
            text.contains(&format!("# TYPE {expected} ")).then_some(text)
        })
        .await;
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            assert!(list.contains(&format!("| `{name}{suffix}` | {kind} |")), "{line} is not in docs/metrics.md");
        }
    }
}
