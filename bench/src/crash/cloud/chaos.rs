//! Makes things go wrong while the conversations go on, many at the same time, and puts them right again.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{
    deliveries::Deliveries,
    faults::{Fault, choose},
    replay::{What, replay},
};
use crate::{
    Fallible,
    cloud::{Cloud, Ending, Held, Member, Service},
    crash::{
        ALL, OVER,
        findings::{Finding, Findings, Flaw},
        recovery::{Success, Timeline},
    },
    process::{Programs, signal},
    proxy::Proxy,
    random::Random,
};

/// A claim's lease is 10 s: whoever hangs for longer has lost it.
const HANGS: [u64; 2] = [12_000, 16_000];
/// How often it is looked whether a process has ended on its own.
const WATCH: Duration = Duration::from_millis(250);
/// A process that has ended before it was ready is started again after this, as a platform does.
const START_AGAIN: Duration = Duration::from_millis(300);
/// It may need what is down just now; but not for ever.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// How often it is said how far the run has come.
const PROGRESS: Duration = Duration::from_secs(30);
/// Each question may be a line in the log.
const READY_POLL: Duration = Duration::from_millis(50);
const SLOW_START: Duration = Duration::from_secs(5);

pub(super) const WORKER_KILLED: &str = "an llm-worker was killed, until the next text of a reply that it held";
const WORKER_HANGS: &str = "an llm-worker hung beyond its lease, until the next text of a reply that it held";
const WORKER_CUT: &str = "an llm-worker was cut off, until the next text of a reply that it had to leave";
const DATABASE_BACK: &str = "Postgres was up again, until the next reply was complete";
const DATABASE_WENT: &str = "Postgres went down, until the next text of a reply that was begun anew";
const PUBSUB_BACK: &str = "Pub/Sub was reachable again, until the next message was accepted";

/// Makes things go wrong.
pub(super) struct Chaos {
    shared: Shared,
    deliveries: Deliveries,
    random: Random,
    under_way: JoinSet<Fallible<()>>,
    watch: JoinHandle<()>,
}

/// What every fault needs.
#[derive(Clone)]
struct Shared {
    cloud: Arc<Cloud>,
    timeline: Arc<Timeline>,
    findings: Arc<Findings>,
    /// Held while a worker hangs: one at a time.
    hanging: Arc<Mutex<()>>,
    /// Held while Postgres is down.
    postgres: Arc<Mutex<()>>,
    parlance: PathBuf,
}

impl Chaos {
    pub(super) fn new(
        cloud: &Arc<Cloud>,
        deliveries: Deliveries,
        timeline: Arc<Timeline>,
        findings: Arc<Findings>,
        programs: &Programs,
        random: Random,
    ) -> Self {
        let shared = Shared {
            cloud: Arc::clone(cloud),
            timeline,
            findings,
            hanging: Arc::default(),
            postgres: Arc::default(),
            parlance: programs.server.clone(),
        };
        let watch = tokio::spawn(shared.clone().watch());
        Self { shared, deliveries, random, under_way: JoinSet::new(), watch }
    }

    /// Until the talk is over.
    pub(super) async fn rage_during<T>(&mut self, pause: Duration, mut talk: JoinHandle<Fallible<T>>) -> Fallible<T> {
        let began = Instant::now();
        let mut told_at = began;
        for number in 0.. {
            if told_at.elapsed() > PROGRESS {
                told_at = Instant::now();
                let (over, all) = (self.shared.findings.count_of(OVER), self.shared.findings.count_of(ALL));
                let seconds = began.elapsed().as_secs();
                let _ = writeln!(std::io::stderr(), "{seconds} s: {over} of {all} conversations over, {number} faults");
            }
            let pause = Duration::from_millis(self.random.between(50, pause.as_millis() as u64));
            tokio::select! {
                told = &mut talk => return told?,
                () = sleep(pause) => {}
            }
            self.strike(number).await?;
            while let Some(done) = self.under_way.try_join_next() {
                done??;
            }
        }
        talk.await?
    }

