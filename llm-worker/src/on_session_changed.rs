//! A session's instructions changed: the checkpoint carries them to its next prompt.

use parlance_shared::{
    event::{SessionChanged, from_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
        turns::{ClaimError, VersionedCheckpoint},
    },
};

use crate::{Worker, port_call::patiently};

/// The session's turns are the only other writers of its checkpoint.
const STALE_TRIES: u32 = 10;

pub(crate) async fn on_session_changed(worker: &Worker, received: &Received) -> Outcome {
    let change: SessionChanged = match from_cloud_event(&received.event) {
        Ok(change) => change,
        Err(error) => return Outcome::Fail(Reason::new("unreadable_event", error.to_string())),
    };
    for _ in 0..STALE_TRIES {
        match save(worker, &change).await {
            Ok(()) => return Outcome::Done,
            Err(ClaimError::StaleCheckpoint) => {}
            // The session was deleted meanwhile: there is no next prompt.
            Err(ClaimError::Fenced) => return Outcome::Done,
            Err(ClaimError::Port(error @ PortError::Rejected { .. })) => {
                return Outcome::Fail(Reason::new("change_rejected", error.to_string()));
            }
            Err(ClaimError::Port(error)) => {
                return Outcome::Retry { after: None, reason: Reason::new("store_unavailable", error.to_string()) };
            }
        }
    }
    Outcome::Retry { after: None, reason: Reason::new("checkpoint_contended", "The checkpoint changed over and over.") }
}

async fn save(worker: &Worker, change: &SessionChanged) -> Result<(), ClaimError> {
    let (user, session) = (&change.user_id, change.session_id);
    let parts = &worker.parts;
    if change.instructions.is_none() && change.heading.is_none() {
        return Ok(());
    }
    let loaded = patiently(&parts.lifecycle, "checkpoint", || parts.turns.checkpoint(user, session)).await?;
    let Some(changed) = with_change(loaded, change) else { return Ok(()) };
    let save = || parts.turns.save_checkpoint(user, session, changed.clone());
    patiently(&parts.lifecycle, "checkpoint", save).await
}

/// `None` when there is nothing to change.
fn with_change(mut loaded: VersionedCheckpoint, change: &SessionChanged) -> Option<VersionedCheckpoint> {
    // Who has set a heading, or none, wants no other.
    let headed = change.heading.is_some() && !loaded.checkpoint.headed;
    loaded.checkpoint.headed |= headed;
    match with_instructions(loaded.clone(), change) {
        Some(changed) => Some(changed),
        None => headed.then_some(loaded),
    }
}

/// `None` when there is nothing to change. The newer change wins, whatever the order of delivery; of two in the same
/// millisecond the one delivered later, as the bus keeps a session's order.
fn with_instructions(mut loaded: VersionedCheckpoint, change: &SessionChanged) -> Option<VersionedCheckpoint> {
    let instructions = change.instructions.clone()?;
    let checkpoint = &mut loaded.checkpoint;
    let known = (checkpoint.instructions_at, &checkpoint.instructions);
    if known.0 > Some(change.changed_at) || known == (Some(change.changed_at), &instructions) {
        return None;
    }
    checkpoint.instructions = instructions;
    checkpoint.instructions_at = Some(change.changed_at);
    Some(loaded)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use parlance_shared::{CallId, Clock, SessionId, UserId, id_mint::IdMint};

    use super::*;

    fn change(instructions: Option<Option<&str>>, at: u64) -> SessionChanged {
        let (mint, user_id) = (IdMint::new(&[1; 32], Clock::system()), UserId::new("alice"));
        SessionChanged {
            session_id: mint.mint::<SessionId>(&user_id),
            change_id: mint.mint::<CallId>(&user_id),
            user_id,
            changed_at: time(at),
            heading: None,
            instructions: instructions.map(|text| text.map(str::to_owned)),
            metadata: None,
            strategy: Default::default(),
        }
    }

    fn time(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_newer_change_wins_in_any_order() {
        let first = change(Some(Some("be brief")), 1);
        let second = change(Some(None), 2);
        let after_first = with_instructions(VersionedCheckpoint::default(), &first).unwrap();
        assert_eq!(after_first.checkpoint.instructions.as_deref(), Some("be brief"));
        let in_order = with_instructions(after_first.clone(), &second).unwrap();
        assert_eq!(in_order.checkpoint.instructions, None);
        let late_first = with_instructions(VersionedCheckpoint::default(), &second).unwrap();
        assert_eq!(with_instructions(late_first, &first), None);
        assert_eq!(with_instructions(after_first, &first), None, "a redelivery changes nothing");
    }

    #[test]
    fn who_sets_a_heading_wants_no_other() {
        let headed = SessionChanged { heading: Some(Some("Mine".to_owned())), ..change(None, 1) };
        let changed = with_change(VersionedCheckpoint::default(), &headed).unwrap();
        assert!(changed.checkpoint.headed);
        assert_eq!(with_change(changed, &headed), None, "a redelivery changes nothing");
        assert_eq!(with_change(VersionedCheckpoint::default(), &change(None, 1)), None);
    }

    #[test]
    fn a_change_of_other_fields_leaves_instructions_alone() {
        assert_eq!(with_instructions(VersionedCheckpoint::default(), &change(None, 1)), None);
    }
}
