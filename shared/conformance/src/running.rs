//! Workers that a test starts and stops.

use std::{future::Future, time::Duration};

use parlance_shared::Lifecycle;
use tokio::task::JoinHandle;

use crate::wait::PATIENCE;

/// A worker under way.
pub struct Running {
    /// Its own.
    pub lifecycle: Lifecycle,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a worker that heeds this lifecycle.
    #[allow(clippy::disallowed_methods, reason = "what the worker spawns is tracked, not the worker")]
    pub fn start(lifecycle: Lifecycle, worker: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { lifecycle, task: tokio::spawn(worker) }
    }

    /// The soft stop, to its end.
    pub async fn stop(self) {
        self.lifecycle.begin_stop();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker does not stop").unwrap();
    }

    /// The hard stop: hands back.
    pub async fn abort(self) {
        let clean = self.lifecycle.stop(Duration::ZERO, PATIENCE).await;
        assert!(clean, "work was still under way");
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker does not stop").unwrap();
    }
}
