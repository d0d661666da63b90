//! A session's memory: folded by events of its own, once for each range, and never in the way of a reply.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use cloudevents::AttributesReader as _;
use parlance_mock_llm::{Behaviour, Fault, MOCK_HEADING, Purpose, Script};
use parlance_shared::{
    SessionId,
    event::{
        DomainEvent, HeadingMade, HeadingRequested, SessionDeleted, SummaryMade, SummaryRequested, from_cloud_event,
        to_cloud_event,
    },
    port::{
        bus::{Bus as _, BusAdmin as _, Outcome},
        turns::{Checkpoint, Turns as _},
    },
    replay::Replay,
    settings::MemorySettings,
    task::{Status, codes},
    topology,
};

use crate::support::{PATIENCE, World, eventually};

const TURNS: usize = 200;

async fn world(script: Script, memory: MemorySettings) -> World {
    let mut world = World::new(script).await;
    world.memory = memory;
    world
}

fn folding_at(summary_trigger_tokens: u32) -> MemorySettings {
    MemorySettings { summary_trigger_tokens, headings: false, ..MemorySettings::default() }
}

async fn checkpoint(world: &World, session: SessionId) -> Checkpoint {
    world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint
}

/// Asks and waits for the answer.
async fn ask(world: &World, session: SessionId, content: &str) -> String {
    let task = world.say(session, content).await;
    let task = world.ended(task).await;
    assert_eq!(task.status, Status::Completed, "{:?}", task.error);
    task.reply.content
}

/// Waits until the window has been folded as far as was asked for.
async fn folded(world: &World, session: SessionId, version: u32) -> Checkpoint {
    eventually("the fold", async || {
        let checkpoint = checkpoint(world, session).await;
        (checkpoint.summaries_made >= version).then_some(checkpoint)
    })
    .await
}

/// All events of this type that were published so far for persist-worker.
async fn published<E: DomainEvent>(world: &World, least: usize) -> Vec<(String, E)> {
    world.bus.seek(topology::PERSIST_REPLIES, chrono::DateTime::UNIX_EPOCH).await.unwrap();
    let mut deliveries = world.bus.subscribe(topology::PERSIST_REPLIES, 1_000).await.unwrap();
    let mut found = Vec::new();
    loop {
        let wait = if found.len() < least { PATIENCE } else { Duration::from_millis(200) };
        let Ok(delivery) = tokio::time::timeout(wait, deliveries.next()).await else { break };
        let delivery = delivery.unwrap();
        let event = &delivery.received.event;
        if event.ty() == E::TYPE {
            found.push((event.id().to_owned(), from_cloud_event(event).unwrap()));
        }
        delivery.lease.settle(Outcome::Done).await.unwrap();
    }
    assert!(found.len() >= least, "only {} were published", found.len());
    found
}

fn summary_request(world: &World, session: SessionId, version: u32) -> SummaryRequested {
    let requested_at = world.clock.now();
    SummaryRequested { session_id: session, user_id: world.user.clone(), version, requested_at }
}

