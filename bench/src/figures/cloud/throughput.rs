//! Replies of 100 tokens without delay, 20 conversations: how many a second.

use std::time::Duration;

use super::{RUNS, Rig};
use crate::{
    Fallible,
    cloud::Cloud,
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    proc_stat::cpu_seconds,
    stats::{median, percentile},
};

const LOAD: Load = Load {
    conversations: 20,
    tokens: 100,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Elapsed(Duration::from_secs(10)),
};

pub(super) async fn measure(rig: &mut Rig) -> Fallible<Vec<Figure>> {
    let (mut runs, mut straight) = (Vec::new(), Vec::new());
    let (mut accept, mut first, mut services_cpu, mut database_cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let cloud = rig.cloud().await?;
        straight.push(load::straight_to_mock(cloud.mock.address, LOAD).await?.rate());
        let before = (used(&cloud).await?, rig.servers.postgres.cpu_seconds()?);
        let measured = load::through_parlance(cloud.api()?, LOAD).await?;
        // What persistence still has to do belongs to the replies' cost.
        load::wait_until_persisted(cloud.api()?, &measured.sessions).await?;
        let after = (used(&cloud).await?, rig.servers.postgres.cpu_seconds()?);
        let thousands = measured.all_replies as f64 / 1e3;
        services_cpu.push((after.0 - before.0) / thousands);
        database_cpu.push((after.1 - before.1) / thousands);
        runs.push(measured.rate());
        accept.push(percentile(&measured.accept_ms, 0.5));
        first.push(percentile(&measured.first_token_ms, 0.5));
        cloud.stop().await?;
    }
    Ok(vec![Figure {
        name: "three services: replies of 100 tokens, 20 conversations".to_owned(),
        unit: "/s",
        mark: 100.0,
        judged: Judged::AtLeast,
        runs,
        straight,
        notes: vec![
            format!("POST → 202 {:.1} ms, first token after {:.1} ms (p50)", median(&accept), median(&first)),
            format!(
                "CPU per 1,000 replies until all is in the durable record: the three services {:.2} s, Postgres \
                 {:.2} s; the emulator's is not counted; {}",
                median(&services_cpu),
                median(&database_cpu),
                rig.about_servers()
            ),
        ],
    }])
}

/// CPU time of all services, in seconds.
async fn used(cloud: &Cloud) -> Fallible<f64> {
    let mut seconds = 0.0;
    for member in &cloud.members {
        seconds += cpu_seconds(member.pid().await?)?;
    }
    Ok(seconds)
}
