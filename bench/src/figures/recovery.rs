//! From a restart after `kill -9` until streams that were cut go on: the first event of the next attempt.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{RUNS, Rig};
use crate::{
    Fallible, api,
    figure::{Figure, Judged},
    http::Connection,
    process::Process,
    stats::percentile,
};

const CRASHES_PER_RUN: usize = 5;
const CONVERSATIONS: usize = 10;
/// A minute long: no reply ends before the crash.
const LONG_REPLY: &str = "[[mock tokens=6000 delay_ms=10 vary=1]]";
/// A cut stream that does not go on within this never will.
const LOST: Duration = Duration::from_secs(60);

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let mut p95 = Vec::new();
    for run in 0..RUNS {
        let mut samples = Vec::new();
        let options = rig.server(&format!("recovery-{run}"));
        for crash in 0..CRASHES_PER_RUN {
            let server = Process::start_server(&options).await?;
            server.ready().await?;
            let mut cut = JoinSet::new();
            for conversation in 0..CONVERSATIONS {
                let content = format!("Run {run} crash {crash} conversation {conversation} {LONG_REPLY}");
                let mut connection = Connection::open(server.address).await?;
                let task = api::post_message(&mut connection, None, &content).await?.task_id;
                cut.spawn(follow_until_cut(server.address, task));
            }
            // Past the second after which running text is stored, and short of the next in some rounds.
            sleep(Duration::from_millis(700 + 200 * crash as u64)).await;
            server.kill().await?;

            let server = Process::start_server(&options).await?;
            server.ready().await?;
            let ready = Instant::now();
            let mut resumed = JoinSet::new();
            while let Some(seen) = cut.join_next().await {
                let (task, last_event_id) = seen??;
                resumed.spawn(time_to_reset(server.address, task, last_event_id, ready));
            }
            let mut connection = Connection::open(server.address).await?;
            while let Some(sample) = resumed.join_next().await {
                let (task, milliseconds) = sample??;
                samples.push(milliseconds);
                let path = format!("/v1/tasks/{task}/cancel");
                connection.exchange(api::CALL_TIMEOUT, "POST", &path, "", None).await?;
            }
            server.stop().await?;
        }
        p95.push(percentile(&samples, 0.95));
    }
    Ok(vec![Figure {
        name: "crash to the next attempt's first event, after the restart is ready, p95".to_owned(),
        unit: "ms",
        mark: 2000.0,
        judged: Judged::AtMost,
        runs: p95,
        straight: Vec::new(),
        notes: vec![format!(
            "{CRASHES_PER_RUN} crashes × {CONVERSATIONS} streams a run, each resumed with Last-Event-ID and answered with `reset`; the mock resumes nothing"
        )],
    }])
}

/// Reads a stream until the server is gone; gives the last id.
async fn follow_until_cut(server: SocketAddr, task: String) -> Fallible<(String, String)> {
    let mut stream = api::open_stream(Connection::open(server).await?, &api::stream_path(&task), None).await?;
    let mut last = String::new();
    while let Ok(Some(frame)) = stream.next().await {
        if !matches!(frame.event, "status" | "delta") {
            return Err(format!("{} before the crash: {}", frame.event, frame.data).into());
        }
        frame.id.clone_into(&mut last);
    }
    Ok((task, last))
}

async fn time_to_reset(
    server: SocketAddr,
    task: String,
    last_event_id: String,
    ready: Instant,
) -> Fallible<(String, f64)> {
    let first = timeout(LOST, async {
        let mut stream =
            api::open_stream(Connection::open(server).await?, &api::stream_path(&task), Some(&last_event_id)).await?;
        loop {
            let frame = stream.next().await?.ok_or("the stream ended")?;
            match frame.event {
                "reset" => return Fallible::Ok(ready.elapsed()),
                // Text of the old attempt that was stored, but not yet read.
                "delta" => {}
                other => return Err(format!("{other} instead of a reset: {}", frame.data).into()),
            }
        }
    });
    let first = first.await.map_err(|_| format!("{task} hangs after a crash"))??;
    Ok((task, first.as_secs_f64() * 1e3))
}
