//! What a primary that refuses connections adds to the time to the first token, when a fallback answers. Its circuit never
//! opens here: each turn tries it.

use super::{RUNS, Rig};
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    process::{Process, ServerOptions},
    stats::percentile,
};

/// As for the first token.
const LOAD: Load = Load {
    conversations: 1,
    tokens: 8,
    token_delay_ms: 2,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Turns(250),
};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9/v1";

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let direct = rig.ready_server("fallback-direct").await?;
    let options = ServerOptions {
        llm: NOBODY.to_owned(),
        settings: vec![
            ("LLM_FALLBACK_BASE_URL", rig.mock.base_url()),
            ("LLM_FALLBACK_MODEL", "mock-model".to_owned()),
            ("LLM_CIRCUIT_FAILURES", "1000".to_owned()),
            ("LLM_CIRCUIT_OPEN_FOR", "1ms".to_owned()),
        ],
        ..rig.server("fallback")
    };
    let server = Process::start_server(&options).await?;
    server.ready().await?;
    let (mut runs, mut straight, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        straight.push(percentile(&load::through_parlance(direct.address, LOAD).await?.first_token_ms, 0.5));
        let measured = load::through_parlance(server.address, LOAD).await?;
        runs.push(percentile(&measured.first_token_ms, 0.5));
        p99.push(percentile(&measured.first_token_ms, 0.99));
    }
    server.stop().await?;
    direct.stop().await?;
    let worst = p99.iter().copied().fold(0.0, f64::max);
    let note = format!("straight: a primary that answers; p99 with the fallback {worst:.2} ms (the worst run's)");
    Ok(vec![Figure {
        name: "added by a refused connection before the fallback's first token, p50".to_owned(),
        unit: "ms",
        mark: 100.0,
        judged: Judged::AddedAtMost,
        runs,
        straight,
        notes: vec![note],
    }])
}
