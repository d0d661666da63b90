//! Webhooks: told how a task ended, at least once under one id, by nobody but us, and never inside the network unasked.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use parlance_mock_llm::{Script, WebhookAnswer, WebhookDelivery, WebhookReceiver, expected_reply};
use parlance_shared::{Clock, webhook::WebhookSecret};
use serde_json::{Value, json};

use crate::support::{Accepted, HttpClient, Server, World, eventually};

fn world() -> World {
    World::new(Script::default()).with("WEBHOOK_ALLOW_PRIVATE", "on")
}

async fn ask(server: &Server, content: &str, url: &str) -> Accepted {
    let answer = server.post("/v1/messages", &json!({"content": content, "webhook_url": url})).await;
    let accepted = answer.expect(202);
    let text = |name: &str| accepted[name].as_str().unwrap().to_owned();
    Accepted { task: text("task_id"), session: text("session_id"), call: answer.header("x-call-id").to_owned() }
}

async fn deliveries(receiver: &WebhookReceiver, count: usize) -> Vec<WebhookDelivery> {
    eventually("the deliveries", async || Some(receiver.deliveries()).filter(|all| all.len() >= count)).await
}

async fn counted(server: &Server, outcome: &str, count: f64) {
    let sample = format!("parlance_webhooks_total{{outcome=\"{outcome}\"}}");
    eventually("the outcome", async || (server.metric(&sample).await >= count).then_some(())).await;
}

/// As a receiver does with the secret that the operator gave it.
#[track_caller]
fn verify(secret: &str, delivery: &WebhookDelivery) -> Value {
    let at = DateTime::<Utc>::from_timestamp(delivery.timestamp.parse().unwrap(), 0).unwrap();
    assert!((Clock::system().now() - at).num_seconds().abs() < 300, "{delivery:?}");
    let secret = WebhookSecret::parse(secret).unwrap();
    assert_eq!(delivery.signature, secret.sign(&delivery.id, at, &delivery.body));
    delivery.json()
}

