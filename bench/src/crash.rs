//! The crash test: many conversations of several turns with a real server that is killed (SIGKILL) and restarted again and
//! again, on a mock LLM that fails. At the end everything is checked from the outside: invariants 1 to 5 and 7 of the
//! design, and that turns stay ordered.
//!
//! All choices follow from the seed; what the scheduler makes of them does not, so a seed repeats a failure likely, not
//! surely.

mod asked;
mod audit;
pub mod cloud;
mod conversation;
mod findings;
mod follower;
mod killer;
mod memory;
mod messages;
mod plan;
mod recovery;
mod report;
mod transcript;
mod world;

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinSet};

use self::{
    asked::Asked, conversation::Told, findings::Findings, killer::Killer, plan::ConversationPlan, recovery::Recovery,
    world::World,
};
use crate::{
    Fallible,
    process::{Process, Programs, ServerOptions},
    random::Random,
};

/// Requests that the mock remembers, for the check of the prompts.
const MOCK_LOG: u32 = 200_000;

const ALL: &str = "conversations";
const OVER: &str = "conversations that are over";

/// Conversations that are checked at once.
const AUDITS_AT_ONCE: usize = 32;

/// Tokens of a reply.
const LONGEST: u64 = 80;

/// The durable record may lag behind by this.
const RECORD_LAG: Duration = Duration::from_secs(20);

/// Between tries to reach a server that is down.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

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
        settings: vec![
            ("LLM_IDLE_TIMEOUT", "1s".to_owned()),
            ("LLM_FIRST_TOKEN_TIMEOUT", "2s".to_owned()),
            // Summaries and headings are made under the kills as well.
            ("SUMMARY_TRIGGER_TOKENS", "150".to_owned()),
            ("HEADINGS", "on".to_owned()),
        ],
    };
    let findings = Arc::new(Findings::default());
    let (mut killer, server, ready_at) = Killer::start(options, Arc::clone(&findings), random.fork()).await?;
    let posting = Arc::new(Notify::new());
    let world = World {
        servers: Arc::new([server]),
        writes_to: 0,
        reads_from: 0,
        recovery: Recovery::Restart(ready_at),
        findings: Arc::clone(&findings),
        posting: Arc::clone(&posting),
        patience: test.patience,
        record_lag: RECORD_LAG,
        retry_pause: RETRY_PAUSE,
        is_unsure_when_busy: false,
        may_overtake: false,
    };
    let began = Instant::now();

    let within = SPREAD_PER_KILL * u32::try_from(test.kills)?;
    let plans = (0..test.conversations)
        .map(|number| ConversationPlan::new(number, test.turns, LONGEST, within, test.seed, &mut random))
        .collect();
    let talk = talk(world.clone(), plans);
    let all_told = killer.kill_during(test.kills, &posting, talk).await?;
    let talked = began.elapsed();

    // Once more, now that all is said: whatever was promised is on disk.
    killer.crash(Duration::ZERO).await?;
    audit_all(&world, mock.address, all_told).await?;
    killer.stop().await?;
    let audited = began.elapsed() - talked;
    let (report, is_kept) = report::report(&findings, test.seed);
    Ok((format!("{report}{:.1} s of talk, {:.1} s of audit\n", talked.as_secs_f64(), audited.as_secs_f64()), is_kept))
}

/// Has all conversations.
async fn talk(world: World, plans: Vec<ConversationPlan>) -> Fallible<Vec<Told>> {
    let mut conversations = JoinSet::new();
    for plan in plans {
        world.findings.count(ALL);
        for fault in plan.turns.iter().filter_map(|turn| turn.fault) {
            world.findings.count(format!("turns with fault {fault}"));
        }
        conversations.spawn(conversation::converse(world.clone(), plan));
    }
    let mut all_told = Vec::new();
    while let Some(told) = conversations.join_next().await {
        all_told.push(told?);
        world.findings.count(OVER);
    }
    Ok(all_told)
}

/// Checks all conversations when they are over.
async fn audit_all(world: &World, mock: SocketAddr, all_told: Vec<Told>) -> Fallible<()> {
    let asked = match Asked::of(mock).await {
        Ok(asked) => Arc::new(asked),
        Err(finding) => return Err(finding.to_string().into()),
    };
    asked.judge_prompts(&all_told, world);
    let mut audits = JoinSet::new();
    for told in all_told {
        let (world, asked) = (world.clone(), Arc::clone(&asked));
        audits.spawn(async move { audit::audit(&world, &asked, &told).await });
        if audits.len() >= AUDITS_AT_ONCE
            && let Some(audited) = audits.join_next().await
        {
            audited?;
        }
    }
    while let Some(audited) = audits.join_next().await {
        audited?;
    }
    Ok(())
}
