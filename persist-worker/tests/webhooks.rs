//! Webhooks, from the recorded end of a task to a receiver on a port.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::{collections::HashSet, time::Duration};

use parlance_mock_llm::{WebhookAnswer, WebhookDelivery, WebhookReceiver};
use parlance_shared::{
    SessionId,
    content::Webhook,
    event::{DomainEvent as _, MessageSubmitted, SessionDeleted, WebhookDue, to_cloud_event},
    port::{bus::BusAdmin as _, store::Store as _},
    replay::Replay,
    task::Status,
    topology,
    webhook::WebhookMint,
};
use support::{World, eventually};

/// Publishes a message and its end, which a webhook is to be told of.
async fn ended(world: &World, url: &str) -> MessageSubmitted {
    let session: SessionId = world.mint.mint(&world.user);
    let message = world.message(session, "question");
    world.publish(topology::REQUESTS, &message).await;
    let mut reply = world.reply(&message, "answer");
    reply.webhook = Some(Webhook { url: url.to_owned(), key_id: None });
    world.publish(topology::REPLIES, &reply).await;
    message
}

async fn delivered(receiver: &WebhookReceiver, count: usize) -> Vec<WebhookDelivery> {
    eventually("the deliveries", async || Some(receiver.deliveries()).filter(|all| all.len() >= count)).await
}

async fn settled(world: &World, outcome: &str, count: u64) {
    eventually("the outcome", async || (world.metrics.webhooks.get(outcome) == count).then_some(())).await;
}

#[tokio::test]
async fn an_end_is_told_once_it_is_on_record_and_signed() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().unwrap());
    let running = world.start();
    let message = ended(&world, &receiver.url()).await;
    let delivery = delivered(&receiver, 1).await.remove(0);
    let stored = world.stored(&message, Status::Completed).await;
    let body = delivery.json();
    assert_eq!((&body["type"], &body["data"]), (&"task.completed".into(), &serde_json::to_value(stored).unwrap()));
    assert_eq!(body["timestamp"], body["data"]["timings"]["finished_at"]);
    assert_eq!(
        (delivery.path.as_str(), delivery.content_type.as_str()),
        ("POST /hook?token=in-the-url", "application/json")
    );
    assert_eq!(delivery.id, format!("{}_1_completed", message.task_id));
    let at = chrono::DateTime::from_timestamp(delivery.timestamp.parse().unwrap(), 0).unwrap();
    let secret = WebhookMint::new(&[7; 32]).of_user(&world.user);
    assert_eq!(delivery.signature, secret.sign(&delivery.id, at, &delivery.body));
    settled(&world, "delivered", 1).await;
    assert_eq!(receiver.deliveries().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_id() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().unwrap());
    let elsewhere = WebhookReceiver::start().unwrap();
    let redirect = WebhookAnswer { location: Some(elsewhere.url()), ..WebhookAnswer::status(307) };
    receiver.answer_next([WebhookAnswer::status(500), redirect]);
    let running = world.start();
    ended(&world, &receiver.url()).await;
    settled(&world, "delivered", 1).await;
    let all = receiver.deliveries();
    assert_eq!(all.iter().map(|one| one.answered).collect::<Vec<_>>(), [500, 307, 204]);
    assert_eq!(all.iter().map(|one| (&one.id, &one.body)).collect::<HashSet<_>>().len(), 1);
    assert!(all[2].at - all[1].at > Duration::from_millis(850), "without a wait");
    assert_eq!(world.metrics.webhooks.get("retried"), 2);
    assert!(elsewhere.deliveries().is_empty(), "a redirect was followed");
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_says_when_it_would_have_it() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().unwrap());
    receiver.answer_next([WebhookAnswer { retry_after: Some("3"), ..WebhookAnswer::status(429) }]);
    let running = world.start();
    ended(&world, &receiver.url()).await;
    let all = delivered(&receiver, 2).await;
    let waited = all[1].at - all[0].at;
    assert!(waited > Duration::from_millis(2_900), "{waited:?}");
    running.stop().await;
}

#[tokio::test]
async fn nobody_there_any_more_is_told_nothing_more() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().unwrap());
    receiver.answer_next([WebhookAnswer::status(410)]);
    let running = world.start();
    ended(&world, &receiver.url()).await;
    assert_eq!(world.dead_letter(topology::WEBHOOKS).await.reason.code, "webhook_gone");
    assert_eq!((receiver.deliveries().len(), world.metrics.webhooks.get("gone")), (1, 1));
    running.stop().await;
}

