//! Each service alone: what memory it holds when idle.

use std::time::Duration;

use tokio::time::sleep;

use super::{RUNS, Rig};
use crate::{
    Fallible,
    cloud::{Cloud, Service},
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    proc_stat::{proportional_kib, resident_kib},
    stats::median,
};

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
    let mut figures = Vec::new();
    for (seen, service) in seen.into_iter().zip(Service::ALL) {
        let note = format!(
            "resident, after 500 replies and 10 s of quiet; its proportional share (PSS) is {:.1} MiB; fresh and idle for 10 s, {:.1} MiB \
             were resident",
            median(&seen.proportional),
            median(&seen.fresh)
        );
        figures.push(Figure {
            name: format!("{}: memory, idle", service.name()),
            unit: "MiB",
            mark: 40.0,
            judged: Judged::AtMost,
            runs: seen.resident,
            straight: Vec::new(),
            notes: vec![note],
        });
    }
    Ok(figures)
}

async fn pid(cloud: &Cloud, service: Service) -> Fallible<u32> {
    cloud.of(service).next().ok_or("a service is missing")?.pid().await
}
