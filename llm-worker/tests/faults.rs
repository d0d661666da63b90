//! Providers that fail: what is tried again, what is given up, and what the owner is told.

mod support;

use std::{sync::Arc, time::Duration};

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply, expected_varied_reply};
use parlance_shared::{
    log_view::LogEvent,
    port::turns::Turns as _,
    providers::Providers,
    task::{Status, codes},
};

use crate::support::{World, names, providers::Panicking, run, text};

#[tokio::test]
async fn a_retryable_fault_resets_readers_and_gives_one_reply() {
    let varied = |fault| Behaviour { vary: true, fault, tokens: 40, ..Behaviour::default() };
    let script = Script::in_turn([varied(Some(Fault::CutMidStream))], varied(None));
    let world = World::new(script).await;
    let message = world.message(world.session(), "tell me");
    let reading = async {
        // A reader that is there from the start sees the first attempt, too.
        let (entries, ()) = tokio::join!(world.entries(message.task_id), world.publish(&message));
        entries
    };
    let worker = world.start();
    let entries = reading.await;

    let whole = expected_varied_reply("tell me", 1, 40);
    let reset = entries.iter().position(|entry| matches!(entry.event, LogEvent::Reset(_))).expect("no reset");
    let LogEvent::Reset(data) = &entries[reset].event else { unreachable!() };
    assert_eq!((data.attempt, data.reason.as_str()), (2, "provider_stream_cut"));
    assert_eq!(text(&entries[reset..]), whole);
    assert_eq!(names(&entries).last(), Some(&"done"));

    let task = world.ended(message.task_id).await;
    assert_eq!((task.status, task.attempt, task.reply.content.as_str()), (Status::Completed, 2, whole.as_str()));
    let published = world.published(1).await;
    assert_eq!(published[0].1.task.reply.content, whole);
    assert_eq!(world.metrics.attempts_retried.get("provider_stream_cut"), 1);
    worker.stop().await;
    assert_eq!(world.dead_letters().await.len(), 0);
    let window = world.turns.checkpoint(&world.user, message.session_id).await.unwrap().checkpoint.window;
    assert_eq!(window.len(), 1);
    assert_eq!(window[0].assistant, whole);
}

#[tokio::test]
async fn when_all_attempts_fail_the_task_says_why_and_the_message_is_kept() {
    let world = World::new(Script::always(Behaviour::fault(Fault::Http500))).await;
    let worker = world.start();
    let session = world.session();
    let task = world.say(session, "hopeless").await;

    let task = world.ended(task).await;
    let error = task.error.clone().unwrap();
    assert_eq!((task.status, task.attempt), (Status::Failed, 3));
    assert_eq!((error.code.as_str(), error.retryable), ("provider_unavailable", true));
    assert!(error.message.ends_with('.'), "{}", error.message);
    assert_eq!(world.mock.requests().len(), 3);

    let dead = world.dead_letter().await;
    assert_eq!(dead.reason.code, "provider_unavailable");
    assert_eq!(dead.ordering_key, session.to_string());
    assert_eq!(world.published(1).await[0].1.task, task);
    // What failed is no part of the conversation.
    assert!(world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window.is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn permanent_errors_fail_at_once() {
    for (fault, code) in [
        (Fault::Http401, "provider_unauthorized"),
        (Fault::ContextTooLong, "context_too_long"),
        (Fault::ContentRefused, "content_refused"),
    ] {
        let world = World::new(Script::always(Behaviour::fault(fault))).await;
        let worker = world.start();
        let task = world.say(world.session(), "no").await;
        let task = world.ended(task).await;
        let error = task.error.unwrap();
        assert_eq!((task.status, task.attempt, error.code.as_str()), (Status::Failed, 1, code));
        assert!(!error.retryable);
        assert_eq!(world.mock.requests().len(), 1);
        assert_eq!(world.dead_letter().await.reason.code, code);
        worker.stop().await;
    }
}

#[tokio::test]
async fn what_was_said_before_a_refusal_is_kept() {
    let behaviour = Behaviour { after: Some(5), ..Behaviour::fault(Fault::FilterMidStream) };
    let world = World::new(Script::always(behaviour)).await;
    let _worker = world.start();
    let task = world.say(world.session(), "risky").await;
    let entries = world.entries(task).await;
    assert_eq!(text(&entries), expected_reply("risky", 5));
    let task = world.ended(task).await;
    assert_eq!((task.status, task.reply.content), (Status::Failed, expected_reply("risky", 5)));
}

#[tokio::test]
async fn the_provider_gets_the_time_it_asks_for() {
    let limited = Behaviour { retry_after: Some("1".to_owned()), ..Behaviour::fault(Fault::Http429) };
    let world = World::new(Script::in_turn([limited], Behaviour::default())).await;
    let _worker = world.start();
    let task = world.say(world.session(), "again").await;
    assert_eq!(world.ended(task).await.status, Status::Completed);
    let requests = world.mock.requests();
    let waited = requests[1].started_ms - requests[0].started_ms;
    assert!((1_000..3_000).contains(&waited), "{waited} ms");
}

#[tokio::test]
async fn a_provider_that_asks_for_more_time_than_there_is_fails_the_task_now() {
    let limited = Behaviour { retry_after: Some("3600".to_owned()), ..Behaviour::fault(Fault::Http429) };
    let mut world = World::new(Script::always(limited)).await;
    world.settings.retry_budget = Duration::from_secs(5);
    let _worker = world.start();
    let task = world.say(world.session(), "later").await;
    let task = world.ended(task).await;
    assert_eq!(task.error.unwrap().code, "provider_rate_limited");
    assert_eq!(world.mock.requests().len(), 1);
}

#[tokio::test]
async fn an_adapter_that_panics_costs_an_attempt_not_the_task() {
    let world = World::new(Script::default()).await;
    let mut parts = world.parts("w1");
    parts.llm = Arc::new(Providers::alone(Arc::new(Panicking::times(1))));
    let _worker = run(parts);
    let task = world.say(world.session(), "boom").await;
    let task = world.ended(task).await;
    assert_eq!((task.status, task.attempt, task.reply.content.as_str()), (Status::Completed, 2, "half whole"));
}

#[tokio::test]
async fn an_adapter_that_always_panics_fails_the_task() {
    let world = World::new(Script::default()).await;
    let mut parts = world.parts("w1");
    parts.llm = Arc::new(Providers::alone(Arc::new(Panicking::times(u32::MAX))));
    let worker = run(parts);
    let task = world.say(world.session(), "boom").await;
    let task = world.ended(task).await;
    assert_eq!((task.status, task.error.unwrap().code.as_str()), (Status::Failed, codes::INTERNAL));
    assert_eq!(world.dead_letter().await.reason.code, codes::INTERNAL);
    worker.stop().await;
}
