//! The same event any number of times, and workers that come and go: one end, one reply, one announcement.

mod support;

use std::time::Duration;

use chrono::DateTime;
use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use parlance_shared::{
    Clock,
    cursor::{Cursor, Place},
    log_view::{LogEvent, ResetData},
    port::{
        bus::{Bus as _, BusAdmin as _},
        reply_log::{AppendError, ReplyLog as _},
        turns::{ClaimError, ClaimOutcome, TurnEnd, TurnRequest, Turns as _, WorkerId},
    },
    task::{Status, Usage, codes},
    topology,
};

use crate::support::{World, run, text};

#[tokio::test]
async fn a_replay_of_everything_changes_nothing() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let first = world.say(session, "once").await;
    let ended = world.ended(first).await;
    let mut last = first;
    for round in 0..5 {
        world.bus.seek(topology::LLM_WORKER, DateTime::UNIX_EPOCH).await.unwrap();
        // Comes after all that is replayed, as it has the same ordering key.
        last = world.say(session, &format!("round {round}")).await;
        assert_eq!(world.ended(last).await.status, Status::Completed);
    }
    assert_eq!(world.ended(first).await, ended);
    assert_eq!(world.mock.requests().len(), 6, "a replayed message was sent to the provider again");
    let published = world.published(6).await;
    assert_eq!(published.iter().filter(|(_, end)| end.task.id == first).count(), 1);
    assert_eq!(published.last().map(|(_, end)| end.task.id), Some(last));
    let window = world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window;
    assert_eq!(window.len(), 6);
    assert_eq!(world.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn a_failed_task_stays_failed_and_its_message_in_the_dead_letters() {
    let world = World::new(Script::always(Behaviour::fault(Fault::Http400))).await;
    let _worker = world.start();
    let session = world.session();
    let task = world.say(session, "bad").await;
    world.ended(task).await;
    let dead = world.dead_letter().await;
    assert!(world.redrive(&dead, false).await);
    let other = world.say(session, "other").await;
    world.ended(other).await;
    support::eventually("both in the dead letters", async || (world.dead_letters().await.len() == 2).then_some(()))
        .await;
    assert_eq!(world.mock.requests().len(), 2);
    let published = world.published(2).await;
    assert_eq!(published.iter().filter(|(_, end)| end.task.id == task).count(), 1);
}

#[tokio::test]
async fn what_is_handed_back_is_finished_by_the_next_worker() {
    let script =
        Script::in_turn([Behaviour::tokens(10_000).with_token_delay(Duration::from_millis(2))], Behaviour::tokens(20));
    let world = World::new(script).await;
    let worker = world.start();
    let task = world.say(world.session(), "relay").await;
    world.spoken(task, 30).await;
    worker.abort().await;
    assert!(world.mock.requests()[0].disconnected_ms.is_some(), "the request goes on");
    assert_eq!(world.metrics.active_tasks.get(), 0);

    let _next = run(world.parts("w2"));
    // Well before the lease of the first worker would have run out.
    let soon = Duration::from_secs(5);
    let ended = tokio::time::timeout(soon, world.ended(task)).await.expect("the claim was not handed back");
    assert_eq!((ended.status, ended.attempt), (Status::Completed, 2));
    assert_eq!(ended.reply.content, expected_reply("relay", 20));
    let seen = Some(Cursor { attempt: 1, place: Place::Text(30) });
    let mut late = world.turns.follow(&world.user, task, seen).await.unwrap();
    let reset = late.next().await.unwrap().unwrap().event;
    assert_eq!(reset, LogEvent::Reset(ResetData { attempt: 2, reason: codes::HANDED_BACK.to_owned() }));
    assert_eq!(world.published(1).await[0].1.task, ended);
}

#[tokio::test]
async fn a_soft_stop_lets_replies_finish() {
    let world = World::new(Script::always(Behaviour::tokens(100).with_token_delay(Duration::from_millis(3)))).await;
    let worker = world.start();
    let task = world.say(world.session(), "last words").await;
    world.spoken(task, 10).await;
    worker.stop().await;
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.attempt), (Status::Completed, 1));
    assert_eq!(ended.reply.content, expected_reply("last words", 100));
}

#[tokio::test]
async fn a_checkpoint_that_moves_during_the_turn_loses_neither_change() {
    let world = World::new(Script::always(Behaviour::tokens(50).with_token_delay(Duration::from_millis(3)))).await;
    let _worker = world.start();
    let session = world.session();
    let task = world.say(session, "slowly").await;
    world.spoken(task, 10).await;
    let mut checkpoint = world.turns.checkpoint(&world.user, session).await.unwrap();
    checkpoint.checkpoint.instructions = Some("changed meanwhile".to_owned());
    world.turns.save_checkpoint(&world.user, session, checkpoint).await.unwrap();
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.attempt), (Status::Completed, 1));
    assert_eq!(world.mock.requests().len(), 1, "the provider was asked again");
    let after = world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint;
    assert_eq!(after.instructions.as_deref(), Some("changed meanwhile"));
    assert_eq!(after.window.len(), 1);
}

