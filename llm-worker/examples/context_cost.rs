//! What building the context of a session of 10,000 messages costs: the turns are real ones, answered by a mock.
//!
//! `cargo run --release -p llm-worker --example context_cost`; another number of turns as an argument.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement that fails must stop")]
#![allow(clippy::disallowed_methods, reason = "ends with the program")]

use std::{sync::Arc, time::Instant};

use llm_worker::{LlmWorker, measure::ContextBuilder};
use parlance_conformance::message::message;
use parlance_llm::OpenAiCompatible;
use parlance_mock_llm::{Behaviour, MockLlm, Script};
use parlance_shared::{
    Clock, Lifecycle, SessionId, UserId,
    event::{DomainEvent as _, to_cloud_event},
    port::{
        bus::Bus as _,
        reply_log::ReplyLog as _,
        turns::{Turns as _, WorkerId},
    },
    providers::Providers,
    settings::Settings,
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus, SqliteTurns};

const TURNS: usize = 5_000;
const BUILDS: usize = 2_000;

#[tokio::main]
async fn main() {
    let turns = std::env::args().nth(1).map_or(TURNS, |turns| turns.parse().expect("a number of turns"));
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(DatabaseOptions::new(folder.path())).await.unwrap();
    let (mint, lifecycle, clock) = (database.id_mint(), Lifecycle::new(), Clock::system());
    let bus = Arc::new(SqliteBus::new(database.clone()));
    bus.ensure(&topology::ALL).await.unwrap();
    let store = Arc::new(SqliteTurns::start(database, &lifecycle));
    let mock = MockLlm::start(Script::always(Behaviour::tokens(60)).with_log_limit(1)).unwrap();
    let base_url = mock.base_url();
    // A model whose tokens are counted, not estimated.
    let settings = Settings::from_variables(|name| match name {
        "LLM_BASE_URL" => Some(base_url.clone()),
        "LLM_MODEL" => Some("gpt-4o".to_owned()),
        _ => None,
    })
    .unwrap();
    let url = settings.llm.base_url.clone().unwrap();
    let llm = OpenAiCompatible::new(&url, "gpt-4o", &settings.llm, clock.clone()).unwrap();
    let parts = LlmWorker {
        bus: bus.clone(),
        turns: store.clone(),
        log: store.clone(),
        llm: Arc::new(Providers::alone(Arc::new(llm))),
        clock: clock.clone(),
        settings: settings.turns,
        memory: settings.memory,
        prices: Arc::default(),
        budgets: Default::default(),
        metrics: Arc::default(),
        lifecycle: lifecycle.clone(),
        worker_id: WorkerId("measured".to_owned()),
    };
    lifecycle.spawn(parts.clone().run());

    let user = UserId::new("alice");
    let session: SessionId = mint.mint(&user);
    for turn in 0..turns {
        let text = format!("Turn {turn}: what do the rivers carry to the sea, and why does it matter to anybody?");
        let message = message(&mint, &clock, &user, session, &text);
        let event = to_cloud_event(&message, "measured", None).unwrap();
        bus.publish(topology::REQUESTS, &message.ordering_key(), event).await.unwrap();
        let mut reader = store.follow(&user, message.task_id, None).await.unwrap();
        while reader.next().await.unwrap().is_some() {}
    }

    let builder = ContextBuilder::new(parts);
    let next = message(&mint, &clock, &user, session, "And now?");
    // The vocabulary is unpacked beside the first ones.
    for _ in 0..200 {
        builder.build(&next).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut micros = Vec::with_capacity(BUILDS);
    let mut context = None;
    for _ in 0..BUILDS {
        let began = Instant::now();
        context = Some(builder.build(&next).await.unwrap());
        micros.push(began.elapsed().as_micros());
    }
    micros.sort_unstable();
    let checkpoint = store.checkpoint(&user, session).await.unwrap().checkpoint;
    println!(
        "{} messages: context of {:?} from a checkpoint of {} bytes: p50 {} µs, p99 {} µs",
        2 * turns,
        context.unwrap(),
        serde_json::to_vec(&checkpoint).unwrap().len(),
        micros[BUILDS / 2],
        micros[BUILDS * 99 / 100]
    );
    lifecycle.stop(std::time::Duration::from_secs(5), std::time::Duration::from_secs(1)).await;
}
