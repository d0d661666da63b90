//! Several providers: who is asked when one fails, what readers see of it, and what the task says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parlance_mock_llm::{Behaviour, Fault, MockLlm, Script, expected_reply};
use parlance_shared::{
    log_view::{Entry, LogEvent},
    port::turns::Turns as _,
    task::{Status, Task},
};

use crate::support::{Running, World, eventually, names, parts::providers, run, text};

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9/v1";

/// A world whose own mock is the fallback.
async fn start(world: &World, primary: &str, more: &[(&str, &str)]) -> Running {
    let mut parts = world.parts("w1");
    parts.llm = Arc::new(providers(&[primary.to_owned(), world.mock.base_url()], more).await);
    run(parts)
}

fn attempts(task: &Task) -> Vec<(u32, &str, &str, Option<&str>)> {
    let records = task.details.attempts.iter();
    records
        .map(|r| (r.attempt, r.provider.as_deref().unwrap(), r.model.as_deref().unwrap(), r.error.as_deref()))
        .collect()
}

fn resets(entries: &[Entry]) -> Vec<(u32, &str)> {
    let resets = entries.iter().filter_map(|entry| match &entry.event {
        LogEvent::Reset(reset) => Some((reset.attempt, reset.reason.as_str())),
        _ => None,
    });
    resets.collect()
}

/// All that a reader sees who is there from the start.
async fn asked(world: &World, content: &str) -> Vec<Entry> {
    let message = world.message(world.session(), content);
    let (entries, ()) = tokio::join!(world.entries(message.task_id), world.publish(&message));
    entries
}

fn end(entries: &[Entry]) -> &Task {
    match entries.last().map(|entry| &entry.event) {
        Some(LogEvent::End(task)) => task,
        other => panic!("no end but {other:?}"),
    }
}

#[tokio::test]
async fn a_primary_that_is_down_is_stood_in_for_at_once() {
    let world = World::new(Script::always(Behaviour::tokens(20))).await;
    let _worker = start(&world, NOBODY, &[]).await;
    let begun = Instant::now();
    let entries = asked(&world, "anybody?").await;
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited: {:?}", begun.elapsed());
    let task = end(&entries);
    assert_eq!((task.status, task.attempt), (Status::Completed, 2));
    assert_eq!((task.provider.as_deref(), task.model.as_deref()), (Some("fallback-1"), Some("model-1")));
    assert_eq!(
        attempts(task),
        [(1, "openai-compatible", "model-0", Some("provider_unreachable")), (2, "fallback-1", "model-1", None)]
    );
    assert_eq!(text(&entries), expected_reply("anybody?", 20));
    assert_eq!(world.mock.requests()[0].model.as_deref(), Some("model-1"));
}

#[tokio::test]
async fn a_provider_that_dies_in_the_middle_is_replaced_with_a_reset() {
    let primary =
        MockLlm::start(Script::always(Behaviour { after: Some(7), ..Behaviour::fault(Fault::CutMidStream) })).unwrap();
    let world = World::new(Script::always(Behaviour::tokens(30))).await;
    let _worker = start(&world, &primary.base_url(), &[]).await;
    let entries = asked(&world, "tell me").await;
    assert_eq!(resets(&entries), [(2, "provider_stream_cut")]);
    let reset = entries.iter().position(|entry| matches!(entry.event, LogEvent::Reset(_))).unwrap();
    assert_eq!(text(&entries[reset..]), expected_reply("tell me", 30));
    let task = end(&entries);
    assert_eq!((task.reply.content.as_str(), task.attempt), (&*expected_reply("tell me", 30), 2));
    assert_eq!(primary.requests().len(), 1, "a reply that was cut is not asked for again from the same one");
}

#[tokio::test]
async fn a_reply_that_was_cut_is_gone_on_with_where_that_is_wanted() {
    let cut = |fault| Behaviour { after: Some(7), ..Behaviour::fault(fault) };
    for fault in [Fault::CutMidStream, Fault::ErrorEventMidStream, Fault::Garbage] {
        let primary = MockLlm::start(Script::always(cut(fault))).unwrap();
        let world = World::new(Script::always(Behaviour::tokens(5))).await;
        let _worker = start(&world, &primary.base_url(), &[("LLM_MIDSTREAM", "continue")]).await;
        let entries = asked(&world, "tell me").await;
        let partial = expected_reply("tell me", 7);
        let request = &world.mock.requests()[0];
        let [.., said, wish] = &request.messages[..] else { panic!("{request:?}") };
        assert_eq!((said.role.as_str(), &said.content), ("assistant", &partial));
        assert_eq!((wish.role.as_str(), &wish.content), ("user", &request.last_user_text));
        let whole = partial + &expected_reply(&request.last_user_text, 5);
        assert_eq!(names(&entries), ["status", "delta", "done"], "{fault:?}");
        assert_eq!(text(&entries), whole);
        let task = end(&entries);
        assert_eq!((task.status, task.attempt, &task.reply.content), (Status::Completed, 1, &whole));
        let shown: Vec<_> = attempts(task).into_iter().map(|(n, who, _, error)| (n, who, error.is_some())).collect();
        assert_eq!(shown, [(1, "openai-compatible", true), (1, "fallback-1", false)]);
        assert_eq!(task.provider.as_deref(), Some("fallback-1"));
    }
}