    /// Waits until all faults are over, and starts every process afresh.
    pub(super) async fn finish(mut self) -> Fallible<Deliveries> {
        while let Some(done) = self.under_way.join_next().await {
            done??;
        }
        self.watch.abort();
        let _ = (&mut self.watch).await;
        // What is done is sent once more, on purpose; then everybody forgets what it knows.
        self.deliveries.duplicate(&mut self.random).await;
        let mut started = JoinSet::new();
        for member in self.shared.cloud.members.iter().cloned() {
            started.spawn(self.shared.clone().kill(member, Duration::ZERO, None));
        }
        while let Some(done) = started.join_next().await {
            done??;
        }
        Ok(self.deliveries)
    }

    async fn strike(&mut self, number: usize) -> Fallible<()> {
        let shared = self.shared.clone();
        let down = Duration::from_millis(self.random.between(0, 300));
        let long = Duration::from_millis(self.random.between(200, 3_000));
        match choose(number, &mut self.random) {
            Fault::Kill => {
                let member = self.member(&Service::ALL);
                self.under_way.spawn(shared.kill(member, down, None));
            }
            Fault::KillWhileStarting => {
                let member = self.member(&Service::ALL);
                let again = Duration::from_millis(self.random.between(0, 60));
                self.under_way.spawn(shared.kill(member, down, Some(again)));
            }
            Fault::Pause => {
                let member = self.member(&[Service::LlmWorker, Service::LlmWorker, Service::PersistWorker]);
                let time = Duration::from_millis(self.random.between(HANGS[0], HANGS[1]));
                self.under_way.spawn(shared.hang(member, time));
            }
            fault @ (Fault::Cut | Fault::Refuse | Fault::Hold) => {
                let member = self.member(&Service::ALL);
                let (is_database, resets) = (self.random.chance(50), self.random.chance(50));
                self.under_way.spawn(shared.disconnect(member, is_database, fault, resets, long));
            }
            fault @ (Fault::StopPostgres | Fault::CrashPostgres) => {
                let ending = if fault == Fault::StopPostgres { Ending::Stop } else { Ending::Crash };
                self.under_way.spawn(shared.end_postgres(ending, long));
            }
            Fault::CutPubSub => {
                self.under_way.spawn(shared.cut_pubsub(long));
            }
            Fault::Duplicate => self.deliveries.duplicate(&mut self.random).await,
            Fault::Stranger => self.deliveries.strange(&mut self.random).await,
            Fault::Replay => {
                let session = self.deliveries.session(&mut self.random).filter(|_| self.random.chance(60));
                let what = session.map_or(What::Latest, What::Session);
                let Shared { cloud, findings, parlance, .. } = shared;
                self.under_way.spawn(replay(cloud, findings, parlance, what));
            }
        }
        Ok(())
    }

    /// One process of one of these services.
    fn member(&mut self, of: &[Service]) -> Arc<Member> {
        let service = self.random.pick(of).unwrap_or(Service::LlmWorker);
        let of_service: Vec<_> = self.shared.cloud.of(service).collect();
        let number = self.random.between(0, of_service.len().saturating_sub(1) as u64) as usize;
        Arc::clone(of_service[number])
    }
}

impl Shared {
    /// Kills a process and starts it again, twice if told to.
    async fn kill(self, member: Arc<Member>, down: Duration, again: Option<Duration>) -> Fallible<()> {
        let Some(mut held) = member.try_hold() else { return Ok(()) };
        if held.ended().is_some() {
            // It is noticed by the watch.
            return Ok(());
        }
        held.kill().await?;
        self.findings.count(format!("{} killed (SIGKILL)", member.service.name()));
        if member.service == Service::LlmWorker {
            self.timeline.fault(WORKER_KILLED);
        }
        sleep(down).await;
        held.start()?;
        if let Some(after) = again {
            sleep(after).await;
            held.kill().await?;
            self.findings.count(format!("{} killed (SIGKILL) while it starts", member.service.name()));
            held.start()?;
        }
        self.wait_for_start(&member, held).await
    }

