//! One call, one trace: from its POST over the bus to the model and into the record, in spans and in log lines.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use parlance_mock_llm::{Script, WebhookReceiver};
use parlance_mock_otlp::{Link, MockCollector, Mood, SpanKind, TakenSpan};
use serde_json::{Value, json};

use crate::support::{HttpClient, Server, World, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE}-{CALLER}-0{}", u8::from(sampled))
}

fn world() -> World {
    World::new(Script::default())
}

fn exporting(collector: &MockCollector) -> World {
    world().with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
}

/// Calls as part of the trace.
fn caller(server: &Server, sampled: bool) -> HttpClient {
    HttpClient::with_headers(server.address, &[("traceparent", &traceparent(sampled)), ("tracestate", "vendor=1")])
}

/// The spans of the trace, once these have arrived.
async fn spans(collector: &MockCollector, trace: &str, names: &[&str]) -> Vec<TakenSpan> {
    eventually("the spans", async || {
        let spans = collector.trace(trace);
        names.iter().all(|name| spans.iter().any(|span| span.name == *name)).then_some(spans)
    })
    .await
}

#[track_caller]
fn named<'a>(spans: &'a [TakenSpan], name: &str) -> &'a TakenSpan {
    let mut found = spans.iter().filter(|span| span.name == name);
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        _ => panic!("not one span called {name}: {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>()),
    }
}

#[track_caller]
fn is_child(child: &TakenSpan, parent: &TakenSpan) {
    assert_eq!(child.parent.as_ref(), Some(&parent.span_id), "{} is no child of {}", child.name, parent.name);
    assert!(child.start_nanos >= parent.start_nanos && child.end_nanos >= child.start_nanos, "{child:?}");
}

fn to(span: &TakenSpan) -> Link {
    Link { trace_id: span.trace_id.clone(), span_id: span.span_id.clone() }
}

const ALL: [&str; 8] = [
    "POST /v1/messages",
    "send parlance-requests",
    "process llm-worker",
    "chat mock-model",
    "end turn",
    "send parlance-replies",
    "process persist-requests",
    "process persist-replies",
];

#[tokio::test]
async fn a_call_is_one_trace_from_the_request_to_the_record() {
    let collector = MockCollector::start().unwrap();
    let world = exporting(&collector).with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let server = world.start().await;
    let answer = caller(&server, true).post("/v1/messages", &json!({"content": "zebrafinch"})).await;
    let accepted = answer.expect(202);
    assert_eq!(answer.header("x-trace-id"), TRACE);
    let spans = spans(&collector, TRACE, &ALL).await;
    let of = |name: &str| named(&spans, name);

    let [request, publish, work, chat, end, reply, record, record_reply] = ALL.map(of);
    assert_eq!((request.parent.as_deref(), request.kind), (Some(CALLER), SpanKind::Server));
    is_child(publish, request);
    is_child(work, publish);
    is_child(record, publish);
    is_child(chat, work);
    is_child(end, work);
    is_child(reply, work);
    is_child(record_reply, reply);
    is_child(of("record parlance.message.submitted.v1"), record);
    is_child(of("record parlance.reply.completed.v1"), record_reply);
    for (worker, published) in [(work, publish), (record, publish), (record_reply, reply)] {
        assert_eq!((worker.kind, published.kind), (SpanKind::Consumer, SpanKind::Producer));
        assert_eq!(worker.links, [to(published)]);
    }

    let task = accepted["task_id"].as_str().unwrap();
    for span in [request, work, end, record, record_reply] {
        assert_eq!(span.attribute("parlance.task_id"), task, "{span:?}");
    }
    let call = answer.header("x-call-id");
    for span in [request, work, record, record_reply] {
        assert_eq!(span.attribute("parlance.call_id"), call, "{span:?}");
    }
    let http = ["http.request.method", "http.route", "http.response.status_code"].map(|name| request.attribute(name));
    assert_eq!(http, ["POST", "/v1/messages", "202"]);
    assert_eq!(work.attribute("messaging.destination.subscription.name"), "llm-worker");
    assert_eq!(work.attribute("messaging.gcp_pubsub.message.delivery_attempt"), "1");
    assert_eq!(work.attribute("parlance.outcome"), "done");
    assert_eq!(publish.attribute("messaging.destination.name"), "parlance-requests");
    assert_eq!((chat.kind, chat.events.as_slice()), (SpanKind::Client, ["first token".to_owned()].as_slice()));
    let asked = ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.usage.output_tokens"];
    assert_eq!(asked.map(|name| chat.attribute(name)), ["chat", "openai-compatible", "mock-model", "20"]);
    assert!(spans.iter().all(|span| span.error.is_none() && span.state == "vendor=1"), "{spans:?}");
    assert_eq!(
        (request.service.as_str(), request.resource["deployment.environment.name"].as_str()),
        ("parlance", "test")
    );
    assert!(!format!("{:?}", collector.spans()).contains("zebrafinch"), "what was said is in a span");
    assert!(server.metric("parlance_trace_spans_total{outcome=\"exported\"}").await >= 10.0);
}

