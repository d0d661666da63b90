//! What Parlance adds to the time to the first token, one conversation at a time.

use super::{RUNS, Rig};
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    stats::percentile,
};

/// Short replies, slow enough that the first token comes alone.
const LOAD: Load = Load {
    conversations: 1,
    tokens: 8,
    token_delay_ms: 2,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Turns(250),
};

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let server = rig.ready_server("first-token").await?;
    let (mut runs, mut straight, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        straight.push(percentile(&load::straight_to_mock(rig.mock.address, LOAD).await?.first_token_ms, 0.5));
        let measured = load::through_parlance(server.address, LOAD).await?;
        runs.push(percentile(&measured.first_token_ms, 0.5));
        p99.push(percentile(&measured.first_token_ms, 0.99));
    }
    server.stop().await?;
    let note = format!("p99 {:.2} ms (the worst run's)", p99.iter().copied().fold(0.0, f64::max));
    Ok(vec![Figure {
        name: "added time to first token, one conversation, p50".to_owned(),
        unit: "ms",
        mark: 3.0,
        judged: Judged::AddedAtMost,
        runs,
        straight,
        notes: vec![note],
    }])
}
