//! What failed attempts used counts, and is told apart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use parlance_mock_llm::{Behaviour, Fault, MockLlm, Script};
use parlance_shared::{
    budget::Spent,
    port::turns::{ClaimOutcome, TurnRequest, Turns as _, WorkerId},
    prices::PriceTable,
    task::{Status, Task, Usage, codes},
};

use crate::support::{World, parts::providers, run};

/// Of whatever model: a millionth for each token.
fn prices() -> Arc<PriceTable> {
    let table = r#"{"prices": [{"model": "model-0", "input": 1000000, "output": 1000000},
                               {"model": "model-1", "input": 3000000, "output": 3000000}]}"#;
    Arc::new(PriceTable::parse(table).unwrap())
}

fn tokens(usage: Usage) -> [u64; 2] {
    [usage.input_tokens.unwrap(), usage.output_tokens.unwrap()]
}

/// The primary is cut after seven tokens, the fallback answers.
async fn answered_by_the_fallback(more: &[(&str, &str)]) -> (World, Task) {
    let cut = Behaviour { after: Some(7), ..Behaviour::fault(Fault::CutMidStream) };
    let primary = MockLlm::start(Script::always(cut)).unwrap();
    let world = World::new(Script::always(Behaviour::tokens(30))).await;
    let mut parts = world.parts("w1");
    parts.llm = Arc::new(providers(&[primary.base_url(), world.mock.base_url()], more).await);
    parts.prices = prices();
    let worker = run(parts);
    let task = world.ended(world.say(world.session(), "tell me something of it").await).await;
    assert_eq!(task.status, Status::Completed);
    worker.stop().await;
    (world, task)
}

async fn both_count(world: &World, task: &Task) {
    let [cut, whole] = &task.details.attempts[..] else { panic!("{task:?}") };
    assert!(cut.usage_estimated && !whole.usage_estimated && task.details.usage_estimated);
    let ([cut_in, cut_out], [whole_in, whole_out]) = (tokens(cut.usage), tokens(whole.usage));
    assert!(cut_in > 0 && (1..30).contains(&cut_out), "{cut:?}");
    assert_eq!(whole_out, 30, "as the provider says");
    assert_eq!(tokens(task.usage), [cut_in + whole_in, cut_out + whole_out]);
    let costs = (cut_in + cut_out, 3 * (whole_in + whole_out));
    assert_eq!((cut.cost_micro_usd, whole.cost_micro_usd), (Some(costs.0), Some(costs.1)));
    assert_eq!(task.details.cost_micro_usd, Some(costs.0 + costs.1));
    let spent = world.turns.spent(&world.user, DateTime::UNIX_EPOCH).await.unwrap();
    let all = cut_in + cut_out + whole_in + whole_out;
    assert_eq!(spent, Spent { tokens: all, micro_usd: costs.0 + costs.1 });
}

#[tokio::test]
async fn an_attempt_that_failed_in_the_middle_is_paid_for_too() {
    let (world, task) = answered_by_the_fallback(&[]).await;
    assert_eq!(task.attempt, 2);
    both_count(&world, &task).await;
}

#[tokio::test]
async fn a_reply_that_was_gone_on_with_used_what_both_providers_did() {
    let (world, task) = answered_by_the_fallback(&[("LLM_MIDSTREAM", "continue")]).await;
    assert_eq!(task.attempt, 1);
    both_count(&world, &task).await;
}

/// Who could not be reached did nothing; who is the last to fail is paid for as far as it came.
#[tokio::test]
async fn a_task_that_fails_counts_what_its_attempts_said() {
    let world = World::new(Script::always(Behaviour::fault(Fault::Http400))).await;
    let _worker = world.start();
    let refused = world.ended(world.say(world.session(), "a").await).await;
    assert_eq!(
        (refused.status, refused.usage, refused.details.cost_micro_usd),
        (Status::Failed, Usage::default(), None)
    );

    let cut = Behaviour { after: Some(7), ..Behaviour::fault(Fault::CutMidStream) };
    let world = World::new(Script::always(cut)).await;
    let _worker = world.start();
    let failed = world.ended(world.say(world.session(), "b").await).await;
    assert_eq!(failed.status, Status::Failed);
    let each = failed.details.attempts.iter().map(|attempt| attempt.usage).fold(Usage::default(), Usage::plus);
    assert_eq!(failed.usage, each);
    assert!(tokens(failed.usage)[1] > 0 && failed.details.usage_estimated);
}

#[tokio::test]
async fn the_attempt_of_a_lost_worker_is_listed() {
    let world = World::new(Script::default()).await;
    let message = world.message(world.session(), "hello");
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
    let lease = Duration::from_millis(50);
    let claimed = world.turns.claim(&request, &WorkerId("gone".to_owned()), lease).await.unwrap();
    assert!(matches!(claimed, ClaimOutcome::Claimed(_)));
    tokio::time::sleep(2 * lease).await;
    world.publish(&message).await;
    let _worker = world.start();
    let task = world.ended(message.task_id).await;
    let listed: Vec<_> = task.details.attempts.iter().map(|a| (a.attempt, a.error.as_deref())).collect();
    assert_eq!(listed, [(1, Some(codes::WORKER_LOST)), (2, None)]);
    assert_eq!(task.details.attempts[0].provider, None);
}