#[tokio::test]
async fn each_end_is_told_as_the_task_shows_it_and_signed() {
    let (world, receiver) = (world(), WebhookReceiver::start().unwrap());
    let server = world.start().await;
    let secret = world.operate_json("webhooks secret --user local").await;
    let secret = secret["secret"].as_str().unwrap();

    let completed = ask(&server, "hello", &receiver.url()).await;
    let told = verify(secret, &deliveries(&receiver, 1).await[0]);
    assert_eq!(told["type"], "task.completed");
    assert_eq!(told["data"]["reply"]["content"], expected_reply("hello", 20));
    assert_eq!(told["data"], server.task(&completed.task).await);

    let failed = ask(&server, "no [[mock fault=http_400]]", &receiver.url()).await;
    let told = verify(secret, &deliveries(&receiver, 2).await[1]);
    assert_eq!((&told["type"], &told["data"]["id"]), (&json!("task.failed"), &json!(failed.task)));
    assert_eq!(told["data"]["error"]["code"], "provider_rejected");

    let running = ask(&server, "slow [[mock tokens=500 delay_ms=50]]", &receiver.url()).await;
    server.stream(&running.task, None).await.until("delta").await;
    // It waits behind the running one, and ends without an attempt.
    let path = format!("/v1/sessions/{}/messages", running.session);
    let waiting = server.post(&path, &json!({"content": "next", "webhook_url": receiver.url()})).await.expect(202);
    let waiting = waiting["task_id"].as_str().unwrap();
    server.cancel(waiting).await;
    server.cancel(&running.task).await;
    let all = deliveries(&receiver, 4).await;
    let told: Vec<_> = all[2..].iter().map(|delivery| verify(secret, delivery)).collect();
    assert!(told.iter().all(|told| told["type"] == "task.cancelled"), "{told:?}");
    let ids: HashSet<_> = told.iter().map(|told| told["data"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, HashSet::from([running.task.as_str(), waiting]));

    // A message without one tells nobody, and what the model is asked knows nothing of it.
    server.ended(&server.say(None, "quiet").await.task).await;
    counted(&server, "delivered", 4.0).await;
    assert_eq!(receiver.deliveries().len(), 4);
    let asked = format!("{:?}", world.mock.requests());
    assert!(!asked.contains("hook"), "{asked}");
    let log = server.stop().await.stderr;
    assert!(log.contains("webhook delivered"), "{log}");
    assert!(!log.contains("in-the-url") && !log.contains(secret), "{log}");
    assert_eq!(world.operate_json("webhooks secret --user local").await["secret"], secret, "without a server");
    assert_ne!(world.operate_json("webhooks secret --user other").await["secret"], secret);
    assert!(world.operate("webhooks secret --key plk_none").await.failed_with_a_sentence().contains("no key"));
    assert_eq!(world.operate("webhooks secret").await.code, Some(2));
}

#[tokio::test]
async fn a_retry_is_the_same_delivery_and_a_busy_receiver_says_when() {
    let (world, receiver) = (world(), WebhookReceiver::start().unwrap());
    receiver.answer_next([
        WebhookAnswer::status(500),
        WebhookAnswer { retry_after: Some("2"), body_bytes: 1 << 20, ..WebhookAnswer::status(503) },
    ]);
    let server = world.start().await;
    ask(&server, "hello", &receiver.url()).await;
    let all = deliveries(&receiver, 3).await;
    counted(&server, "delivered", 1.0).await;
    assert_eq!(all.iter().map(|one| one.answered).collect::<Vec<_>>(), [500, 503, 204]);
    assert_eq!(all.iter().map(|one| (&one.id, &one.body)).collect::<HashSet<_>>().len(), 1);
    assert!(all[2].at - all[1].at > Duration::from_millis(1_900));
    // Each is signed for its own time.
    assert_ne!(all[0].signature, all[2].signature);
}

#[tokio::test]
async fn what_could_not_be_told_is_redriven_once_the_receiver_is_back() {
    let world = world().with("WEBHOOK_RETRY_BUDGET", "1s");
    let receiver = WebhookReceiver::start().unwrap();
    let (address, url) = (receiver.address(), receiver.url());
    drop(receiver);
    let server = world.start().await;
    let accepted = ask(&server, "hello", &url).await;
    let letter = world.letters("--subscription webhooks", 1).await.remove(0);
    assert_eq!(letter["reason"]["code"], "webhook_undeliverable", "{letter}");
    assert_eq!(letter["task_id"], accepted.task);
    assert!(!letter["reason"].to_string().contains("in-the-url"), "{letter}");
    // The record has long had it.
    assert_eq!(server.messages(&accepted.session).await.len(), 2);

    let receiver = WebhookReceiver::start_at(address).unwrap();
    let done = world.operate_json("dead-letters redrive --subscription webhooks --all --yes").await;
    assert_eq!(done["redriven"], 1, "{done}");
    let told = deliveries(&receiver, 1).await.remove(0);
    assert_eq!(told.id, format!("{}_1_completed", accepted.task));
    world.letters("", 0).await;

    receiver.answer(WebhookAnswer::status(410));
    ask(&server, "gone", &url).await;
    let letter = world.letters("--subscription webhooks", 1).await.remove(0);
    assert_eq!((&letter["reason"]["code"], &letter["attempts"]), (&json!("webhook_gone"), &json!(1)));
}

#[tokio::test]
async fn a_kill_between_the_end_and_the_delivery_loses_nothing() {
    let (world, receiver) = (world(), WebhookReceiver::start().unwrap());
    let mut ids = HashSet::new();
    for round in 0..6_u64 {
        // Killed while the receiver has not answered yet, or before it was called at all.
        receiver.answer(WebhookAnswer { delay: Duration::from_secs(5), ..WebhookAnswer::default() });
        let server = world.start().await;
        let accepted = ask(&server, &format!("round {round}"), &receiver.url()).await;
        server.ended(&accepted.task).await;
        tokio::time::sleep(Duration::from_millis(round * 4)).await;
        server.kill();
        receiver.answer(WebhookAnswer::default());
        let server = world.start().await;
        let id = format!("{}_1_completed", accepted.task);
        counted(&server, "delivered", 1.0).await;
        assert!(receiver.deliveries().iter().any(|one| one.id == id), "round {round}");
        ids.insert(id);
        server.stop().await;
    }
    let told: HashSet<_> = receiver.deliveries().into_iter().map(|one| one.id).collect();
    assert_eq!(told, ids);
}

#[tokio::test]
async fn a_failed_task_that_is_answered_anew_is_told_again_under_another_id() {
    let (world, receiver) = (world(), WebhookReceiver::start().unwrap());
    let server = world.start().await;
    let accepted = ask(&server, "up again [[mock fault=http_400 times=1]]", &receiver.url()).await;
    deliveries(&receiver, 1).await;
    world.letters("", 1).await;
    world.operate_json("dead-letters redrive --all --yes").await;
    let all = deliveries(&receiver, 2).await;
    let ids: Vec<_> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, [format!("{}_1_failed", accepted.task), format!("{}_2_completed", accepted.task)]);
}