#[tokio::test]
async fn a_webhook_and_a_summary_belong_to_the_trace_too_and_others_are_told_only_if_that_is_wanted() {
    for told in ["on", "off"] {
        let (collector, receiver) = (MockCollector::start().unwrap(), WebhookReceiver::start().unwrap());
        let world = exporting(&collector).with("WEBHOOK_ALLOW_PRIVATE", "on").with("HEADINGS", "on");
        let world = world.with("WEBHOOK_TRACEPARENT", told);
        let server = world.start().await;
        let body = json!({"content": "hello", "webhook_url": receiver.url()});
        caller(&server, true).post("/v1/messages", &body).await.expect(202);
        let names = ["send parlance-memory", "process llm-memory", "process webhooks", "POST"];
        let spans = spans(&collector, TRACE, &names).await;
        is_child(named(&spans, "process llm-memory"), named(&spans, "send parlance-memory"));
        let (work, delivery) = (named(&spans, "process webhooks"), named(&spans, "POST"));
        is_child(delivery, work);
        assert_eq!(delivery.attribute("http.response.status_code"), "204");
        assert!(!format!("{delivery:?}").contains("token"), "the address is told");
        let headers = [receiver.deliveries()[0].traceparent.clone()];
        let expected = if told == "on" { format!("00-{TRACE}-{}-01", delivery.span_id) } else { String::new() };
        assert_eq!(headers, [expected]);
    }
}

#[tokio::test]
async fn what_fails_says_so_and_each_try_has_a_span() {
    let collector = MockCollector::start().unwrap();
    let world = exporting(&collector).with("TURN_MAX_ATTEMPTS", "2");
    let server = world.start().await;
    caller(&server, true).post("/v1/messages", &json!({"content": "no [[mock fault=http_500]]"})).await.expect(202);
    let spans = eventually("the spans", async || {
        let spans = collector.trace(TRACE);
        spans.iter().any(|span| span.name == "process llm-worker").then_some(spans)
    })
    .await;
    let tries: Vec<_> = spans.iter().filter(|span| span.name == "chat mock-model").collect();
    assert_eq!(tries.iter().map(|span| span.attribute("parlance.attempt")).collect::<Vec<_>>(), ["1", "2"]);
    let work = named(&spans, "process llm-worker");
    for span in tries {
        is_child(span, work);
        assert_eq!(span.error.as_deref(), Some(span.attribute("error.type")));
        assert_eq!(span.attribute("error.type"), "provider_unavailable");
    }
    assert_eq!(work.attribute("parlance.outcome"), "dead_letter");
    assert!(work.error.is_some());
}

#[tokio::test]
async fn a_redrive_begins_a_trace_of_its_own_linked_to_the_first() {
    let collector = MockCollector::start().unwrap();
    let world = exporting(&collector).with("TURN_MAX_ATTEMPTS", "1");
    let server = world.start().await;
    let failing = json!({"content": "once [[mock fault=http_400]]"});
    caller(&server, true).post("/v1/messages", &failing).await.expect(202);
    let first = spans(&collector, TRACE, &["process llm-worker", "send parlance-requests"]).await;
    eventually("the dead letter", async || {
        let listed = world.operate("dead-letters list").await;
        listed.stdout.contains("llm-worker").then_some(())
    })
    .await;
    assert_eq!(world.operate("dead-letters redrive --all --yes").await.code, Some(0));
    let again = eventually("the second work", async || {
        collector.spans().into_iter().find(|span| span.name == "process llm-worker" && span.trace_id != TRACE)
    })
    .await;
    assert_eq!(again.parent, None);
    assert_eq!(again.links, [to(named(&first, "send parlance-requests"))]);
}

