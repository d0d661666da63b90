//! Workers that are sent their messages over HTTP.

use parlance_mock_llm::{MOCK_HEADING, Script, expected_reply};
use tokio::net::TcpListener;

use crate::support::{Service, World, eventually, reply_of};

pub const WORKERS: [(&str, &[&str]); 2] = [
    ("llm-worker", &["llm-worker", "llm-memory"]),
    ("persist-worker", &["persist-requests", "persist-replies", "webhooks"]),
];

/// Workers at addresses that stay the same, as services' do.
async fn start(world: &World, ports: &[u16; 2]) -> Vec<Service> {
    let mut started = Vec::new();
    for ((name, _), port) in WORKERS.iter().zip(ports) {
        let mut command = world.command(name);
        command.env("PORT", port.to_string());
        started.push(Service::start(command).await);
    }
    started
}

#[tokio::test]
async fn a_turn_comes_through_push_and_what_is_sent_while_nobody_is_there_waits() {
    let Some(world) = World::new(Script::default()).await else { return };
    let world = world.with("PUBSUB_DELIVERY", "push").with("HEADINGS", "on");
    // The emulator's start-up makes subscriptions that are pulled from.
    let ingest = world.ingest().await;
    let free = || async { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port() };
    let ports = [free().await, free().await];
    for ((_, subscriptions), port) in WORKERS.iter().zip(ports) {
        for subscription in *subscriptions {
            world.pubsub.push_to(subscription, &format!("http://127.0.0.1:{port}/push")).await;
        }
    }
    let workers = start(&world, &ports).await;
    let first = ingest.say(None, "pushed").await;
    let events = ingest.stream(&first.task, None).await.rest().await;
    assert_eq!(reply_of(&events), expected_reply("pushed", 20));
    assert_eq!(ingest.recorded(&first.session, 2).await, ["pushed", &expected_reply("pushed", 20)]);

    // What the worker asks of itself is pushed to it as well.
    eventually("the heading", async || {
        let session = ingest.get(&format!("/v1/sessions/{}", first.session)).await.expect(200);
        (session["heading"] == MOCK_HEADING).then_some(())
    })
    .await;

    for worker in workers {
        worker.stop().await;
    }
    let second = ingest.say(Some(&first.session), "nobody there").await;
    assert_eq!(ingest.task(&second.task).await["status"], "queued");
    let _workers = start(&world, &ports).await;
    ingest.completed(&second.task).await;
    let recorded = ingest.recorded(&first.session, 4).await;
    assert_eq!(recorded[2..], ["nobody there".to_owned(), expected_reply("nobody there", 20)]);
    assert_eq!(world.mock.requests().last().unwrap().message_count, 3);
    eventually("nothing more was asked", async || (world.mock.requests().len() == 2).then_some(())).await;
}
