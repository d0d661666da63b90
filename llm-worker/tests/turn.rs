//! Turns that go well, through the bus.

mod support;

use cloudevents::{EventBuilder as _, EventBuilderV10};
use parlance_mock_llm::{Behaviour, Script, expected_reply};
use parlance_shared::{
    CallId,
    event::{DomainEvent as _, MessageSubmitted, SessionChanged, SessionDeleted},
    port::turns::Turns as _,
    task::{Status, codes},
};
use serde_json::json;

use crate::support::{World, eventually, names, text};

#[tokio::test]
async fn a_message_is_answered_streamed_stored_and_announced() {
    let world = World::new(Script::always(Behaviour::tokens(30))).await;
    let worker = world.start();
    let session = world.session();
    let message = world.message(session, "What is the river of?");
    world.publish(&message).await;

    let entries = world.entries(message.task_id).await;
    assert_eq!(names(&entries)[names(&entries).len() - 3..], ["status", "delta", "done"]);
    let reply = expected_reply("What is the river of?", 30);
    assert_eq!(text(&entries), reply);

    let task = world.ended(message.task_id).await;
    assert_eq!((task.status, task.attempt), (Status::Completed, 1));
    assert_eq!(task.reply.content, reply);
    assert_eq!(task.reply.message_id, Some(message.reply_message_id));
    assert_eq!((task.session_id, task.message_id), (Some(session), Some(message.message_id)));
    assert!(task.provider.is_some() && task.model.is_some());
    assert!(task.usage.output_tokens.is_some(), "{:?}", task.usage);
    assert!(task.timings.first_token_at.is_some() && task.timings.total_ms.is_some());
    assert_eq!(task.error, None);

    let published = world.published(1).await;
    assert_eq!(published[0].1.task, task);
    assert_eq!(published[0].1.user_id, world.user);
    assert_eq!(world.turns.active().await.unwrap(), 0);
    assert_eq!(world.metrics.tasks_ended.get("completed"), 1);
    assert!(world.metrics.deltas.get() >= 1);
    assert!(world.metrics.tokens.get("output") >= 1);
    worker.stop().await;
    assert_eq!(world.metrics.active_tasks.get(), 0);
    let rendered = world.metrics.render();
    assert!(rendered.contains("parlance_queue_delay_seconds_count 1"), "{rendered}");
    assert!(rendered.contains("parlance_time_to_first_token_seconds_count 1"), "{rendered}");
}

#[tokio::test]
async fn the_next_prompt_holds_the_reply_before_it_though_nothing_was_persisted() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    // Both are on the bus before the first is answered.
    let (first, second) = (world.say(session, "first?").await, world.say(session, "second?").await);
    let reply = world.ended(first).await.reply.content;
    world.ended(second).await;
    let elsewhere = world.say(world.session(), "apart").await;
    world.ended(elsewhere).await;

    let requests = world.mock.requests();
    let prompt: Vec<_> = requests[1].messages.iter().map(|said| (said.role.as_str(), said.content.as_str())).collect();
    assert_eq!(prompt, [("user", "first?"), ("assistant", reply.as_str()), ("user", "second?")]);
    assert_eq!(requests[2].message_count, 1, "another session knows nothing of it");
}

#[tokio::test]
async fn instructions_reach_the_next_prompt_and_the_newer_change_wins() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let change = |text: &str, seconds: u64| SessionChanged {
        session_id: session,
        user_id: world.user.clone(),
        change_id: world.mint.mint::<CallId>(&world.user),
        changed_at: world.clock.now() + std::time::Duration::from_secs(seconds),
        heading: None,
        instructions: Some(Some(text.to_owned())),
        metadata: None,
        strategy: Default::default(),
    };
    let (newer, older) = (change("Be kind.", 2), change("Be brief.", 1));
    world.publish(&newer).await;
    world.publish(&older).await;
    let task = world.say(session, "hello").await;
    world.ended(task).await;
    let prompt = &world.mock.requests()[0].messages;
    assert_eq!((prompt[0].role.as_str(), prompt[0].content.as_str()), ("system", "Be kind."));
    assert_eq!(prompt.len(), 2);
}

#[tokio::test]
async fn a_deleted_session_answers_nothing_more_and_is_forgotten() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let first = world.say(session, "remember this").await;
    world.ended(first).await;
    let deleted = SessionDeleted { session_id: session, user_id: world.user.clone(), deleted_at: world.clock.now() };
    world.publish(&deleted).await;
    let late = world.say(session, "too late").await;
    assert_eq!(world.ended(late).await.status, Status::Cancelled);
    assert_eq!(world.mock.requests().len(), 1, "the late message was sent to the provider");
    let checkpoint = world.turns.checkpoint(&world.user, session).await.unwrap();
    assert!(checkpoint.checkpoint.window.is_empty());
}

#[tokio::test]
async fn a_request_that_cannot_be_read_ends_its_task_and_goes_to_the_dead_letters() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let message = world.message(world.session(), "x");
    let event = EventBuilderV10::new()
        .id(message.id())
        .ty(MessageSubmitted::TYPE)
        .source("//parlance/test")
        .data(
            "application/json",
            json!({"task_id": message.task_id, "session_id": message.session_id, "user_id": "alice", "content": 7}),
        )
        .build()
        .unwrap();
    world.publish_event(&message.ordering_key(), event).await;

    let task = world.ended(message.task_id).await;
    assert_eq!(task.status, Status::Failed);
    let error = task.error.unwrap();
    assert_eq!((error.code.as_str(), error.retryable), (codes::UNREADABLE_REQUEST, false));
    assert_eq!(world.dead_letter().await.reason.code, codes::UNREADABLE_REQUEST);
    assert_eq!(world.published(1).await[0].1.task.status, Status::Failed);
}

#[tokio::test]
async fn events_that_nobody_knows_go_to_the_dead_letters_and_hold_up_nothing() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let event = EventBuilderV10::new().id("e1").ty("parlance.other.v9").source("//parlance/test").build().unwrap();
    world.publish_event(&session.to_string(), event).await;
    let task = world.say(session, "hello").await;
    assert_eq!(world.ended(task).await.status, Status::Completed);
    let codes =
        eventually("the dead letter", async || Some(world.dead_letters().await).filter(|dead| !dead.is_empty())).await;
    assert_eq!(codes[0].reason.code, "unknown_event");
}
