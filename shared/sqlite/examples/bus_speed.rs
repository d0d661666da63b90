//! How quick the embedded bus is: `cargo run --release -p parlance-sqlite --example bus_speed`.
#![allow(clippy::expect_used, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloudevents::{Event, EventBuilder as _, EventBuilderV10};
use tokio::sync::Semaphore;

use parlance_shared::{
    Lifecycle,
    port::bus::{Bus, Outcome, Subscription},
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus};

const LONE: usize = 2_000;
const PRODUCERS: usize = 20;
const EACH: usize = 500;

fn event(id: String) -> Event {
    let data = serde_json::json!({ "content": "A question of some length, as people ask them. ".repeat(8) });
    EventBuilderV10::new().id(id).ty("speed").source("//speed").data("application/json", data).build().unwrap()
}

/// The processor time that this process has used.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

async fn consume(bus: SqliteBus, subscription: Subscription, messages: usize, lifecycle: Lifecycle) {
    let mut deliveries = bus.subscribe(subscription, 200).await.unwrap();
    let working = Arc::new(Semaphore::new(200));
    for _ in 0..messages {
        let delivery = deliveries.next().await.unwrap();
        let permit = Arc::clone(&working).acquire_owned().await.unwrap();
        lifecycle.spawn(async move {
            delivery.lease.settle(Outcome::Done).await.unwrap();
            drop(permit);
        });
    }
    drop(working.acquire_many(200).await);
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let bus = SqliteBus::new(Database::open(DatabaseOptions::new(folder.path())).await.unwrap());
    bus.ensure(&topology::ALL).await.unwrap();
    let lifecycle = Lifecycle::new();

    let mut deliveries = bus.subscribe(topology::PERSIST_REPLIES, 10).await.unwrap();
    let (mut publishing, mut arriving, mut answering) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..LONE {
        let started = Instant::now();
        let (delivery, published) = tokio::join!(deliveries.next(), async {
            bus.publish(topology::REPLIES, "a", event(format!("lone-{n}"))).await.unwrap();
            started.elapsed()
        });
        arriving.push(started.elapsed());
        publishing.push(published);
        let started = Instant::now();
        delivery.unwrap().lease.settle(Outcome::Done).await.unwrap();
        answering.push(started.elapsed());
    }
    drop(deliveries);
    for (what, mut times) in [("publish", publishing), ("publish to delivery", arriving), ("answer", answering)] {
        times.sort();
        println!("{what}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    }

    // As many as 5,000 replies make: a request, a reply, three deliveries.
    let total = PRODUCERS * EACH;
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut consumers = Vec::new();
    for subscription in topology::ALL {
        consumers.push(lifecycle.spawn(consume(bus.clone(), subscription, total / 2, lifecycle.clone())));
    }
    for producer in 0..PRODUCERS {
        let bus = bus.clone();
        lifecycle.spawn(async move {
            for n in 0..EACH {
                let topic = if n % 2 == 0 { topology::REQUESTS } else { topology::REPLIES };
                let id = format!("{producer}-{n}");
                bus.publish(topic, &format!("key-{producer}"), event(id)).await.unwrap();
            }
        });
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    let (took, replies) = (started.elapsed(), total as f64 / 2.0);
    println!(
        "{PRODUCERS} producers: {:.0} messages/s, {:.0} replies' worth/s",
        total as f64 / took.as_secs_f64(),
        replies / took.as_secs_f64()
    );
    if let (Some(before), Some(after)) = (cpu_before, cpu()) {
        println!("CPU per 1,000 replies' worth: {:.2} s", (after - before).as_secs_f64() * 1000.0 / replies);
    }
}
