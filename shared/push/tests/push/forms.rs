//! Each form, from fixtures with the exact headers and bodies, becomes the same message; what is no push is refused.

use cloudevents::AttributesReader as _;
use parlance_shared::{
    event::{SessionDeleted, from_cloud_event},
    port::bus::Received,
    replay::Replay,
};
use reqwest::RequestBuilder;

use crate::support::{Build, Running, fixture, problem, with_headers};

const SESSION: &str = "ses_019a9f3c5b7e7c419a532f6d1e0b8a77";

/// Sends it and gives what the handler got.
async fn delivered(worker: &Running, request: RequestBuilder) -> Received {
    let before = worker.seen().len();
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 204, "{:?}", response.text().await);
    let seen = worker.seen();
    assert_eq!(seen.len(), before + 1);
    let (name, received) = seen.last().unwrap().clone();
    assert_eq!(name, "persist-requests");
    received
}

fn is_the_event(received: &Received) {
    assert_eq!(received.event.id(), format!("{SESSION}.deleted"));
    assert_eq!(received.event.subject(), Some(SESSION));
    let fact: SessionDeleted = from_cloud_event(&received.event).unwrap();
    assert_eq!(fact.session_id.to_string(), SESSION);
    assert_eq!(fact.deleted_at.to_rfc3339(), "2026-11-21T07:51:14.812+00:00");
    assert_eq!(received.event.extension("replayedby").unwrap().to_string(), "jürgen@laptop");
    assert_eq!(Replay::of(&received.event), None);
    assert_eq!(received.published_at.to_rfc3339(), "2026-11-21T07:51:14.847+00:00");
    assert_eq!(received.unanswered, 0);
}

#[tokio::test]
async fn wrapped() {
    let worker = Build::default().start().await;
    let json = |name| worker.post("/push").header("content-type", "application/json").body(fixture(name));
    let received = delivered(&worker, json("wrapped.json")).await;
    is_the_event(&received);
    assert_eq!((received.attempt, received.ordering_key.as_str()), (5, SESSION));

    let received = delivered(&worker, json("wrapped_by_emulator.json")).await;
    is_the_event(&received);
    assert_eq!((received.attempt, received.ordering_key.as_str()), (1, ""));
}

#[tokio::test]
async fn unwrapped() {
    let worker = Build::default().start().await;
    for headers in ["unwrapped.headers", "unwrapped_by_emulator.headers"] {
        let request = with_headers(worker.post("/push"), &fixture(headers)).body(fixture("unwrapped.body.json"));
        let received = delivered(&worker, request).await;
        is_the_event(&received);
        assert_eq!((received.attempt, received.ordering_key.as_str()), (1, SESSION), "{headers}");
        let extensions: Vec<_> = received.event.iter_extensions().map(|(name, _)| name).collect();
        assert_eq!(extensions, ["replayedby"]);
    }
}

#[tokio::test]
async fn eventarc_at_the_root() {
    let worker = Build::default().start().await;
    let request = with_headers(worker.post("/"), &fixture("eventarc.headers")).body(fixture("eventarc.body.json"));
    let received = delivered(&worker, request).await;
    is_the_event(&received);
    assert_eq!(received.ordering_key, SESSION);
}

#[tokio::test]
async fn the_subscription_decides_who_gets_it_and_the_topic_where_eventarc_made_the_subscription() {
    let worker = Build::default().start().await;
    let wrapped = fixture("wrapped.json").replace("persist-requests", "persist-replies");
    worker.post("/push").body(wrapped).send().await.unwrap().error_for_status().unwrap();
    let headers = fixture("eventarc.headers").replace("parlance-requests", "parlance-replies");
    let body = fixture("eventarc.body.json");
    with_headers(worker.post("/"), &headers).body(body).send().await.unwrap().error_for_status().unwrap();
    let names: Vec<_> = worker.seen().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["persist-replies", "persist-replies"]);
}