#[tokio::test]
async fn what_can_not_be_delivered_is_a_dead_letter_that_can_be_sent_again() {
    let mut world = World::new().await;
    world.webhooks.retry_budget = Duration::from_millis(1_500);
    let receiver = WebhookReceiver::start().unwrap();
    receiver.answer(WebhookAnswer::status(500));
    let running = world.start();
    let message = ended(&world, &receiver.url()).await;
    let letter = world.dead_letter(topology::WEBHOOKS).await;
    assert_eq!(letter.reason.code, "webhook_undeliverable");
    assert!(letter.reason.message.contains("500") && !letter.reason.message.contains("in-the-url"), "{letter:?}");
    assert!(receiver.deliveries().len() >= 2);
    // The record knew nothing of it.
    world.stored(&message, Status::Completed).await;

    let before = receiver.deliveries().len();
    receiver.answer(WebhookAnswer::default());
    let mut look = world.bus.dead_letters(topology::WEBHOOKS).await.unwrap();
    let found = look.next_page().await.unwrap();
    let replay = Replay::new("olga", &world.clock, false);
    assert!(look.redrive(&found[0].id, &replay).await.unwrap());
    let all = delivered(&receiver, before + 1).await;
    assert_eq!(all.iter().map(|one| &one.id).collect::<HashSet<_>>().len(), 1);
    settled(&world, "delivered", 1).await;
    running.stop().await;
}

#[tokio::test]
async fn private_targets_are_refused_unless_they_are_allowed() {
    let mut world = World::new().await;
    world.webhooks.allow_private = false;
    let receiver = WebhookReceiver::start().unwrap();
    let running = world.start();
    let https = receiver.url().replace("http://", "https://");
    let by_name = https.replace("127.0.0.1", "localhost");
    for url in [receiver.url(), https, by_name] {
        ended(&world, &url).await;
    }
    settled(&world, "refused", 3).await;
    assert_eq!(world.dead_letter(topology::WEBHOOKS).await.reason.code, "webhook_refused");
    assert!(receiver.deliveries().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn what_was_deleted_is_told_to_nobody() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().unwrap());
    let session: SessionId = world.mint.mint(&world.user);
    let message = world.message(session, "question");
    let reply = world.reply(&message, "answer");
    world.store.record_message_submitted(&message).await.unwrap();
    world.store.record_reply_completed(&reply).await.unwrap();
    let deleted = SessionDeleted { session_id: session, user_id: world.user.clone(), deleted_at: world.clock.now() };
    world.store.record_session_deleted(&deleted).await.unwrap();
    let due = WebhookDue {
        user_id: world.user.clone(),
        session_id: session,
        webhook: Webhook { url: receiver.url(), key_id: None },
        task: reply.task,
    };
    world.publish_event(topology::WEBHOOK_DUE, &due.ordering_key(), to_cloud_event(&due, "test", None).unwrap()).await;
    let running = world.start();
    settled(&world, "erased", 1).await;
    assert!(receiver.deliveries().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_target_that_hangs_takes_little_and_others_are_told() {
    let world = World::new().await;
    let (hangs, works) =
        (WebhookReceiver::start_at(([127, 0, 0, 2], 0).into()).unwrap(), WebhookReceiver::start().unwrap());
    hangs.answer(WebhookAnswer { delay: Duration::from_secs(600), ..WebhookAnswer::default() });
    let running = world.start();
    for _ in 0..60 {
        ended(&world, &hangs.url()).await;
    }
    for _ in 0..20 {
        ended(&world, &works.url()).await;
    }
    settled(&world, "delivered", 20).await;
    assert!(works.most_under_way() <= 8 && hangs.most_under_way() <= 8);
    running.abort().await;
}

#[tokio::test]
async fn a_worker_that_can_not_sign_keeps_what_is_due() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().unwrap());
    let running = world.start_unsigned();
    ended(&world, &receiver.url()).await;
    assert_eq!(world.dead_letter(topology::WEBHOOKS).await.reason.code, "webhooks_off");
    assert!(receiver.deliveries().is_empty());
    running.stop().await;
}
