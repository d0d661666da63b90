//! An operator has a failed task answered anew: once for each replay, under a new attempt, seen by its readers.

mod support;

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use parlance_shared::{
    event::to_cloud_event,
    log_view::{LogEvent, ResetData},
    port::{bus::BusAdmin as _, reply_log::ReplyLog as _, turns::Turns as _},
    replay::Replay,
    task::{Status, codes},
    topology,
};

use crate::support::{World, eventually};

const ONCE_MORE: &str = "once more [[mock fault=http_400 times=1]]";

fn failing_once() -> Script {
    Script::in_turn([Behaviour::fault(Fault::Http400)], Behaviour::tokens(20))
}

#[tokio::test]
async fn a_redriven_letter_of_a_failed_task_is_answered_under_a_new_attempt() {
    let world = World::new(failing_once()).await;
    let _worker = world.start();
    let session = world.session();
    let task = world.say(session, "second chance").await;
    let failed = world.ended(task).await;
    assert_eq!((failed.status, failed.attempt), (Status::Failed, 1));
    let seen = world.entries(task).await.last().map(|entry| entry.cursor);

    let letter = world.dead_letter().await;
    let replay = Replay::new("operator@test", &world.clock, true);
    let mut reader = world.turns.follow(&world.user, task, seen).await.unwrap();
    assert_eq!(reader.next().await.unwrap(), None, "the reader has seen the end");
    assert!(world.redrive_as(&letter, &replay).await);
    let ended = eventually("the new end", async || {
        Some(world.turns.task(&world.user, task).await.unwrap().unwrap().task)
            .filter(|task| task.status != failed.status)
            .filter(|task| task.status.is_terminal())
    })
    .await;
    assert_eq!((ended.status, ended.attempt), (Status::Completed, 2));
    assert_eq!((ended.reply.content.as_str(), &ended.error), (expected_reply("second chance", 20).as_str(), &None));
    let mut late = world.turns.follow(&world.user, task, seen).await.unwrap();
    let reset = late.next().await.unwrap().unwrap().event;
    assert_eq!(reset, LogEvent::Reset(ResetData { attempt: 2, reason: codes::REPLAYED.to_owned() }));
    assert_eq!(world.ended(task).await, ended);

    let published = world.published(2).await;
    let attempts: Vec<_> = published.iter().map(|(_, end)| (end.task.status, end.task.attempt)).collect();
    assert_eq!(attempts, [(Status::Failed, 1), (Status::Completed, 2)]);
    assert_ne!(published[0].0, published[1].0, "the second end is an event of its own");
    let window = world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window;
    assert_eq!(window.iter().filter(|turn| turn.task_id == task).count(), 1);
    assert_eq!(world.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn the_same_replay_again_changes_nothing() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let message = world.message(session, ONCE_MORE);
    world.publish(&message).await;
    let letter = world.dead_letter().await;
    let replay = Replay::new("operator@test", &world.clock, true);
    assert!(world.redrive_as(&letter, &replay).await);
    let completed = async |world: &World| world.ended(message.task_id).await.status == Status::Completed;
    eventually("the new end", async || completed(&world).await.then_some(())).await;
    let ended = world.ended(message.task_id).await;

    // As a bus does that delivers more than once, and an operator who seeks.
    let mut event = to_cloud_event(&message, "ingest-api", None).unwrap();
    replay.mark(&mut event);
    world.bus.replay(topology::REQUESTS, &session.to_string(), event).await.unwrap();
    let next = world.say(session, "and on").await;
    assert_eq!(world.ended(next).await.status, Status::Completed);
    assert_eq!(world.ended(message.task_id).await, ended);
    assert_eq!(world.mock.requests().iter().filter(|request| request.last_user_text == ONCE_MORE).count(), 2);
    let window = world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window;
    assert_eq!(window.len(), 2, "each turn once: {window:?}");
}

#[tokio::test]
async fn a_replay_that_fails_again_is_a_dead_letter_again_and_the_next_one_reopens_it() {
    let refused = || Behaviour::fault(Fault::Http400);
    let world = World::new(Script::in_turn([refused(), refused()], Behaviour::tokens(5))).await;
    let _worker = world.start();
    let session = world.session();
    let task = world.say(session, "stubborn").await;
    let mut letter = world.dead_letter().await;
    let first = Replay::new("operator@test", &world.clock, true);
    assert!(world.redrive_as(&letter, &first).await);
    letter =
        eventually("a new letter", async || world.dead_letters().await.into_iter().find(|new| new.id != letter.id))
            .await;
    assert_eq!(Replay::of(&letter.event).as_ref(), Some(&first), "the letter says who sent it");
    assert_eq!(world.ended(task).await.attempt, 2);
    // The same replay does not reopen it a second time: it stays failed.
    assert!(world.redrive_as(&letter, &first).await);
    letter =
        eventually("a third letter", async || world.dead_letters().await.into_iter().find(|new| new.id != letter.id))
            .await;
    assert_eq!(world.ended(task).await.attempt, 2);
    assert_eq!(world.mock.requests().len(), 2);

    assert!(world.redrive(&letter, true).await);
    let ended =
        eventually("the end", async || Some(world.ended(task).await).filter(|task| task.status == Status::Completed))
            .await;
    assert_eq!(ended.attempt, 3);
    assert_eq!(world.mock.requests().len(), 3);
}