#[tokio::test]
async fn a_caller_or_the_share_decides_what_is_recorded() {
    let collector = MockCollector::start().unwrap();
    // (sampler, share, the caller wants it, whether it is recorded)
    for (sampler, share, wanted, recorded) in [
        ("parentbased_traceidratio", "0", true, true),
        ("parentbased_traceidratio", "1", false, false),
        ("traceidratio", "1", false, true),
        ("traceidratio", "0", true, false),
    ] {
        let world = exporting(&collector).with("OTEL_TRACES_SAMPLER", sampler).with("OTEL_TRACES_SAMPLER_ARG", share);
        let server = world.start().await;
        let before = collector.trace(TRACE).len();
        let accepted = caller(&server, wanted).say(None, "hello").await;
        server.ended(&accepted.task).await;
        server.get("/health").await.expect(200);
        server.stop().await;
        let taken = collector.trace(TRACE);
        assert_eq!(taken.len() > before, recorded, "{sampler} {share}: {taken:?}");
    }
    let probes = collector.spans().into_iter().filter(|span| span.attribute("http.route").starts_with("/health"));
    assert_eq!(probes.count(), 0);
}

/// Every line of JSON.
fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

const LOGGED_TRACE: &str = "logging.googleapis.com/trace";
const LOGGED_SPAN: &str = "logging.googleapis.com/spanId";
const LOGGED_SAMPLED: &str = "logging.googleapis.com/trace_sampled";

async fn logged(export: Option<&MockCollector>) -> (Vec<Value>, String) {
    let world = export.map_or_else(world, exporting);
    let world = world
        .with("ENVIRONMENT", "production")
        .with("DB_TYPE", "sqlite")
        .with("HOST", "127.0.0.1")
        .with("AUTH_API_KEYS", "on")
        .with("LOG_LEVEL", "debug")
        .with("GOOGLE_CLOUD_PROJECT", "my-project");
    assert_eq!(world.operate("migrate init").await.code, Some(0));
    let key = format!("Bearer {}", world.key().await);
    let server = world.start().await;
    let headers = [("authorization", key.as_str()), ("traceparent", &traceparent(true))];
    let accepted = HttpClient::with_headers(server.address, &headers).say(None, "hello").await;
    eventually("the answers to the bus are logged", async || {
        let done = server.process.stdout.all().iter().filter(|line| line.contains("\"message\":\"done\"")).count();
        (done >= 3).then_some(())
    })
    .await;
    // A call of another trace, which nobody gave it.
    HttpClient::with_headers(server.address, &headers[..1]).task(&accepted.task).await;
    (lines(&server.stop().await.stdout), accepted.call)
}

#[tokio::test]
async fn log_lines_name_the_trace_whether_spans_are_exported_or_not() {
    let collector = MockCollector::start().unwrap();
    for export in [None, Some(&collector)] {
        let (lines, call) = logged(export).await;
        let of_call: Vec<_> = lines.iter().filter(|line| line.to_string().contains(&call)).collect();
        for message in ["call answered", "turn started", "turn ended", "done"] {
            assert!(of_call.iter().any(|line| line["message"] == message), "{message}: {of_call:?}");
        }
        let name = format!("projects/my-project/traces/{TRACE}");
        for line in &of_call {
            assert_eq!((&line[LOGGED_TRACE], &line[LOGGED_SAMPLED]), (&json!(name), &json!(true)), "{line}");
            let span = line[LOGGED_SPAN].as_str().unwrap();
            match export {
                // The one that the caller has: there is no nearer one.
                None => assert_eq!(span, CALLER),
                Some(collector) => {
                    let spans = collector.trace(TRACE);
                    assert!(spans.iter().any(|known| known.span_id == span), "{line} of no span");
                }
            }
        }
        let other = lines.iter().rfind(|line| line["message"] == "call answered").unwrap();
        let named = other[LOGGED_TRACE].as_str().unwrap();
        assert!(named.starts_with("projects/my-project/traces/") && named != name, "{other}");
        let ready = lines.iter().find(|line| line["message"] == "ready").unwrap();
        assert_eq!(ready.get(LOGGED_TRACE), None, "the process belongs to no trace");
    }
}

