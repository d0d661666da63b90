//! The emulator, and buses on it as if each were a process of its own.
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "each test binary uses a part; a test says why it is not run"
)]

use std::time::Duration;

use cloudevents::{AttributesReader as _, Event, EventBuilder as _, EventBuilderV10};
use parlance_pubsub::{PubSubBus, PubSubOptions};
use parlance_shared::{
    Lifecycle,
    port::bus::{Bus as _, BusAdmin as _, DeadLetter, DeadLetters, Deliveries, Delivery, Outcome, Subscription, Topic},
};
use tokio::runtime::Runtime;

/// Where the emulator is; `None` where there is none: then the test says so, and passes unless `CI=true`.
pub fn emulator() -> Option<String> {
    match std::env::var("PARLANCE_TEST_PUBSUB_EMULATOR_HOST") {
        Ok(host) => Some(host),
        Err(_) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("PARLANCE_TEST_PUBSUB_EMULATOR_HOST is not set (cargo xtask services up)")
        }
        Err(_) => {
            println!("not run: needs Google's Pub/Sub emulator (cargo xtask services up)");
            None
        }
    }
}

/// A project that nobody else uses.
pub fn project() -> String {
    format!("test-{}", uuid::Uuid::new_v4().simple())
}

/// A bus with a runtime of its own, which is cut off as by `kill -9`: nothing of it runs on, nothing is sent.
pub struct Process {
    pub bus: PubSubBus,
    pub lifecycle: Lifecycle,
    runtime: Option<Runtime>,
}

impl Process {
    pub async fn start(options: PubSubOptions) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let lifecycle = Lifecycle::new();
        let connecting = PubSubBus::connect(options, lifecycle.clone());
        let bus = runtime.spawn(connecting).await.expect("no panic").expect("a bus");
        Self { bus, lifecycle, runtime: Some(runtime) }
    }

    pub async fn on_emulator(project: &str) -> Option<Self> {
        Some(Self::start(PubSubOptions::new(project, Some(emulator()?))).await)
    }

    /// Gives back the bus, which is dead.
    pub fn kill(mut self) -> PubSubBus {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.bus.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub const TOPIC: Topic = Topic("topic-of-tests");
pub const MAIN: Subscription = Subscription {
    name: "main-of-tests",
    topic: TOPIC,
    lease: Duration::from_secs(5),
    retry_min: Duration::from_millis(50),
    retry_max: Duration::from_secs(1),
    max_unanswered: 5,
};

pub fn event(id: &str) -> Event {
    let data = serde_json::json!({ "id": id });
    EventBuilderV10::new().id(id).ty("test").source("//test").data("application/json", data).build().unwrap()
}

pub async fn publish(bus: &PubSubBus, key: &str, id: &str) {
    bus.publish(TOPIC, key, event(id)).await.expect("a publish");
}

pub async fn next(consumer: &mut Box<dyn Deliveries>) -> Delivery {
    let coming = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await;
    coming.expect("a delivery must come").expect("a delivery")
}

pub async fn next_is(consumer: &mut Box<dyn Deliveries>, id: &str) -> Delivery {
    let delivery = next(consumer).await;
    assert_eq!(delivery.received.event.id(), id);
    delivery
}

pub async fn settle(delivery: Delivery, outcome: Outcome) {
    delivery.lease.settle(outcome).await.expect("an answer");
}

pub async fn letters(bus: &PubSubBus) -> (Box<dyn DeadLetters>, Vec<DeadLetter>) {
    let mut pass = bus.dead_letters(MAIN).await.expect("a look");
    let mut letters = Vec::new();
    loop {
        let page = pass.next_page().await.expect("a page");
        if page.is_empty() {
            return (pass, letters);
        }
        letters.extend(page);
    }
}
