//! What the services add to the time to the first token, one conversation at a time, and where that time goes.

use super::{RUNS, Rig};
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Hops, Load, TURNS_PER_SESSION, Until},
    stats::{median, percentile},
};

/// Short replies, slow enough that the first token comes alone. The emulator looks for new messages every 50 ms: a turn that
/// always began right after the last one would always meet it at the same moment.
const LOAD: Load = Load {
    conversations: 1,
    tokens: 8,
    token_delay_ms: 2,
    pause_ms: 100,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Turns(150),
};

pub(super) async fn measure(rig: &mut Rig) -> Fallible<Vec<Figure>> {
    let cloud = rig.cloud().await?;
    let api = cloud.api()?;
    let (mut runs, mut straight) = (Vec::new(), Vec::new());
    let (mut p99, mut accept, mut hops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        straight.push(percentile(&load::straight_to_mock(cloud.mock.address, LOAD).await?.first_token_ms, 0.5));
        let measured = load::through_parlance(api, LOAD).await?;
        runs.push(percentile(&measured.first_token_ms, 0.5));
        p99.push(percentile(&measured.first_token_ms, 0.99));
        accept.extend(measured.accept_ms);
        hops.extend(measured.hops);
    }
    cloud.stop().await?;
    let hop = |of: fn(&Hops) -> f64| {
        let samples: Vec<f64> = hops.iter().map(of).collect();
        format!("{:.1} (p99 {:.1})", percentile(&samples, 0.5), percentile(&samples, 0.99))
    };
    Ok(vec![Figure {
        name: "three services: added time to first token, one conversation, p50".to_owned(),
        unit: "ms",
        mark: 40.0,
        judged: Judged::AddedAtMost,
        runs,
        straight,
        notes: vec![
            format!("p99 {:.1} ms (the worst run's)", p99.iter().copied().fold(0.0, f64::max)),
            format!(
                "hops, p50 in ms of {} turns: POST → checked {}; → claimed by a worker (publish, bus, claim) {}; → first token \
                 from the LLM {}; → seen by the client (reply log, stream) {}",
                hops.len(),
                hop(|hops| hops.to_server),
                hop(|hops| hops.to_worker),
                hop(|hops| hops.to_token),
                hop(|hops| hops.to_client),
            ),
            format!("meanwhile the client had its 202 after {:.1} ms (p50), and opened the stream", median(&accept)),
        ],
    }])
}