#[tokio::test]
async fn a_worker_that_lost_its_claim_says_nothing_more() {
    let clock = Clock::manual(DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let script =
        Script::in_turn([Behaviour::tokens(10_000).with_token_delay(Duration::from_millis(5))], Behaviour::tokens(20));
    let world = World::with_clock(script, clock.clone()).await;
    let _worker = world.start();
    let message = world.message(world.session(), "mine?");
    world.publish(&message).await;
    world.spoken(message.task_id, 10).await;

    // Its lease runs out unnoticed, and another worker takes over.
    clock.advance(Duration::from_secs(16));
    let request = TurnRequest {
        task_id: message.task_id,
        session_id: message.session_id,
        user_id: message.user_id.clone(),
        message_id: message.message_id,
        reply_message_id: message.reply_message_id,
        accepted_at: message.accepted_at,
        fingerprint: None,
        reopen: None,
    };
    let other = WorkerId("other".to_owned());
    let ClaimOutcome::Claimed(claim) = world.turns.claim(&request, &other, Duration::from_secs(15)).await.unwrap()
    else {
        panic!("not claimed");
    };
    assert_eq!((claim.attempt, claim.lost_attempts), (2, 1));
    world.mock.wait_for(support::PATIENCE, |log| log[0].disconnected_ms.is_some()).await;
    let mut writer = world.turns.writer(&claim).await.unwrap();
    writer.append("the other's").await.unwrap();
    let end = TurnEnd {
        status: Status::Completed,
        content: writer.text(),
        provider: None,
        model: None,
        usage: Usage::default(),
        first_token_at: None,
        error: None,
        details: Default::default(),
    };
    let ended = world.turns.finish(&claim, end.clone(), None).await.unwrap();

    let entries = world.entries(message.task_id).await;
    assert_eq!(text(&entries), "the other's");
    assert!(matches!(&entries.last().unwrap().event, LogEvent::End(task) if **task == ended));
    assert!(matches!(world.turns.finish(&claim, end, None).await, Err(ClaimError::Fenced)));
    assert!(matches!(writer.append("more").await, Err(AppendError::Fenced)));
    // Redelivery finds the task ended, and announces it for whoever did not.
    clock.advance(Duration::from_secs(60));
    assert_eq!(world.published(1).await[0].1.task, ended);
}

#[tokio::test]
async fn a_message_that_no_worker_ever_answers_fails() {
    let world = World::new(Script::default()).await;
    let task = world.say(world.session(), "poison").await;
    {
        let mut deliveries = world.bus.subscribe(topology::LLM_WORKER, 1).await.unwrap();
        for _ in 0..topology::LLM_WORKER.max_unanswered {
            // Dropped without an answer, as by a process that dies.
            drop(deliveries.next().await.unwrap());
        }
    }
    let _worker = world.start();
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.error.unwrap().code.as_str()), (Status::Failed, codes::WORKER_LOST));
    assert_eq!(world.dead_letter().await.reason.code, "unanswered");
    assert_eq!(world.published(1).await[0].1.task.status, Status::Failed);
    assert!(world.mock.requests().is_empty());
}

#[tokio::test]
async fn a_task_whose_workers_are_lost_over_and_over_fails() {
    let clock = Clock::manual(DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let world = World::with_clock(Script::default(), clock.clone()).await;
    let message = world.message(world.session(), "killer");
    let request = TurnRequest {
        task_id: message.task_id,
        session_id: message.session_id,
        user_id: message.user_id.clone(),
        message_id: message.message_id,
        reply_message_id: message.reply_message_id,
        accepted_at: message.accepted_at,
        fingerprint: None,
        reopen: None,
    };
    for _ in 0..11 {
        let claimed =
            world.turns.claim(&request, &WorkerId("doomed".to_owned()), Duration::from_secs(15)).await.unwrap();
        assert!(matches!(claimed, ClaimOutcome::Claimed(_)));
        clock.advance(Duration::from_secs(16));
    }
    let _worker = world.start();
    world.publish(&message).await;
    let ended = world.ended(message.task_id).await;
    assert_eq!((ended.status, ended.error.unwrap().code.as_str()), (Status::Failed, codes::WORKER_LOST));
    assert_eq!(world.dead_letter().await.reason.code, codes::WORKER_LOST);
    assert!(world.mock.requests().is_empty());
}
