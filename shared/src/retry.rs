//! Exponential backoff with jitter and a budget. The `backoff` crate (unmaintained, see deny.toml) is used here only.

use std::{future::Future, time::Duration};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

/// How often and how long to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first wait, before jitter.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// No retry starts later than this after the first try.
    pub budget: Duration,
}

/// The waits of one operation.
#[derive(Debug)]
pub struct Retries {
    backoff: ExponentialBackoff,
}

impl RetryPolicy {
    /// Starts the clock of one operation.
    pub fn start(&self) -> Retries {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.first)
            .with_max_interval(self.longest)
            .with_multiplier(2.0)
            .with_randomization_factor(0.3)
            .with_max_elapsed_time(Some(self.budget))
            .build();
        Retries { backoff }
    }

    /// Runs `operation` until it succeeds, fails for good, or the budget is spent; gives the last error then.
    ///
    /// # Errors
    /// The operation's own.
    pub async fn run<T, E, F, Fut>(&self, is_transient: impl Fn(&E) -> bool, mut operation: F) -> Result<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut retries = self.start();
        loop {
            match operation().await {
                Err(error) if is_transient(&error) => match retries.next_wait() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                },
                settled => return settled,
            }
        }
    }
}

impl Retries {
    /// How long to wait before the next try; `None` when the budget is spent.
    pub fn next_wait(&mut self) -> Option<Duration> {
        self.backoff.next_backoff()
    }
}
