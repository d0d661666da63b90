//! What a long memory adds to the time to the first token: that a session has 10,000 messages, and that its turns are folded
//! into summaries beside the conversation.

use super::{RUNS, Rig};
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Load, Until},
    process::{Process, ServerOptions},
    stats::percentile,
};

/// Half of the long session's messages are replies.
const TURNS: u32 = 5_000;
/// Compared at the session's beginning and at its end.
const COMPARED: usize = 250;
/// One session, as fast as it goes.
const LONG: Load = Load {
    conversations: 1,
    tokens: 8,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: u32::MAX,
    until: Until::Turns(TURNS),
};
/// Sessions of a length in which some turns are folded.
const FOLDED: Load = Load {
    conversations: 1,
    tokens: 8,
    token_delay_ms: 2,
    pause_ms: 0,
    turns_per_session: 50,
    until: Until::Turns(500),
};
/// A fold every few turns.
const TRIGGER: &str = "150";

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    Ok(vec![long_session(rig).await?, summaries(rig).await?])
}

async fn long_session(rig: &Rig) -> Fallible<Figure> {
    let server = rig.ready_server("long-session").await?;
    let (mut late, mut early) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let measured = load::through_parlance(server.address, LONG).await?;
        let first_token_ms = &measured.first_token_ms;
        early.push(percentile(&first_token_ms[..COMPARED], 0.5));
        late.push(percentile(&first_token_ms[first_token_ms.len() - COMPARED..], 0.5));
    }
    server.stop().await?;
    Ok(Figure {
        name: "added to the first token by 10,000 messages in the session, p50".to_owned(),
        unit: "ms",
        mark: 5.0,
        judged: Judged::AddedAtMost,
        runs: late,
        straight: early,
        notes: vec![format!(
            "straight: the same session's first {COMPARED} turns; loading and building the context is part of it"
        )],
    })
}

async fn summaries(rig: &Rig) -> Fallible<Figure> {
    let server = |name: &'static str, settings: Vec<(&'static str, String)>| {
        let options = rig.server(name);
        ServerOptions { settings: [options.settings.clone(), settings].concat(), ..options }
    };
    let without = Process::start_server(&server("without-folds", Vec::new())).await?;
    let folds = vec![("SUMMARY_TRIGGER_TOKENS", TRIGGER.to_owned())];
    let with = Process::start_server(&server("with-folds", folds)).await?;
    without.ready().await?;
    with.ready().await?;
    let (mut runs, mut straight) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        straight.push(percentile(&load::through_parlance(without.address, FOLDED).await?.first_token_ms, 0.5));
        runs.push(percentile(&load::through_parlance(with.address, FOLDED).await?.first_token_ms, 0.5));
    }
    without.stop().await?;
    with.stop().await?;
    Ok(Figure {
        name: "added to the first token by summaries made meanwhile, p50".to_owned(),
        unit: "ms",
        mark: 0.5,
        judged: Judged::AddedAtMost,
        runs,
        straight,
        notes: vec![format!("straight: the same without; a fold every few turns (SUMMARY_TRIGGER_TOKENS={TRIGGER})")],
    })
}
