//! How long publishing takes, and how long until the message is there: `cargo run -p parlance-pubsub --example pubsub_speed
//! HOST:PORT`, the emulator's address.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers")]

use std::time::{Duration, Instant};

use cloudevents::{EventBuilder as _, EventBuilderV10};
use parlance_pubsub::{PubSubBus, PubSubOptions};
use parlance_shared::{
    Lifecycle,
    port::bus::{Bus as _, Outcome, Subscription, Topic},
};

const MESSAGES: u32 = 300;
const MAIN: Subscription = Subscription {
    name: "speed-main",
    topic: Topic("speed-topic"),
    lease: Duration::from_secs(30),
    retry_min: Duration::from_secs(1),
    retry_max: Duration::from_secs(60),
    max_unanswered: 5,
};

#[tokio::main]
async fn main() {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8085".into());
    let project = format!("speed-{}", fastrand::u32(..));
    let bus = PubSubBus::connect(PubSubOptions::new(project, Some(host)), Lifecycle::new()).await.unwrap();
    bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = bus.subscribe(MAIN, 10).await.unwrap();
    let (mut publishing, mut arriving) = (Vec::new(), Vec::new());
    for n in 0..MESSAGES {
        // Not in step with whatever the other end polls by.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..60))).await;
        let event = EventBuilderV10::new().id(n.to_string()).ty("speed").source("//speed").build().unwrap();
        let begun = Instant::now();
        bus.publish(MAIN.topic, &format!("key-{n}"), event).await.unwrap();
        publishing.push(begun.elapsed());
        let delivery = consumer.next().await.unwrap();
        arriving.push(begun.elapsed());
        delivery.lease.settle(Outcome::Done).await.unwrap();
    }
    for (what, mut times) in [("publish", publishing), ("publish to delivery", arriving)] {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
    }
}