/// OpenTelemetry's own SDKs send to port 4318 of this machine when nobody tells them where.
#[tokio::test]
async fn nobody_is_connected_to_unless_that_is_asked_for() {
    // Whoever has the port already has it for something else: then the rest of the test has to do.
    let usual = TcpListener::bind("127.0.0.1:4318").ok();
    let world = world().with("OTEL_TRACES_SAMPLER", "always_on").with("OTEL_SERVICE_NAME", "x");
    let server = world.start().await;
    let answer = caller(&server, true).post("/v1/messages", &json!({"content": "hello"})).await;
    assert_eq!(answer.header("x-trace-id"), TRACE);
    server.ended(answer.expect(202)["task_id"].as_str().unwrap()).await;
    assert!(!server.get("/metrics").await.body.contains("parlance_trace_spans"), "spans were made");
    server.stop().await;
    if let Some(usual) = usual {
        usual.set_nonblocking(true).unwrap();
        assert_eq!(usual.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_slows_and_fails_nothing_and_a_stop_is_in_time() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hanging = MockCollector::start().unwrap();
    hanging.behave(Mood::Hangs);
    let broken = MockCollector::start().unwrap();
    broken.behave(Mood::Answers(400));
    let endpoints = [format!("http://{nobody}"), hanging.endpoint(), broken.endpoint()];
    for (n, endpoint) in endpoints.iter().enumerate() {
        let world = world().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        let server = world.start().await;
        let began = Instant::now();
        for _ in 0..20 {
            let accepted = caller(&server, true).say(None, "hello").await;
            assert_eq!(server.ended(&accepted.task).await["status"], "completed");
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        if n == 2 {
            eventually("what was refused is counted", async || {
                let failed = server.metric("parlance_trace_spans_total{outcome=\"failed\"}").await;
                (failed >= 100.0).then_some(())
            })
            .await;
        }
        let began = Instant::now();
        let ended = server.stop().await;
        assert!(began.elapsed() < Duration::from_secs(10), "{endpoint}: {:?}", began.elapsed());
        assert!(n < 2 || ended.stderr.matches("spans are not taken by the collector").count() == 1, "{}", ended.stderr);
    }
}

#[tokio::test]
async fn what_the_queue_can_not_hold_is_dropped_and_counted_and_the_rest_arrives_later() {
    let collector = MockCollector::start().unwrap();
    collector.behave(Mood::Hangs);
    let world = exporting(&collector).with("OTEL_EXPORTER_OTLP_TIMEOUT", "2000");
    let server = world.start().await;
    let client = caller(&server, true);
    eventually("spans are dropped", async || {
        for _ in 0..200 {
            client.get("/v1/sessions").await.expect(200);
        }
        (server.metric("parlance_trace_spans_total{outcome=\"dropped\"}").await > 0.0).then_some(())
    })
    .await;
    collector.behave(Mood::Well);
    eventually("the rest arrives", async || (collector.trace(TRACE).len() >= 2_000).then_some(())).await;
}

#[tokio::test]
async fn a_stop_sends_what_has_ended() {
    let collector = MockCollector::start().unwrap();
    let world = exporting(&collector).with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20quokka");
    let server = world.start().await;
    caller(&server, true).get("/v1/sessions").await.expect(200);
    let ended = server.stop().await;
    assert_eq!(named(&collector.trace(TRACE), "GET /v1/sessions").attribute("http.response.status_code"), "200");
    assert_eq!(collector.authorization().as_deref(), Some("Bearer quokka"));
    assert!(!format!("{ended:?}").contains("quokka"));
}
