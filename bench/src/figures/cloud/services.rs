//! Each service alone: how soon it is ready, how large its program is, what memory it holds when idle.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{RUNS, Rig};
use crate::{
    Fallible,
    cloud::{Cloud, Service},
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    proc_stat::{proportional_kib, resident_kib},
    stats::{median, percentile},
};

const STARTS: usize = 10;
/// What they do before their memory is taken: 500 replies, warm-up included.
const SOME: Load = Load {
    conversations: 20,
    tokens: 100,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Turns(5),
};
const QUIET: Duration = Duration::from_secs(10);
const MIB: f64 = 1024.0;

/// What was seen of a service.
#[derive(Default)]
struct Seen {
    starts: Vec<f64>,
    fresh: Vec<f64>,
    resident: Vec<f64>,
    proportional: Vec<f64>,
}

pub(super) async fn measure(rig: &mut Rig) -> Fallible<Vec<Figure>> {
    let mut seen: [Seen; 3] = Default::default();
    for _ in 0..RUNS {
        let cloud = rig.cloud().await?;
        sleep(QUIET).await;
        for (seen, service) in seen.iter_mut().zip(Service::ALL) {
            seen.fresh.push(resident_kib(pid(&cloud, service).await?)? / MIB);
        }
        let measured = load::through_parlance(cloud.api()?, SOME).await?;
        load::wait_until_persisted(cloud.api()?, &measured.sessions).await?;
        sleep(QUIET).await;
        for (seen, service) in seen.iter_mut().zip(Service::ALL) {
            let pid = pid(&cloud, service).await?;
            seen.resident.push(resident_kib(pid)? / MIB);
            seen.proportional.push(proportional_kib(pid)? / MIB);
        }
        cloud.stop().await?;
    }
    let cloud = rig.cloud().await?;
    for _ in 0..STARTS {
        for (seen, service) in seen.iter_mut().zip(Service::ALL) {
            for member in cloud.of(service) {
                member.stop().await?;
                let began = Instant::now();
                member.start().await?;
                member.ready().await?;
                seen.starts.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let mut figures = Vec::new();
    for (seen, service) in seen.into_iter().zip(Service::ALL) {
        let size = std::fs::metadata(rig.programs.service(service.name())?)?.len() as f64 / 1e6;
        let slowest = percentile(&seen.starts, 1.0);
        figures.push(of(
            service,
            "start to /health/ready, p50",
            "ms",
            300.0,
            seen.starts,
            format!("slowest {slowest:.0} ms"),
        ));
        figures.push(of(service, "size of the program", "MB", 30.0, vec![size], as_built()));
        let note = format!(
            "resident, after 500 replies and 10 s of quiet; its proportional share (PSS) is {:.1} MiB; fresh and idle for 10 s, {:.1} MiB \
             were resident",
            median(&seen.proportional),
            median(&seen.fresh)
        );
        figures.push(of(service, "memory, idle", "MiB", 40.0, seen.resident, note));
    }
    cloud.stop().await?;
    Ok(figures)
}

fn of(service: Service, what: &str, unit: &'static str, mark: f64, runs: Vec<f64>, note: String) -> Figure {
    Figure {
        name: format!("{}: {what}", service.name()),
        unit,
        mark,
        judged: Judged::AtMost,
        runs,
        straight: Vec::new(),
        notes: vec![note],
    }
}

fn as_built() -> String {
    if cfg!(debug_assertions) { "not a release build" } else { "release build, stripped" }.to_owned()
}

async fn pid(cloud: &Cloud, service: Service) -> Fallible<u32> {
    cloud.of(service).next().ok_or("a service is missing")?.pid().await
}
