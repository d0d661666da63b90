//! Memory of idle subscribers: thousands of open streams on tasks that run but say nothing.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{RUNS, Rig};
use crate::{
    Fallible, api,
    figure::{Figure, Judged},
    http::Connection,
    load::open_chat,
    proc_stat::resident_kib,
    process::Process,
    sse::EventStream,
    stats::median,
};

const TASKS: usize = 50;
const SUBSCRIBERS: usize = 5_000;
/// Says two words at once and the next in an hour.
const STALLED: &str = "[[mock tokens=9 delay_ms=3600000]]";
/// Long enough for a round of keep-alives (every 15 s), which is when each stream has used all its buffers.
const SETTLE: Duration = Duration::from_secs(17);
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let (mut runs, mut at_first) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let (first, settled) = through_parlance(rig, run).await?;
        at_first.push(first);
        runs.push(settled);
    }
    let straight = vec![straight_to_mock(rig).await?];
    Ok(vec![Figure {
        name: "5,000 idle SSE subscribers on running tasks, extra memory each".to_owned(),
        unit: "KiB",
        mark: 16.0,
        judged: Judged::AtMost,
        runs,
        straight,
        notes: vec![format!(
            "resident memory with {SUBSCRIBERS} streams on {TASKS} tasks after a round of keep-alives, less that with the tasks alone; \
             then the tasks are cancelled and every stream must say so; beside it the mock's own for as many streams; \
             before the keep-alives it was {:.1} KiB",
            median(&at_first)
        )],
    }])
}

async fn through_parlance(rig: &Rig, run: usize) -> Fallible<(f64, f64)> {
    let mut options = rig.server(&format!("subscribers-{run}"));
    options.settings.push(("LLM_IDLE_TIMEOUT", "1h".to_owned()));
    let server = Process::start_server(&options).await?;
    server.ready().await?;
    let mut tasks = Vec::new();
    let mut connection = Connection::open(server.address).await?;
    for task in 0..TASKS {
        let content = format!("Stalled task {task} {STALLED}");
        tasks.push(api::post_message(&mut connection, None, &content).await?.task_id);
    }
    // One subscriber each, until the task runs: what a task costs is not what a subscriber costs.
    for task in &tasks {
        drop(subscribe(server.address, task).await?);
    }
    sleep(Duration::from_secs(2)).await;
    let before = resident_kib(server.pid)?;
    let streams =
        timeout(OPEN_TIMEOUT, open_all(SUBSCRIBERS, |number| subscribe(server.address, &tasks[number % TASKS])))
            .await
            .map_err(|_| "the streams do not open")??;
    sleep(Duration::from_secs(1)).await;
    let at_first = (resident_kib(server.pid)? - before) / SUBSCRIBERS as f64;
    sleep(SETTLE).await;
    let settled = (resident_kib(server.pid)? - before) / SUBSCRIBERS as f64;

    let mut connection = Connection::open(server.address).await?;
    for task in &tasks {
        let path = format!("/v1/tasks/{task}/cancel");
        connection.exchange(api::CALL_TIMEOUT, "POST", &path, "", None).await?;
    }
    timeout(OPEN_TIMEOUT, all_are_cancelled(streams)).await.map_err(|_| "a subscriber was forgotten")??;
    server.stop().await?;
    Ok((at_first, settled))
}

/// Opens a stream and reads up to the first text.
async fn subscribe(server: SocketAddr, task: &str) -> Fallible<EventStream> {
    let mut stream = api::open_stream(Connection::open(server).await?, &api::stream_path(task), None).await?;
    while let Some(frame) = stream.next().await? {
        match frame.event {
            "delta" => return Ok(stream),
            "status" => {}
            other => return Err(format!("{other}: {}", frame.data).into()),
        }
    }
    Err("the stream ended".into())
}

/// Opens streams, some at a time.
async fn open_all<F>(count: usize, open: impl Fn(usize) -> F) -> Fallible<Vec<EventStream>>
where
    F: Future<Output = Fallible<EventStream>>,
{
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        streams.push(open(number).await?);
    }
    Ok(streams)
}

async fn all_are_cancelled(streams: Vec<EventStream>) -> Fallible<()> {
    let mut ends = JoinSet::new();
    for mut stream in streams {
        ends.spawn(async move {
            while let Some(frame) = stream.next().await? {
                match frame.event {
                    "cancelled" => return Fallible::Ok(()),
                    "delta" => {}
                    other => return Err(format!("{other} instead of the end").into()),
                }
            }
            Err("a stream ended without the task's end".into())
        });
    }
    while let Some(end) = ends.join_next().await {
        end??;
    }
    Ok(())
}

async fn straight_to_mock(rig: &Rig) -> Fallible<f64> {
    let before = resident_kib(rig.mock.pid)?;
    let mock = rig.mock.address;
    let streams = open_all(SUBSCRIBERS, async |number| {
        let mut stream =
            open_chat(Connection::open(mock).await?, &format!("Stalled stream {number} {STALLED}")).await?;
        stream.next().await?.ok_or("the stream ended")?;
        Ok(stream)
    });
    let streams = timeout(OPEN_TIMEOUT, streams).await.map_err(|_| "the streams do not open")??;
    sleep(Duration::from_secs(1)).await;
    let each = (resident_kib(rig.mock.pid)? - before) / SUBSCRIBERS as f64;
    drop(streams);
    Ok(each)
}
