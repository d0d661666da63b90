//! Webhooks through three processes: one takes the address, another carries it, a third tells.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use parlance_mock_llm::{Script, WebhookAnswer, WebhookReceiver, expected_reply};
use parlance_shared::{UserId, settings::IdSecret, webhook::WebhookMint};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    push::WORKERS,
    support::{HttpClient, Service, World, eventually},
};

async fn ask(ingest: &HttpClient, content: &str, receiver: &WebhookReceiver) -> String {
    let body = json!({"content": content, "webhook_url": receiver.url()});
    let accepted = ingest.post("/v1/messages", &body).await.expect(202);
    accepted["task_id"].as_str().unwrap().to_owned()
}

/// The ids that were told, once there are so many.
async fn told(receiver: &WebhookReceiver, count: usize) -> HashSet<String> {
    eventually("the deliveries", async || {
        let delivered = receiver.deliveries().into_iter().filter(|one| one.answered == 204);
        Some(delivered.map(|one| one.id).collect::<HashSet<_>>()).filter(|ids| ids.len() >= count)
    })
    .await
}

#[tokio::test]
async fn an_end_is_told_through_every_process_also_after_a_kill() {
    let Some(world) = World::new(Script::default()).await else { return };
    let world = world.with("WEBHOOKS", "on").with("WEBHOOK_ALLOW_PRIVATE", "on");
    let receiver = WebhookReceiver::start().unwrap();
    receiver.answer_next([WebhookAnswer::status(503)]);
    let ingest = world.ingest().await;
    let (_llm, persist) = (world.llm_worker().await, world.persist_worker().await);
    let first = ask(&ingest, "told", &receiver).await;
    assert_eq!(told(&receiver, 1).await, HashSet::from([format!("{first}_1_completed")]));

    let delivery = receiver.deliveries().remove(1);
    assert_eq!(delivery.json()["data"]["reply"]["content"], expected_reply("told", 20));
    let at = DateTime::<Utc>::from_timestamp(delivery.timestamp.parse().unwrap(), 0).unwrap();
    let secret: IdSecret = world.id_secret().parse().unwrap();
    let secret = WebhookMint::new(secret.expose()).of_user(&UserId::new("local"));
    assert_eq!(delivery.signature, secret.sign(&delivery.id, at, &delivery.body));

    // Nobody records or tells for a while.
    persist.kill();
    let second = ask(&ingest, "while it is away", &receiver).await;
    ingest.completed(&second).await;
    let _persist = world.persist_worker().await;
    let ids = told(&receiver, 2).await;
    assert!(ids.contains(&format!("{second}_1_completed")), "{ids:?}");
}

#[tokio::test]
async fn it_is_pushed_like_everything_else() {
    let Some(world) = World::new(Script::default()).await else { return };
    let world = world.with("PUBSUB_DELIVERY", "push").with("WEBHOOKS", "on").with("WEBHOOK_ALLOW_PRIVATE", "on");
    let receiver = WebhookReceiver::start().unwrap();
    receiver.answer_next([WebhookAnswer::status(500)]);
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
    let task = ask(&ingest, "pushed", &receiver).await;
    assert_eq!(told(&receiver, 1).await, HashSet::from([format!("{task}_1_completed")]));
    assert_eq!(receiver.deliveries()[0].answered, 500);
}

#[tokio::test]
async fn services_that_were_not_told_take_none() {
    let Some(world) = World::new(Script::default()).await else { return };
    let ingest = world.ingest().await;
    let answer = ingest.post("/v1/messages", &json!({"content": "x", "webhook_url": "https://example.com/"})).await;
    let problem = answer.expect(400);
    assert_eq!((&problem["code"], &problem["field"]), (&json!("invalid_field"), &json!("webhook_url")));
}
