//! Calls of ports: each try has a timeout, transient errors are retried within a budget, and a process that must stop
//! does not wait for the budget.

use std::{future::Future, time::Duration};

use parlance_shared::{
    Lifecycle,
    port::{PortError, reply_log::AppendError, turns::ClaimError},
    retry::RetryPolicy,
};

/// The longest that one try may take.
const TRY: Duration = Duration::from_secs(5);

/// How long a turn waits for a database or a bus that is away: a failover takes less. Longer outages are left to
/// redelivery, which costs the reply another attempt.
const PATIENCE: RetryPolicy =
    RetryPolicy { first: Duration::from_millis(50), longest: Duration::from_secs(2), budget: Duration::from_secs(60) };

/// Errors of ports that may be transient.
pub(crate) trait MayPass: From<PortError> {
    /// Whether the same call may work later.
    fn may_pass(&self) -> bool;
}

impl MayPass for PortError {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }
}

impl MayPass for ClaimError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Port(error) if error.is_transient())
    }
}

impl MayPass for AppendError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Port(error) if error.is_transient())
    }
}

/// One try with a timeout. Whether a try that timed out took effect is unknown.
pub(crate) async fn once<T, E: MayPass>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(PortError::Unavailable { what, cause: format!("no answer within {limit:?}") }.into()),
    }
}

/// Tries until the call succeeds, fails for good, the patience ends or the process must stop.
pub(crate) async fn patiently<T, E, Call, Answer>(
    lifecycle: &Lifecycle,
    what: &'static str,
    mut call: Call,
) -> Result<T, E>
where
    E: MayPass,
    Call: FnMut() -> Answer,
    Answer: Future<Output = Result<T, E>>,
{
    let worth_a_retry = |error: &E| error.may_pass() && !lifecycle.aborting().is_cancelled();
    PATIENCE.run(worth_a_retry, || once(what, TRY, call())).await
}
