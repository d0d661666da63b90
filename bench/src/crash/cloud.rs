//! The fault suite of the services apart: the same conversations and the same judges as in the crash test, against two
//! processes of each service on a real Postgres and Google's Pub/Sub emulator. Processes are killed and stopped, Postgres
//! comes and goes, connections are cut, refused and held, messages come twice and late and from strangers, and an
//! operator replays what is done.

mod chaos;
mod deliveries;
mod faults;
mod quiet;
mod replay;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use self::{chaos::Chaos, deliveries::Deliveries};
use super::{
    MOCK_LOG, audit_all,
    findings::Findings,
    plan::ConversationPlan,
    recovery::{Recovery, Timeline},
    report::report,
    talk,
    world::World,
};
use crate::{
    Fallible,
    cloud::{Cloud, CloudOptions, Parts, Servers},
    process::Programs,
    random::Random,
};

const OF_EACH: usize = 2;
/// Some replies take seconds: there must be something to interrupt.
const LONGEST: u64 = 250;
/// The bus waits up to a minute before it delivers a message again that persistence could not store.
const RECORD_LAG: Duration = Duration::from_secs(150);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How much is done.
#[derive(Clone, Debug)]
pub struct CloudCrashTest {
    /// Repeats all choices.
    pub seed: u64,
    /// Conversations.
    pub conversations: usize,
    /// Turns of each.
    pub turns: usize,
    /// They begin within this.
    pub within: Duration,
    /// Between two faults, at the most.
    pub pause: Duration,
    /// From its acceptance, a task must end within this.
    pub patience: Duration,
    /// The name of servers of its own.
    pub instance: &'static str,
}

/// Runs the fault suite in this folder; gives the report, and whether every promise was kept.
///
/// # Errors
/// When the parts can't be run at all.
pub async fn run(test: CloudCrashTest, programs: &Programs, folder: &Path) -> Fallible<(String, bool)> {
    let servers = Servers::start(&Parts::find().await?, test.instance).await?;
    let ran = run_on(test, programs, &servers, folder).await;
    let removed = servers.remove().await;
    let report = ran?;
    removed?;
    Ok(report)
}

async fn run_on(
    test: CloudCrashTest,
    programs: &Programs,
    servers: &Servers,
    folder: &Path,
) -> Fallible<(String, bool)> {
    let mut random = Random::new(test.seed);
    let options = CloudOptions {
        of_each: OF_EACH,
        is_proxied: true,
        settings: vec![
            // Stalls are faults here; without this each would cost half a minute.
            ("LLM_IDLE_TIMEOUT", "1s".to_owned()),
            ("LLM_FIRST_TOKEN_TIMEOUT", "2s".to_owned()),
            // No turn may fail because the outages of others took its time.
            ("TURN_RETRY_BUDGET", "10m".to_owned()),
            // Summaries and headings are made under the faults as well.
            ("SUMMARY_TRIGGER_TOKENS", "150".to_owned()),
            ("HEADINGS", "on".to_owned()),
        ],
    };
    let cloud = Arc::new(Cloud::start(programs, servers, &options, MOCK_LOG, folder).await?);
    let findings = Arc::new(Findings::default());
    let timeline = Arc::new(Timeline::default());
    let world = World {
        servers: cloud.addresses().into(),
        writes_to: 0,
        reads_from: 0,
        recovery: Recovery::Faults(Arc::clone(&timeline)),
        findings: Arc::clone(&findings),
        posting: Arc::new(Notify::new()),
        patience: test.patience,
        record_lag: RECORD_LAG,
        retry_pause: RETRY_PAUSE,
        is_unsure_when_busy: true,
        // The emulator does, after a worker died with messages that it had not begun with.
        may_overtake: true,
    };
    let began = Instant::now();
    let plans = (0..test.conversations)
        .map(|number| ConversationPlan::new(number, test.turns, LONGEST, test.within, test.seed, &mut random))
        .collect();
    let deliveries = Deliveries::start(cloud.emulator.clone(), &findings).await?;
    let mut chaos = Chaos::new(&cloud, deliveries, timeline, Arc::clone(&findings), programs, random.fork());
    let told = tokio::spawn(talk(world.clone(), plans));
    let all_told = chaos.rage_during(test.pause, told).await?;
    let talked = began.elapsed();

    // Whatever was promised is stored by now, or on the bus: everything starts afresh and is asked for it.
    let deliveries = chaos.finish().await?;
    audit_all(&world, cloud.mock.address, all_told).await?;
    let audited = began.elapsed() - talked;
    let unanswered = quiet::judge(&cloud, deliveries, &findings).await?;
    for proxy in cloud.members.iter().flat_map(|member| [&member.postgres, &member.pubsub]).flatten() {
        findings.recovered("a cut or refused connection, until the process had another that answered", proxy.lost_ms());
    }
    cloud.database.drop().await?;

    let (mut text, is_kept) = report(&findings, test.seed);
    text.push_str(&format!(
        "{unanswered}\n{}; {:.1} s of talk, {:.1} s of audit\n",
        if servers.postgres.is_own() {
            "Postgres was stopped and crashed for real"
        } else {
            "Postgres was only cut off"
        },
        talked.as_secs_f64(),
        audited.as_secs_f64()
    ));
    Ok((text, is_kept))
}
