//! Google's emulator pushes to us. It sends no token, no ordering key in the wrapped form, and counts no deliveries; what
//! it proves is the forms themselves, and what each status does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cloudevents::AttributesReader as _;
use parlance_shared::{
    Lifecycle, SessionId, UserId,
    binary_mode::to_message,
    event::{SessionDeleted, from_cloud_event, to_cloud_event},
    id::PrefixedId as _,
    port::bus::{Outcome, Reason},
};
use reqwest::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Build, Running, client, eventually};

struct Emulator {
    host: String,
    project: String,
    client: Client,
}

impl Emulator {
    fn find() -> Option<Self> {
        const NAME: &str = "PARLANCE_TEST_PUBSUB_EMULATOR_HOST";
        let Ok(host) = std::env::var(NAME) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{NAME} is not set");
            println!("not run: needs Google's Pub/Sub emulator (cargo xtask services up)");
            return None;
        };
        Some(Self { host, project: format!("push-{}", Uuid::now_v7().simple()), client: client() })
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) {
        let url = format!("http://{}/v1/projects/{}/{path}", self.host, self.project);
        let response = self.client.request(method, url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {:?}", response.text().await);
    }

    /// A topic, and a subscription that pushes to the worker.
    async fn set_up(&self, worker: &Running, no_wrapper: Option<Value>) {
        self.call(reqwest::Method::PUT, "topics/parlance-requests", json!({})).await;
        let mut push = json!({"pushEndpoint": worker.url("/push")});
        if let Some(no_wrapper) = no_wrapper {
            push["noWrapper"] = no_wrapper;
        }
        let subscription = json!({
            "topic": format!("projects/{}/topics/parlance-requests", self.project),
            "pushConfig": push,
            "enableMessageOrdering": true,
        });
        self.call(reqwest::Method::PUT, "subscriptions/persist-requests", subscription).await;
    }

    async fn publish(&self, fact: &SessionDeleted) {
        let event = to_cloud_event(fact, "ingest-api", None).unwrap();
        let (attributes, data) = to_message(&event).unwrap();
        let message = json!({
            "attributes": attributes, "data": STANDARD.encode(data), "orderingKey": fact.session_id.to_string(),
        });
        self.call(reqwest::Method::POST, "topics/parlance-requests:publish", json!({"messages": [message]})).await;
    }

    async fn tear_down(&self) {
        self.call(reqwest::Method::DELETE, "subscriptions/persist-requests", json!({})).await;
    }
}

fn fact() -> SessionDeleted {
    SessionDeleted {
        session_id: SessionId::from_uuid(Uuid::now_v7()),
        user_id: UserId::new("local"),
        deleted_at: chrono::DateTime::from_timestamp_millis(1_795_000_000_123).unwrap(),
    }
}

fn ids(worker: &Running) -> Vec<String> {
    worker.seen().iter().map(|(_, received)| received.event.id().to_owned()).collect()
}

#[tokio::test]
async fn a_503_is_delivered_again_and_a_204_is_not() {
    let Some(emulator) = Emulator::find() else { return };
    let calls = Arc::new(AtomicUsize::new(0));
    let answer: Answer = Arc::new({
        let calls = calls.clone();
        move |_| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move {
                let reason = Reason::new("scripted", "The first delivery.");
                if first { Outcome::Retry { after: None, reason } } else { Outcome::Done }
            })
        }
    });
    let worker = Build { answer, ..Build::default() }.start().await;
    emulator.set_up(&worker, None).await;
    let (first, second) = (fact(), fact());
    emulator.publish(&first).await;
    eventually("the redelivery", || (worker.seen().len() >= 2).then_some(())).await;
    emulator.publish(&second).await;
    eventually("the second message", || (worker.seen().len() >= 3).then_some(())).await;
    // Redelivery after a 503 took less; there is nothing else to wait for.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let id = |fact: &SessionDeleted| format!("{}.deleted", fact.session_id);
    assert_eq!(ids(&worker), [id(&first), id(&first), id(&second)]);
    let (name, received) = worker.seen()[0].clone();
    assert_eq!((name, received.attempt), ("persist-requests", 1));
    assert_eq!(from_cloud_event::<SessionDeleted>(&received.event).unwrap(), first);
    emulator.tear_down().await;
}

#[tokio::test]
async fn unwrapped_with_metadata_arrives_and_without_it_is_refused() {
    let Some(emulator) = Emulator::find() else { return };
    let worker = Build::default().start().await;
    emulator.set_up(&worker, Some(json!({"writeMetadata": true}))).await;
    let fact = fact();
    emulator.publish(&fact).await;
    let received = eventually("the message", || worker.seen().pop()).await.1;
    assert_eq!(from_cloud_event::<SessionDeleted>(&received.event).unwrap(), fact);
    assert_eq!(received.ordering_key, fact.session_id.to_string());
    emulator.tear_down().await;

    let Some(emulator) = Emulator::find() else { return };
    emulator.set_up(&worker, Some(json!({}))).await;
    emulator.publish(&fact).await;
    eventually("the refusal", || (worker.metrics.http_responses.get("4xx") > 0).then_some(())).await;
    assert_eq!(worker.seen().len(), 1);
    emulator.tear_down().await;
}

#[tokio::test]
async fn a_message_taken_by_a_process_that_dies_comes_to_the_next_one() {
    let Some(emulator) = Emulator::find() else { return };
    // The port stays the same: the next process takes the listener over.
    let lifecycle = Lifecycle::new();
    let seen = Arc::new(Mutex::new(false));
    let answer: Answer = Arc::new({
        let seen = seen.clone();
        move |_| {
            let first = !std::mem::replace(&mut *seen.lock().unwrap(), true);
            Box::pin(async move {
                if first {
                    std::future::pending::<()>().await;
                }
                Outcome::Done
            })
        }
    });
    let worker = Build { answer, lifecycle: lifecycle.clone(), ..Build::default() }.start().await;
    emulator.set_up(&worker, None).await;
    let fact = fact();
    emulator.publish(&fact).await;
    eventually("the first delivery", || seen.lock().unwrap().then_some(())).await;
    lifecycle.stop(Duration::ZERO, Duration::from_secs(1)).await;
    worker.serving.await.unwrap();
    let next = Build::default().start_at(worker.address).await;
    eventually("the redelivery", || (!next.seen().is_empty()).then_some(())).await;
    emulator.tear_down().await;
}
