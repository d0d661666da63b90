//! The emulator, and buses on it as if each were a process of its own.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::{sync::Arc, time::Duration};

use parlance_pubsub::{PubSubBus, PubSubOptions};
use parlance_shared::Lifecycle;
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

/// Waits until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

pub type Shared<T> = Arc<std::sync::Mutex<T>>;