    /// Starts again what ends before it is ready: what it needs may be down.
    async fn wait_for_start(&self, member: &Member, mut held: Held<'_>) -> Fallible<()> {
        let since = Instant::now();
        while let Err(error) = held.ready(READY_POLL).await {
            if since.elapsed() > START_PATIENCE {
                self.findings.add(Finding::new(Flaw::Hanging, error.to_string()));
                return Ok(());
            }
            if held.ended().is_some() {
                self.findings.count(format!("{} gave its start up", member.service.name()));
                sleep(START_AGAIN).await;
                held.start()?;
            }
        }
        if since.elapsed() > SLOW_START {
            self.findings.count("starts that took longer than 5 s");
        }
        Ok(())
    }

    /// Starts processes again that have ended although nobody killed them.
    async fn watch(self) {
        loop {
            sleep(WATCH).await;
            for member in &self.cloud.members {
                let Some(mut held) = member.try_hold() else { continue };
                let Some(status) = held.ended() else { continue };
                let what = format!("{} ended on its own with {status}: {}", member.name(), member.log().display());
                self.findings.add(Finding::new(Flaw::Died, what));
                if held.start().is_ok() {
                    let _ = self.wait_for_start(member, held).await;
                }
            }
        }
    }

    async fn hang(self, member: Arc<Member>, time: Duration) -> Fallible<()> {
        let (Ok(_one), Some(held)) = (self.hanging.try_lock(), member.try_hold()) else { return Ok(()) };
        let pid = held.pid()?;
        signal(pid, "STOP").await?;
        self.findings.count(format!("{} stopped beyond its lease (SIGSTOP)", member.service.name()));
        if member.service == Service::LlmWorker {
            self.timeline.fault(WORKER_HANGS);
        }
        sleep(time).await;
        signal(pid, "CONT").await
    }

    async fn disconnect(
        self,
        member: Arc<Member>,
        is_database: bool,
        fault: Fault,
        resets: bool,
        time: Duration,
    ) -> Fallible<()> {
        let (proxy, part) = if is_database { (&member.postgres, "Postgres") } else { (&member.pubsub, "Pub/Sub") };
        let proxy = proxy.as_ref().ok_or("no proxy")?;
        if member.service == Service::LlmWorker {
            self.timeline.fault(WORKER_CUT);
        }
        let how = match fault {
            Fault::Cut => {
                proxy.cut(resets);
                "cut"
            }
            Fault::Refuse => {
                during(proxy, Proxy::refuse, time).await;
                "refused for a while"
            }
            _ => {
                during(proxy, Proxy::hold, time).await;
                "held for a while"
            }
        };
        self.findings.count(format!("connections {how}: {} to {part}", member.service.name()));
        Ok(())
    }

    async fn end_postgres(self, ending: Ending, down: Duration) -> Fallible<()> {
        let Ok(_one) = self.postgres.try_lock() else { return Ok(()) };
        let server = &self.cloud.database.server;
        self.timeline.fault(DATABASE_WENT);
        if server.is_own() {
            server.end(ending).await?;
            sleep(down).await;
            server.start_again().await?;
            self.findings.count(match ending {
                Ending::Stop => "Postgres stopped (fast) and started",
                Ending::Crash => "Postgres crashed (immediate) and started",
            });
        } else {
            let proxies: Vec<_> = self.cloud.members.iter().filter_map(|member| member.postgres.as_ref()).collect();
            proxies.iter().for_each(|proxy| proxy.refuse());
            sleep(down).await;
            proxies.iter().for_each(|proxy| proxy.heal());
            self.findings.count("Postgres out of everybody's reach for a while");
        }
        self.timeline.over(Success::Completed, DATABASE_BACK);
        Ok(())
    }

    async fn cut_pubsub(self, time: Duration) -> Fallible<()> {
        let proxies: Vec<_> = self.cloud.members.iter().filter_map(|member| member.pubsub.as_ref()).collect();
        proxies.iter().for_each(|proxy| proxy.refuse());
        sleep(time).await;
        proxies.iter().for_each(|proxy| proxy.heal());
        self.findings.count("Pub/Sub out of everybody's reach for a while");
        self.timeline.over(Success::Accepted, PUBSUB_BACK);
        Ok(())
    }
}

async fn during(proxy: &Proxy, fault: impl Fn(&Proxy), time: Duration) {
    fault(proxy);
    sleep(time).await;
    proxy.heal();
}
