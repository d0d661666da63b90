//! A session was deleted: what runs or waits in it is cancelled, and its checkpoint is forgotten.

use parlance_shared::{
    event::{SessionDeleted, from_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
    },
};

use crate::{Worker, port_call::patiently};

/// Idempotent: deleting what is deleted changes nothing.
pub(crate) async fn on_session_deleted(worker: &Worker, received: &Received) -> Outcome {
    let deleted: SessionDeleted = match from_cloud_event(&received.event) {
        Ok(deleted) => deleted,
        Err(error) => return Outcome::Fail(Reason::new("unreadable_event", error.to_string())),
    };
    let parts = &worker.parts;
    let delete = || parts.turns.delete_session(&deleted.user_id, deleted.session_id);
    match patiently(&parts.lifecycle, "turns", delete).await {
        Ok(()) => Outcome::Done,
        Err(error @ PortError::Rejected { .. }) => Outcome::Fail(Reason::new("deletion_rejected", error.to_string())),
        Err(error) => Outcome::Retry { after: None, reason: Reason::new("store_unavailable", error.to_string()) },
    }
}