#[tokio::test]
async fn a_replayed_request_tells_the_same_target_under_the_same_id() {
    let (world, receiver) = (world(), WebhookReceiver::start().unwrap());
    let server = world.start().await;
    let accepted = ask(&server, "hello", &receiver.url()).await;
    counted(&server, "delivered", 1.0).await;
    world.operate_json(&format!("replay --task {} --yes", accepted.task)).await;
    server.ended(&server.say(Some(&accepted.session), "after it").await.task).await;
    let told: HashSet<_> = receiver.deliveries().into_iter().map(|one| (one.id, one.body)).collect();
    assert_eq!(told.len(), 1);
}

#[tokio::test]
async fn targets_inside_the_network_are_refused_unless_they_are_allowed() {
    let world = World::new(Script::default());
    let receiver = WebhookReceiver::start().unwrap();
    let server = world.start().await;
    let port = receiver.address().port();
    for url in [
        receiver.url(),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/computeMetadata/v1/".to_owned(),
        "https://metadata.google.internal/".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "http://example.com/".to_owned(),
        "https://user:password@example.com/".to_owned(),
        "hook".to_owned(),
    ] {
        let answer = server.post("/v1/messages", &json!({"content": "x", "webhook_url": url})).await;
        let problem = answer.problem(400, "invalid_field");
        assert_eq!(problem["field"], "webhook_url", "{problem}");
        assert!(!problem.to_string().contains("password@"), "{problem}");
    }
    let wrong = server.post("/v1/messages", &json!({"content": "x", "webhook_url": 7})).await;
    assert_eq!(wrong.status, 400);
    assert!(receiver.deliveries().is_empty() && world.mock.requests().is_empty());
    server.stop().await;

    let off = World::new(Script::default()).with("WEBHOOKS", "off").start().await;
    let answer = off.post("/v1/messages", &json!({"content": "x", "webhook_url": "https://example.com/"})).await;
    assert!(answer.problem(400, "invalid_field")["detail"].as_str().unwrap().contains("WEBHOOKS"));
}

#[tokio::test]
async fn one_idempotency_key_is_one_webhook() {
    let (world, receiver) = (world(), WebhookReceiver::start().unwrap());
    let server = world.start().await;
    let body = json!({"content": "hello", "webhook_url": receiver.url()});
    let first = server.post_with_key("/v1/messages", &body, "k1").await.expect(202);
    assert_eq!(server.post_with_key("/v1/messages", &body, "k1").await.expect(202), first);
    let other = json!({"content": "hello", "webhook_url": format!("{}&other", receiver.url())});
    server.post_with_key("/v1/messages", &other, "k1").await.problem(409, "idempotency_key_reused");
    counted(&server, "delivered", 1.0).await;
    assert_eq!(receiver.deliveries().len(), 1);
}

#[tokio::test]
async fn a_keys_own_webhook_is_told_unless_the_message_names_another_and_both_are_signed_for_the_key() {
    let world = world().with("AUTH_API_KEYS", "on");
    let (of_key, of_message) = (WebhookReceiver::start().unwrap(), WebhookReceiver::start().unwrap());
    let server = world.start().await;
    let made = world.operate_json(&format!("keys create --name a --user alice --webhook-url {}", of_key.url())).await;
    let client = HttpClient::with_key(server.address, made["key"].as_str().unwrap());
    let id = made["id"].as_str().unwrap();
    let shown = world.operate_json(&format!("webhooks secret --key {id}")).await;
    let secret = shown["secret"].as_str().unwrap();
    assert_ne!(world.operate_json("webhooks secret --user alice").await["secret"], secret);

    let plain = client.say(None, "by the key").await;
    let told = verify(secret, &deliveries(&of_key, 1).await[0]);
    assert_eq!(told["data"]["id"], plain.task);
    // Every protocol is told of.
    let chat = json!({"model": "mock-model", "messages": [{"role": "user", "content": "chat"}]});
    client.post("/v1/chat/completions", &chat).await.expect(200);
    assert_eq!(verify(secret, &deliveries(&of_key, 2).await[1])["type"], "task.completed");

    let body = json!({"content": "by the message", "webhook_url": of_message.url()});
    let named = client.post("/v1/messages", &body).await.expect(202);
    let told = verify(secret, &deliveries(&of_message, 1).await[0]);
    assert_eq!(told["data"]["id"], named["task_id"]);
    assert_eq!(of_key.deliveries().len(), 2);
}
