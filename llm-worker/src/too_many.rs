//! A message that is to be answered only if nothing else runs in its session may have been accepted while another instance
//! accepted another one: neither knew of the other. Here they come one after the other, and the first is answered.

use std::time::Duration;

use parlance_shared::{
    event::MessageSubmitted,
    port::{PortError, turns::Claim},
};

use crate::{Worker, failure::Failure, port_call::patiently};

/// Where it is not known when the session was looked at, the clocks of two hosts are compared.
const CLOCKS_DIFFER: Duration = Duration::from_millis(250);

/// The failure of a turn that has to be the only one and is not.
pub(crate) async fn too_many(
    worker: &Worker,
    message: &MessageSubmitted,
    claim: &Claim,
) -> Result<Option<Failure>, PortError> {
    if !message.is_exclusive() {
        return Ok(None);
    }
    let parts = &worker.parts;
    let looked_at = message.looked_at.unwrap_or(message.accepted_at + CLOCKS_DIFFER);
    let ask = || parts.turns.is_too_many(claim, looked_at);
    Ok(patiently(&parts.lifecycle, "turns", ask).await?.then(Failure::session_busy))
}