#[tokio::test]
async fn the_last_delivery_before_pubsubs_own_policy_is_given_up() {
    let worker = Build::default().start().await;
    let body = fixture("wrapped.json").replace("\"deliveryAttempt\": 5", "\"deliveryAttempt\": 100");
    assert_eq!(worker.post("/push").body(body).send().await.unwrap().status(), 204);
    assert!(worker.seen().is_empty());
    let kept = worker.letters.kept.lock().unwrap().clone();
    assert_eq!((kept.len(), kept[0].2.code.as_str(), kept[0].1.attempt), (1, "unanswered", 100));
}

#[tokio::test]
async fn what_is_no_push_is_refused_with_the_fields_name() {
    let worker = Build::default().start().await;
    let wrapped = fixture("wrapped.json");
    let no_id = wrapped.replace("messageId", "x").replace("message_id", "y");
    let cases: Vec<(&str, String, &str, &str)> = vec![
        ("no JSON", "hello".into(), "invalid_json", "body"),
        ("nothing", String::new(), "invalid_json", "body"),
        ("more than one", format!("{wrapped}{wrapped}"), "invalid_json", "body"),
        ("cut", wrapped[..wrapped.len() / 2].into(), "invalid_json", "body"),
        ("another object", fixture("unwrapped.body.json"), "missing_field", "message"),
        ("no object", "[1, 2]".into(), "missing_field", "message"),
        ("no id", no_id, "missing_field", "message.messageId"),
        ("attributes", wrapped.replace("\"1.0\"", "1.0"), "invalid_field", "message.attributes.ce-specversion"),
        ("data", wrapped.replace("\"data\": \"ey", "\"data\": \"!!"), "invalid_field", "message.data"),
        ("time", wrapped.replace("2026-11-21T07:51:14.847Z", "now"), "invalid_field", "message.publishTime"),
        ("subscription", wrapped.replace("persist-requests", "other"), "unknown_subscription", "subscription"),
        ("no subscription", wrapped.replace("\"subscription\"", "\"s\""), "unknown_subscription", "subscription"),
    ];
    for (what, body, code, field) in cases {
        let response = worker.post("/push").header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(problem(response).await, (400, code.into(), Some(field.into())), "{what}");
    }
    assert!(worker.seen().is_empty());
    assert!(worker.letters.kept.lock().unwrap().is_empty());
    assert_eq!(worker.metrics.http_responses.get("4xx"), 12);
}

#[tokio::test]
async fn an_unwrapped_push_without_metadata_is_told_which_flag_is_missing() {
    let worker = Build::default().start().await;
    for body in [fixture("unwrapped.body.json"), "any bytes".into()] {
        let response = worker.post("/push").body(body).send().await.unwrap();
        assert_eq!(response.status(), 400);
        assert!(response.text().await.unwrap().contains("--push-no-wrapper-write-metadata"));
    }
}

#[tokio::test]
async fn headers_that_do_not_fit_are_refused_by_name() {
    let worker = Build::default().start().await;
    let unwrapped = fixture("unwrapped.headers");
    let twice = format!("{unwrapped}x-goog-pubsub-subscription-name: projects/p/subscriptions/persist-replies\n");
    let cases = [
        (unwrapped.replace("x-goog-pubsub-message-id", "x-other"), "missing_field", "x-goog-pubsub-message-id"),
        (unwrapped.replace("persist-requests", "x"), "unknown_subscription", "x-goog-pubsub-subscription-name"),
        (twice, "invalid_header", "x-goog-pubsub-subscription-name"),
        (fixture("eventarc.headers").replace("messagePublished", "other"), "invalid_header", "ce-type"),
        (fixture("eventarc.headers").replace("ce-specversion: 1.0\n", ""), "invalid_header", "ce-specversion"),
        (fixture("eventarc.headers").replace("parlance-requests", "other"), "unknown_subscription", "subscription"),
    ];
    for (headers, code, field) in cases {
        let request = with_headers(worker.post("/push"), &headers).body(fixture("eventarc.body.json"));
        let answer = problem(request.send().await.unwrap()).await;
        assert_eq!(answer, (400, code.into(), Some(field.into())), "{headers}");
    }
    assert!(worker.seen().is_empty());
}