#[tokio::test]
async fn who_cancels_while_another_goes_on_keeps_all_that_was_said() {
    let primary = Behaviour { after: Some(7), ..Behaviour::fault(Fault::CutMidStream) };
    let primary = MockLlm::start(Script::always(primary)).unwrap();
    let world =
        World::new(Script::always(Behaviour { after: Some(3), ..Behaviour::fault(Fault::StallMidStream) })).await;
    let _worker = start(&world, &primary.base_url(), &[("LLM_MIDSTREAM", "continue")]).await;
    let task = world.say(world.session(), "tell me").await;
    let asked = world.mock.wait_for(support::PATIENCE, |asked| asked.first().is_some_and(|a| a.tokens_sent == 3)).await;
    let whole = expected_reply("tell me", 7) + &expected_reply(&asked[0].last_user_text, 3);
    assert_eq!(world.spoken(task, whole.len()).await, whole);
    world.turns.request_cancel(&world.user, task).await.unwrap();
    let task = world.ended(task).await;
    assert_eq!((task.status, task.attempt, task.reply.content), (Status::Cancelled, 1, whole));
    world.mock.wait_for(support::PATIENCE, |asked| asked[0].disconnected_ms.is_some()).await;
}

#[tokio::test]
async fn what_the_message_is_the_cause_of_is_not_passed_on() {
    for (fault, code) in [
        (Fault::ContentRefused, "content_refused"),
        (Fault::ContextTooLong, "context_too_long"),
        (Fault::Http400, "provider_rejected"),
    ] {
        let primary = MockLlm::start(Script::always(Behaviour::fault(fault))).unwrap();
        let world = World::new(Script::default()).await;
        let _worker = start(&world, &primary.base_url(), &[]).await;
        let entries = asked(&world, "no").await;
        let task = end(&entries);
        assert_eq!((task.status, task.error.as_ref().unwrap().code.as_str()), (Status::Failed, code));
        assert!(world.mock.requests().is_empty(), "{code}");
        assert_eq!(attempts(task), [(1, "openai-compatible", "model-0", Some(code))]);
    }
}

#[tokio::test]
async fn a_key_that_is_not_accepted_and_a_model_that_is_not_there_are_passed_on() {
    for (fault, code) in [(Fault::Http401, "provider_unauthorized"), (Fault::Http404, "unknown_model")] {
        let primary = MockLlm::start(Script::always(Behaviour::fault(fault))).unwrap();
        let world = World::new(Script::default()).await;
        let _worker = start(&world, &primary.base_url(), &[]).await;
        let entries = asked(&world, "go on").await;
        let task = end(&entries);
        assert_eq!((task.status, task.provider.as_deref()), (Status::Completed, Some("fallback-1")));
        assert_eq!((attempts(task)[0].3, primary.requests().len()), (Some(code), 1));
    }
}

#[tokio::test]
async fn a_fault_of_its_own_is_tried_once_more_before_the_next_is_asked() {
    let primary = MockLlm::start(Script::always(Behaviour::fault(Fault::Http500))).unwrap();
    let world = World::new(Script::default()).await;
    let _worker = start(&world, &primary.base_url(), &[]).await;
    let entries = asked(&world, "go on").await;
    let task = end(&entries);
    assert_eq!((task.status, task.attempt, primary.requests().len()), (Status::Completed, 3, 2));
}

#[tokio::test]
async fn when_all_fail_the_task_says_so_once_each_was_asked() {
    let mut world = World::new(Script::always(Behaviour::fault(Fault::Http500))).await;
    world.settings.max_attempts = 1;
    let _worker = start(&world, NOBODY, &[]).await;
    let entries = asked(&world, "hopeless").await;
    let task = end(&entries);
    assert_eq!((task.status, task.error.as_ref().unwrap().code.as_str()), (Status::Failed, "provider_unavailable"));
    assert_eq!(world.mock.requests().len(), 1, "each is asked once, however few attempts are allowed");
}

#[tokio::test]
async fn a_dead_provider_is_not_asked_while_its_circuit_is_open_and_one_probe_closes_it() {
    let behaviour = |is_well: bool| if is_well { Behaviour::tokens(3) } else { Behaviour::fault(Fault::Http429) };
    let is_well = Arc::new(AtomicBool::new(false));
    let primary = MockLlm::start(Script::choose({
        let is_well = Arc::clone(&is_well);
        move |_| behaviour(is_well.load(Ordering::SeqCst))
    }))
    .unwrap();
    let world = World::new(Script::always(Behaviour::tokens(3))).await;
    let more = [("LLM_CIRCUIT_FAILURES", "3"), ("LLM_CIRCUIT_OPEN_FOR", "2s")];
    let _worker = start(&world, &primary.base_url(), &more).await;
    let answered_by = async |content: &str| {
        let task = world.say(world.session(), content).await;
        world.ended(task).await.provider.unwrap()
    };
    for n in 0..3 {
        assert_eq!(answered_by(&format!("{n}")).await, "fallback-1");
    }
    assert_eq!(primary.requests().len(), 3);
    assert_eq!(answered_by("open").await, "fallback-1");
    assert_eq!(primary.requests().len(), 3, "asked although its circuit is open");

    is_well.store(true, Ordering::SeqCst);
    eventually("a probe closes it", async || (answered_by("probe").await == "openai-compatible").then_some(())).await;
    assert_eq!(primary.requests().len(), 4, "one probe");
    assert_eq!(answered_by("closed").await, "openai-compatible");
}
