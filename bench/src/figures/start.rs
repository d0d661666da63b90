//! How soon the built program is ready on a data folder that is in use, and the memory it holds when idle.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Rig;
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    proc_stat::resident_kib,
    process::Process,
    stats::median,
};

const STARTS: usize = 10;
/// What the data folder holds before: some thousand replies.
const FILL: Load = Load {
    conversations: 20,
    tokens: 100,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Elapsed(Duration::from_secs(4)),
};
/// What each start does before its memory is taken.
const SOME: Load = Load {
    conversations: 20,
    tokens: 100,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Turns(5),
};
const QUIET: Duration = Duration::from_secs(2);
const MEMORY_RUNS: usize = 3;

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let server = rig.ready_server("start").await?;
    let filled = load::through_parlance(server.address, FILL).await?;
    load::wait_until_persisted(server.address, &filled.sessions).await?;
    server.stop().await?;

    let (mut starts, mut mock_starts, mut stops, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for start in 0..STARTS {
        let began = Instant::now();
        let mock = Process::start_mock(&rig.programs.mock, 0).await?;
        mock_starts.push(began.elapsed().as_secs_f64() * 1e3);
        mock.kill().await?;

        let began = Instant::now();
        let server = rig.ready_server("start").await?;
        starts.push(began.elapsed().as_secs_f64() * 1e3);
        if start < MEMORY_RUNS {
            let measured = load::through_parlance(server.address, SOME).await?;
            load::wait_until_persisted(server.address, &measured.sessions).await?;
            sleep(QUIET).await;
            memory.push(resident_kib(server.pid)? / 1024.0);
        }
        let began = Instant::now();
        server.stop().await?;
        stops.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let folder: u64 = std::fs::read_dir(rig.folder.path().join("start"))?
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum();
    Ok(vec![
        Figure {
            name: "start of the built binary to /health/ready on an existing data folder".to_owned(),
            unit: "ms",
            mark: 300.0,
            judged: Judged::AtMost,
            runs: starts,
            straight: mock_starts,
            notes: vec![format!(
                "the folder held {} replies in {:.1} MiB; SIGTERM to the end took {:.0} ms (median)",
                filled.all_replies,
                folder as f64 / 1048576.0,
                median(&stops)
            )],
        },
        Figure {
            name: "resident memory idle".to_owned(),
            unit: "MiB",
            mark: 40.0,
            judged: Judged::AtMost,
            runs: memory,
            straight: vec![resident_kib(rig.mock.pid)? / 1024.0],
            notes: vec!["after 500 replies at 20 conversations and 2 s of quiet".to_owned()],
        },
    ])
}
