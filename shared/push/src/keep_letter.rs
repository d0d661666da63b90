//! Keeps a message that was given up, before the bus is told to forget it.

use std::time::Duration;

use parlance_shared::{
    port::{
        PortError,
        bus::{DeadLetterSink, Reason, Received, Subscription},
    },
    retry::RetryPolicy,
};
use tokio::time::timeout;

/// Longer outages are left to redelivery.
const KEEPING: RetryPolicy =
    RetryPolicy { first: Duration::from_millis(100), longest: Duration::from_secs(2), budget: Duration::from_secs(10) };

/// One try.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns once the letter is durable. After a crash between this and the answer, the message comes again and is kept a
/// second time: two letters are better than none.
pub(crate) async fn keep_letter(
    sink: &dyn DeadLetterSink,
    subscription: Subscription,
    received: &Received,
    reason: &Reason,
) -> Result<(), PortError> {
    KEEPING
        .run(PortError::is_transient, || async {
            timeout(PATIENCE, sink.keep(subscription, received, reason)).await.unwrap_or_else(|_| {
                Err(PortError::Unavailable {
                    what: "the dead letters",
                    cause: format!("no answer within {PATIENCE:?}"),
                })
            })
        })
        .await
}
