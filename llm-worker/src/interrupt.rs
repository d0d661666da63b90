//! What can stop a turn from outside, in the order of what it forbids.

use parlance_shared::{Lifecycle, port::turns::Claim};

/// Why a turn must stop at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Another worker may have the task: say nothing more.
    Lost,
    /// The owner wants it stopped.
    Cancelled,
    /// The process must go: hand it back.
    Aborted,
}

/// Waits for the first of them.
pub(crate) async fn interrupted(claim: &Claim, lifecycle: &Lifecycle) -> Interrupt {
    tokio::select! {
        biased;
        () = claim.lost.cancelled() => Interrupt::Lost,
        () = claim.cancelled.cancelled() => Interrupt::Cancelled,
        () = lifecycle.aborting().cancelled() => Interrupt::Aborted,
    }
}
