//! Start and stop of a process: one tracker for all its tasks, a soft stop (take nothing new, finish) and a hard one.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Shared by everything that runs in a process.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Lifecycle {
    /// A running process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task that [`Lifecycle::stop`] waits for. The task watches [`Lifecycle::stopping`] itself.
    #[allow(clippy::disallowed_methods, reason = "the tracked way to spawn")]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Fires when no new work may be taken.
    pub fn stopping(&self) -> &CancellationToken {
        &self.soft
    }

    /// Fires when work under way must be handed back.
    pub fn aborting(&self) -> &CancellationToken {
        &self.hard
    }

    /// Begins the soft stop.
    pub fn begin_stop(&self) {
        self.soft.cancel();
    }

    /// Stops: waits up to `grace` for tasks to end by themselves, then tells them to hand back and waits up to `last`.
    /// False when some were still running then.
    pub async fn stop(&self, grace: Duration, last: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            self.hard.cancel();
            return true;
        }
        self.hard.cancel();
        tokio::time::timeout(last, self.tracker.wait()).await.is_ok()
    }
}
