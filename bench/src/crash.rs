//! The crash test: many conversations of several turns with a real server that is killed (SIGKILL) and restarted again and
//! again, on a mock LLM that fails. At the end everything is checked from the outside: invariants 1 to 5 and 7 of the
//! design, and that turns stay ordered.
//!
//! All choices follow from the seed; what the scheduler makes of them does not, so a seed repeats a failure likely, not
//! surely.

mod audit;
mod conversation;
mod findings;
mod follower;
mod killer;
mod messages;
mod plan;
mod report;
mod transcript;
mod world;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinSet};

use self::{findings::Findings, killer::Killer, plan::ConversationPlan, world::World};
use crate::{
    Fallible,
    process::{Process, Programs, ServerOptions},
    random::Random,
};

/// Requests that the mock remembers, for the check of the prompts.
const MOCK_LOG: u32 = 200_000;

/// Conversations begin spread over the kills, so that there is always something to interrupt.
const SPREAD_PER_KILL: Duration = Duration::from_millis(700);

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct CrashTest {
    /// Repeats all choices.
    pub seed: u64,
    /// Conversations.
    pub conversations: usize,
    /// Turns of each.
    pub turns: usize,
    /// The server is killed so often, or until all conversations have ended.
    pub kills: usize,
    /// From its acceptance, a task must end within this.
    pub patience: Duration,
}

/// Runs the crash test in this folder; gives the report, and whether every promise was kept.
///
/// # Errors
/// When the programs can't be run at all.
pub async fn run(test: CrashTest, programs: &Programs, folder: &Path) -> Fallible<(String, bool)> {
    let mut random = Random::new(test.seed);
    let mock = Process::start_mock(&programs.mock, MOCK_LOG).await?;
    let options = ServerOptions {
        program: programs.server.clone(),
        data_dir: folder.join("data"),
        port: 0,
        llm: mock.base_url(),
        log: folder.join("server.log"),
        // Stalls are faults here; without this each would cost half a minute.
        settings: vec![("LLM_IDLE_TIMEOUT", "1s".to_owned()), ("LLM_FIRST_TOKEN_TIMEOUT", "2s".to_owned())],
    };
    let findings = Arc::new(Findings::default());
    let (mut killer, server, ready_at) = Killer::start(options, Arc::clone(&findings), random.fork()).await?;
    let posting = Arc::new(Notify::new());
    let world = World {
        server,
        ready_at,
        findings: Arc::clone(&findings),
        posting: Arc::clone(&posting),
        patience: test.patience,
    };
    let began = Instant::now();

    let within = SPREAD_PER_KILL * u32::try_from(test.kills)?;
    let mut conversations = JoinSet::new();
    for number in 0..test.conversations {
        let plan = ConversationPlan::new(number, test.turns, within, test.seed, &mut random);
        for fault in plan.turns.iter().filter_map(|turn| turn.fault) {
            findings.count(format!("turns with fault {fault}"));
        }
        conversations.spawn(conversation::converse(world.clone(), plan));
    }
    let talk = async {
        let mut all_told = Vec::new();
        while let Some(told) = conversations.join_next().await {
            all_told.push(told?);
        }
        Fallible::Ok(all_told)
    };
    let all_told = killer.kill_during(test.kills, &posting, talk).await?;
    let talked = began.elapsed();

    // Once more, now that all is said: whatever was promised is on disk.
    killer.crash(Duration::ZERO).await?;
    audit::audit_prompts(&world, mock.address, &all_told).await;
    let mut audits = JoinSet::new();
    for told in all_told {
        let world = world.clone();
        audits.spawn(async move { audit::audit(&world, &told).await });
    }
    while let Some(audited) = audits.join_next().await {
        audited?;
    }
    killer.stop().await?;
    let audited = began.elapsed() - talked;
    let (report, is_kept) = report::report(&findings, test.seed);
    Ok((format!("{report}{:.1} s of talk, {:.1} s of audit\n", talked.as_secs_f64(), audited.as_secs_f64()), is_kept))
}
