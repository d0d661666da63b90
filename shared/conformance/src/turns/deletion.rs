//! Who reads a reply whose session is deleted learns its end, however much of it was read.

use std::time::Duration;

use parlance_shared::{
    log_view::{Entry, LogEvent},
    port::turns::{Claim, TurnEnd},
    task::Status,
};
use tokio::time::timeout;

use super::{
    harness::{Turn, TurnsHarness, claimed, completed},
    log::{follow, names, next, rest},
};

const SOON: Duration = Duration::from_secs(5);

/// Ends the turn as its worker does once it is told.
async fn stop(world: &impl TurnsHarness, claim: &Claim, said: &str) {
    timeout(SOON, claim.cancelled.cancelled()).await.expect("the worker was not told");
    let end = TurnEnd { status: Status::Cancelled, ..completed(said) };
    let ended = world.turns().finish(claim, end, None).await.unwrap();
    assert_eq!((ended.status, ended.reply.content.as_str()), (Status::Cancelled, ""));
}

#[track_caller]
fn ends_without_a_word(entries: &[Entry]) {
    match entries.last().map(|entry| &entry.event) {
        Some(LogEvent::End(task)) => {
            assert_eq!((task.status, task.reply.content.as_str()), (Status::Cancelled, ""), "{entries:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// Readers that wait and readers between two reads, of nothing, of some and of all text, of this attempt and the one
/// before: each is sent `cancelled`.
pub async fn a_deletion_ends_the_streams_that_are_open(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    let mut behind = follow(&world, &user, id, None).await;
    world.log().writer(&claim).await.unwrap().append("the first try").await.unwrap();
    assert_eq!(names(&[next(&mut behind).await, next(&mut behind).await]), ["status", "delta"]);
    let claim = world.turns().next_attempt(&claim, "provider_stalled").await.unwrap();
    let mut writer = world.log().writer(&claim).await.unwrap();
    let (mut fresh, mut begun) = (follow(&world, &user, id, None).await, follow(&world, &user, id, None).await);
    let (mut partly, mut waiting) = (follow(&world, &user, id, None).await, follow(&world, &user, id, None).await);
    for reader in [&mut begun, &mut partly, &mut waiting] {
        while !matches!(next(reader).await.event, LogEvent::Status(data) if data.attempt == 2) {}
    }
    writer.append("some of it, ").await.unwrap();
    for reader in [&mut partly, &mut waiting] {
        assert_eq!(next(reader).await.event.name(), "delta");
    }
    writer.append("and more").await.unwrap();
    assert_eq!(next(&mut waiting).await.event.name(), "delta");

    let deleting = async {
        world.turns().delete_session(&user, turn.request.session_id).await.unwrap();
        stop(&world, &claim, "some of it, and more").await;
    };
    let (ended, ()) = tokio::join!(rest(&mut waiting), deleting);
    ends_without_a_word(&ended);
    assert_eq!(names(&ended), ["cancelled"], "who had all");
    for (reader, events) in [
        (&mut partly, &["cancelled"][..]),
        (&mut begun, &["cancelled"]),
        (&mut fresh, &["status", "cancelled"]),
        (&mut behind, &["reset", "status", "cancelled"]),
    ] {
        let ended = rest(reader).await;
        ends_without_a_word(&ended);
        assert_eq!(names(&ended), events, "what was deleted is shown to nobody any more");
    }
}

/// A task that waits for its turn is not begun, and who waits for it is told.
pub async fn a_deletion_ends_the_stream_of_a_task_that_waits(world: impl TurnsHarness) {
    let one = Turn::new("alice");
    let two = Turn::new("alice").in_session(one.request.session_id);
    let (user, id) = (two.request.user_id.clone(), two.request.task_id);
    let claim = claimed(&world, &one, "w1").await;
    let mut reader = follow(&world, &user, id, None).await;
    assert_eq!(next(&mut reader).await.event.name(), "status");
    world.turns().delete_session(&user, one.request.session_id).await.unwrap();
    stop(&world, &claim, "").await;
    let next_turn = claimed(&world, &two, "w1").await;
    assert!(next_turn.cancel_requested);
    let end = TurnEnd { status: Status::Cancelled, ..completed("") };
    world.turns().finish(&next_turn, end, None).await.unwrap();
    let ended = rest(&mut reader).await;
    ends_without_a_word(&ended);
    assert_eq!(names(&ended), ["status", "cancelled"]);
}
