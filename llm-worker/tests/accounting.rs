//! What replies cost, budgets that run out while messages wait, and replies that are used again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::{sync::Arc, time::Duration};

use parlance_llm::{ReplyCache, with_reply_cache};
use parlance_mock_llm::{Behaviour, Script};
use parlance_shared::{
    UserId,
    budget::Budgets,
    content::Replaced,
    event::MessageSubmitted,
    port::turns::{CancelOutcome, Turns as _},
    prices::PriceTable,
    settings::ReplyCacheSettings,
    task::{Status, Usage, codes},
};

use crate::support::{World, run};

fn prices() -> Arc<PriceTable> {
    let table = r#"{"prices": [{"model": "mock-model", "input": 1000000, "output": 2000000}]}"#;
    Arc::new(PriceTable::parse(table).unwrap())
}

/// The tokens that the mock says a prompt of these texts has.
fn counted(texts: &[&str]) -> u64 {
    texts.iter().map(|text| (text.len() as u64 / 4).max(1)).sum()
}

#[tokio::test]
async fn a_reply_costs_what_its_tokens_cost_and_of_another_model_an_unknown_amount() {
    let world = World::new(Script::always(Behaviour::tokens(30))).await;
    let _worker = run(llm_worker::LlmWorker { prices: prices(), ..world.parts("w1") });
    let task = world.ended(world.say(world.session(), "how much is it?").await).await;
    let usage =
        Usage { input_tokens: Some(counted(&["how much is it?"])), output_tokens: Some(30), cached_tokens: Some(0) };
    assert_eq!(task.usage, usage);
    assert_eq!(task.details.cost_micro_usd, Some(usage.input_tokens.unwrap() + 60));
    assert!(!task.details.usage_estimated);
    let mut message = world.message(world.session(), "and this?");
    message.model = Some("nobody knows".to_owned());
    world.publish(&message).await;
    let task = world.ended(message.task_id).await;
    assert_eq!((task.status, task.details.cost_micro_usd), (Status::Completed, None));
}

/// A user who stops each reply before its end pays for it all the same.
#[tokio::test]
async fn a_cancelled_reply_is_paid_for_by_an_estimate() {
    let world = World::new(Script::always(Behaviour::tokens(400).with_token_delay(Duration::from_millis(20)))).await;
    let _worker = run(llm_worker::LlmWorker { prices: prices(), ..world.parts("w1") });
    let task = world.say(world.session(), "tell me a long story").await;
    world.spoken(task, 40).await;
    let cancelled = world.turns.request_cancel(&world.user, task).await.unwrap();
    assert!(matches!(cancelled, CancelOutcome::Requested), "{cancelled:?}");
    let task = world.ended(task).await;
    assert_eq!(task.status, Status::Cancelled);
    assert!(task.details.usage_estimated);
    let Usage { input_tokens: Some(input), output_tokens: Some(output), .. } = task.usage else { panic!("{task:?}") };
    assert!((1..100).contains(&input) && (5..400).contains(&output), "{input} {output}");
    assert_eq!(task.details.cost_micro_usd, Some(input + 2 * output));
}

/// What was accepted while the budget lasted, but comes after it, fails without the model.
#[tokio::test]
async fn past_a_budget_the_model_is_not_asked() {
    let world = World::new(Script::always(Behaviour::tokens(30))).await;
    let budgets = Budgets { daily_tokens: Some(20), daily_micro_usd: None };
    let session = world.session();
    let (first, second) = (world.say(session, "one").await, world.say(session, "two").await);
    let worker = run(llm_worker::LlmWorker { budgets, ..world.parts("w1") });
    assert_eq!(world.ended(first).await.status, Status::Completed);
    let failed = world.ended(second).await;
    let error = failed.error.unwrap();
    assert_eq!((failed.status, error.code.as_str(), error.retryable), (Status::Failed, codes::BUDGET_EXHAUSTED, true));
    assert_eq!((failed.usage, failed.details.cost_micro_usd), (Usage::default(), None));
    let letter = world.dead_letter().await;
    assert_eq!(letter.reason.code, codes::BUDGET_EXHAUSTED);
    let bob = UserId::new("bob");
    let bobs = MessageSubmitted { user_id: bob.clone(), ..world.message(world.session(), "three") };
    world.publish(&bobs).await;
    support::eventually("another user's message is answered", async || {
        let view = world.turns.task(&bob, bobs.task_id).await.unwrap()?;
        (view.task.status == Status::Completed).then_some(())
    })
    .await;
    assert_eq!(world.mock.requests().len(), 2);
    worker.stop().await;

    // With a budget again, an operator has it answered.
    let _worker = world.start();
    assert!(world.redrive(&letter, true).await);
    support::eventually("it is answered after all", async || {
        let view = world.turns.task(&world.user, second).await.unwrap()?;
        (view.task.status == Status::Completed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reply_is_used_again_for_its_user_alone_and_never_for_who_wants_another() {
    let world = World::new(Script::always(Behaviour::tokens(30))).await;
    let parts = world.parts("w1");
    let settings = ReplyCacheSettings { keep: Duration::from_secs(60), bytes: 1_000_000 };
    let cache = ReplyCache::start(settings, &parts.metrics, &parts.lifecycle);
    let llm = Arc::new((*parts.llm).clone().map(|llm| with_reply_cache(llm, Some(&cache))));
    let _worker = run(llm_worker::LlmWorker { llm, prices: prices(), ..parts });
    let first = world.ended(world.say(world.session(), "what is it?").await).await;
    let again = world.ended(world.say(world.session(), "what is it?").await).await;
    assert_eq!((again.status, &again.reply.content), (Status::Completed, &first.reply.content));
    assert_eq!((&again.model, &again.details.finish_reason), (&first.model, &first.details.finish_reason));
    let none = Usage { input_tokens: Some(0), output_tokens: Some(0), cached_tokens: Some(0) };
    assert_eq!((again.usage, again.details.cost_micro_usd), (none, Some(0)));
    assert_eq!(world.mock.requests().len(), 1);

    let bob = UserId::new("bob");
    let bobs = MessageSubmitted { user_id: bob.clone(), ..world.message(world.session(), "what is it?") };
    world.publish(&bobs).await;
    support::eventually("another user is answered", async || {
        let view = world.turns.task(&bob, bobs.task_id).await.unwrap()?;
        (view.task.status == Status::Completed).then_some(())
    })
    .await;
    assert_eq!(world.mock.requests().len(), 2, "by the model itself");

    let mut anew = world.message(first.session_id.unwrap(), "what is it?");
    anew.input.replaces = Some(Replaced { task_id: first.id, accepted_at: first.timings.accepted_at.unwrap() });
    world.publish(&anew).await;
    assert_eq!(world.ended(anew.task_id).await.status, Status::Completed);
    assert_eq!(world.mock.requests().len(), 3, "whoever wants it anew gets it anew");
}