/// Delivers it though the bus knows its id.
async fn deliver_again<E: DomainEvent>(world: &World, fact: &E) {
    let mut event = to_cloud_event(fact, "llm-worker", None).unwrap();
    Replay::new("operator@test", &world.clock, false).mark(&mut event);
    world.bus.replay(topology::MEMORY, &fact.ordering_key(), event).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_of_turn_3_is_known_at_turn_200_and_prompts_stay_short() {
    let settings = folding_at(1_000);
    let world = world(Script::always(Behaviour::tokens(30)), settings).await;
    let _worker = world.start();
    let session = world.session();
    let padding = "Let us talk about rivers and the stones in them for a while, shall we? ".repeat(3);
    let mut everything = Vec::with_capacity(TURNS);
    let mut said = 0;
    for turn in 1..=TURNS {
        let content = match turn {
            3 => format!("{padding} FACT harbour=Valparaiso Remember it."),
            TURNS => "Which harbour was it? [[mock recall=harbour]]".to_owned(),
            _ => format!("Turn {turn}. {padding}"),
        };
        let reply = ask(&world, session, &content).await;
        said += content.len() + reply.len();
        everything.push(said / 4);
        if turn == TURNS {
            assert_eq!(reply, "harbour is Valparaiso.");
        }
        // A summary that is asked for is made between turns, as it is when people type.
        eventually("what was asked for", async || {
            let checkpoint = checkpoint(&world, session).await;
            let window: u32 = checkpoint.window.iter().map(|turn| turn.tokens).sum();
            (window <= 1_000).then_some(())
        })
        .await;
    }

    let tokens = |messages: &[parlance_mock_llm::LoggedMessage]| -> usize {
        messages.iter().map(|message| (message.content.len() / 4).max(1)).sum()
    };
    let turns = world.mock.requests();
    assert_eq!(turns.len(), TURNS, "each turn was asked once");
    let longest = turns.iter().map(|request| tokens(&request.messages)).max().unwrap();
    assert!(longest <= 1_200, "the longest prompt has {longest} tokens");
    assert!(
        !turns
            .last()
            .unwrap()
            .messages
            .iter()
            .any(|message| message.content.contains(&padding) && message.content.contains("harbour"))
    );

    let memory = world.mock.memory_requests();
    assert!(memory.iter().all(|request| request.purpose == Some(Purpose::Summary)));
    let checkpoint = checkpoint(&world, session).await;
    assert_eq!(memory.len(), checkpoint.summaries_made as usize, "each range was folded once");
    assert_eq!(checkpoint.summary.as_ref().unwrap().turns as usize + checkpoint.window.len(), TURNS, "no turn is lost");

    let spent: usize = turns.iter().chain(&memory).map(|request| tokens(&request.messages)).sum();
    let all_of_it: usize = everything.iter().sum();
    println!(
        "{TURNS} turns: {spent} prompt tokens with {} summaries, {all_of_it} when everything is sent each time ({:.1} %); \
         longest prompt {longest}",
        memory.len(),
        100.0 * spent as f64 / all_of_it as f64
    );
    assert!(spent * 4 < all_of_it, "{spent} against {all_of_it}");
}

#[tokio::test]
async fn a_summary_is_made_and_announced_once_however_often_it_is_asked_for() {
    let world = world(Script::always(Behaviour::tokens(40)), folding_at(300)).await;
    let worker = world.start();
    let session = world.session();
    let mut turn = 0;
    while checkpoint(&world, session).await.summaries_made == 0 {
        turn += 1;
        assert!(turn < 20, "no summary was asked for");
        ask(&world, session, &format!("FACT n{turn}={turn} and so on")).await;
        let window: u32 = checkpoint(&world, session).await.window.iter().map(|turn| turn.tokens).sum();
        if window > 300 {
            folded(&world, session, 1).await;
        }
    }
    let after_first = folded(&world, session, 1).await;
    let (made, asked) = (after_first.summaries_made, world.mock.memory_requests().len());
    assert_eq!((made, asked), (1, 1));

    for _ in 0..3 {
        deliver_again(&world, &summary_request(&world, session, 1)).await;
    }
    // What is asked for in a session is done in order: once the second summary is made, the others were answered.
    while world.mock.memory_requests().len() == 1 {
        turn += 1;
        assert!(turn < 40, "no second summary was asked for");
        ask(&world, session, &format!("FACT n{turn}={turn} and so on")).await;
    }
    let after_second = folded(&world, session, 2).await;
    let announced = published::<SummaryMade>(&world, 2).await;
    assert_eq!(announced.len(), 2, "the bus knows the events");
    let (id, event) = &announced[0];
    assert_eq!(*id, format!("{session}.summary.1"));
    assert_eq!(Some(&event.summary), after_first.summary.as_ref());
    assert!(event.summary.text.contains("FACT n1=1") && event.model.is_some());
    assert!(event.usage.output_tokens.is_some_and(|tokens| tokens > 0), "{:?}", event.usage);
    worker.stop().await;
    assert_eq!(announced[1].1.summary.version, 2);
    assert!(announced[1].1.summary.text.contains("FACT n1=1"), "the first summary is part of the second");
    assert_eq!(world.mock.memory_requests().len(), 2, "the model was asked again");
    assert_eq!(after_second.earlier_summaries, after_first.summary.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_ends_while_the_model_folds_is_kept_and_the_model_is_not_asked_again() {
    let slow = Behaviour { first_token_delay: Duration::from_millis(700), ..Behaviour::default() };
    let script = Script::always(Behaviour::tokens(40)).with_memory(move |_| slow.clone());
    let world = world(script, folding_at(300)).await;
    let _worker = world.start();
    let session = world.session();
    let mut turns = 0;
    while world.mock.memory_requests().is_empty() {
        turns += 1;
        ask(&world, session, &format!("turn {turns} of some length, so that it adds up")).await;
        assert!(turns < 20, "no summary was asked for");
    }
    let begun = world.mock.requests().len();
    ask(&world, session, "meanwhile").await;
    assert_eq!(checkpoint(&world, session).await.summaries_made, 0, "a turn does not wait for the fold");
    assert_eq!(world.mock.requests().len(), begun + 1);
    let checkpoint = folded(&world, session, 1).await;
    assert_eq!(checkpoint.window.last().unwrap().user, "meanwhile");
    assert_eq!(checkpoint.summary.unwrap().turns as usize + checkpoint.window.len(), turns + 1);
    assert_eq!(world.mock.memory_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_that_fails_costs_no_turn_and_is_made_later() {
    let script = Script::always(Behaviour::tokens(40)).with_memory(|request| match request.attempt {
        0 => Behaviour::fault(Fault::Http500),
        _ => Behaviour::default(),
    });
    let world = world(script, folding_at(200)).await;
    let _worker = world.start();
    let session = world.session();
    let mut turns = 0;
    while world.mock.memory_requests().is_empty() {
        turns += 1;
        ask(&world, session, &format!("turn {turns} of some length, so that it adds up")).await;
        assert!(turns < 20, "no summary was asked for");
    }
    for more in 0..6 {
        ask(&world, session, &format!("another turn, number {more}, while there is no summary")).await;
        let window: u32 = checkpoint(&world, session).await.window.iter().map(|turn| turn.tokens).sum();
        assert!(window <= 400, "the window is bounded also without a summary: {window}");
    }
    let checkpoint = folded(&world, session, 1).await;
    assert!(checkpoint.summary.is_some());
    assert!(world.mock.memory_requests().iter().any(|request| request.fault.is_some()));
}

#[tokio::test]
async fn a_deleted_session_is_given_neither_summary_nor_heading() {
    let world = world(Script::always(Behaviour::tokens(10)), MemorySettings::default()).await;
    let worker = world.start();
    let session = world.session();
    let deleted = SessionDeleted { session_id: session, user_id: world.user.clone(), deleted_at: world.clock.now() };
    world.publish(&deleted).await;
    let late = world.say(session, "too late").await;
    assert_eq!(world.ended(late).await.status, Status::Cancelled);
    let request = summary_request(&world, session, 1);
    deliver_again(&world, &request).await;
    let (session_id, user_id) = (session, world.user.clone());
    deliver_again(&world, &HeadingRequested { session_id, user_id, requested_at: request.requested_at }).await;
    worker.stop().await;
    assert!(world.mock.memory_requests().is_empty());
}

#[tokio::test]
async fn a_session_gets_a_heading_from_its_first_exchange_once() {
    let script = Script::always(Behaviour::tokens(10)).with_memory(|request| match request.attempt {
        0 => Behaviour::fault(Fault::Http500),
        _ => Behaviour::default(),
    });
    let world = world(script, MemorySettings::default()).await;
    let worker = world.start();
    let session = world.session();
    ask(&world, session, "What is a river? [[mock tokens=4]]").await;
    let marked = eventually("the heading", async || Some(checkpoint(&world, session).await).filter(|c| c.headed)).await;
    assert_eq!(marked.window.len(), 1);
    ask(&world, session, "And a stream?").await;
    let (session_id, user_id) = (session, world.user.clone());
    deliver_again(&world, &HeadingRequested { session_id, user_id, requested_at: world.clock.now() }).await;
    let made = published::<HeadingMade>(&world, 1).await;
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].1.heading.as_str(), made[0].1.session_id), (MOCK_HEADING, session));
    worker.stop().await;
    let asked = world.mock.memory_requests();
    assert_eq!(asked.len(), 2, "once more after the failure, and never again");
    assert!(asked.iter().all(|request| request.purpose == Some(Purpose::Heading)));
    assert!(asked[1].messages[1].content.contains("User: What is a river?"));
}

#[tokio::test]
async fn a_message_that_no_prompt_can_hold_fails_and_says_how_long_it_may_be() {
    let memory = MemorySettings { context_tokens: Some(1_000), ..folding_at(300) };
    let world = world(Script::default(), memory).await;
    let _worker = world.start();
    let session = world.session();
    let long = world.say(session, &"word ".repeat(1_000)).await;
    let failed = world.ended(long).await;
    let error = failed.error.unwrap();
    assert_eq!((failed.status, error.code.as_str(), error.retryable), (Status::Failed, codes::MESSAGE_TOO_LONG, false));
    assert!(error.message.contains("1671 tokens") && error.message.contains("can be sent 739"), "{}", error.message);
    assert!(world.mock.requests().is_empty(), "the provider was asked");
    assert_eq!(world.dead_letter().await.reason.code, codes::MESSAGE_TOO_LONG);
    ask(&world, session, "a short one").await;
    let task = world.say(session, "and what it was made of").await;
    let task = world.ended(task).await;
    let prompt = task.details.prompt.unwrap();
    assert_eq!((prompt.template.as_str(), prompt.version.as_str(), prompt.turns.len()), ("default", "1", 1));
}
