//! Live streams, 50 tokens a second each: how late a token is, and what it costs the database.
//!
//! The mock stamps each token with the time at which it sends it; the client compares on arrival. So the figure holds, besides
//! what it is about (the way from the worker's hands to the client's socket), the mock's write, the worker's read, and the
//! client's own wait for its turn on the machine: it is an upper bound.

mod arrivals;
mod reader;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::{
    arrivals::Arrivals,
    reader::{End, read},
};
use super::{RUNS, Rig};
use crate::{
    Fallible, api,
    figure::{Figure, Judged},
    http::{Connection, Head},
    load::open_chat,
    proc_stat::cpu_seconds,
    process::Process,
    stats::median,
};

const STREAMS: usize = 1_000;
const TOKEN_MS: u64 = 20;
/// Streams open within this, each at a moment of its own: their tokens must not all be due at once.
const RAMP: Duration = Duration::from_secs(20);
/// Then everything settles.
const SETTLE: Duration = Duration::from_secs(3);
const WINDOW: Duration = Duration::from_secs(15);
/// Each reply outlasts the window.
const TOKENS: u64 = (20 + 3 + 15 + 5) * 1_000 / TOKEN_MS;
const POSTS_AT_ONCE: usize = 10;
const MOST: Duration = Duration::from_secs(180);

/// What one run gave.
struct Run {
    p50: f64,
    p99: f64,
    tokens: f64,
    /// CPU seconds per million tokens: of the database, and of worker, API, mock and client.
    database_cpu: f64,
    other_cpu: [f64; 4],
    wal_per_token: f64,
}

pub(super) async fn measure(rig: &mut Rig) -> Fallible<Vec<Figure>> {
    let (mut runs, mut straight) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        runs.push(through_parlance(rig).await?);
        straight.push(straight_to_mock(rig).await?);
    }
    let all = |of: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(of).collect() };
    let cpu = |part: usize| median(&runs.iter().map(|run| run.other_cpu[part]).collect::<Vec<_>>());
    let of_streams = format!("three services: {STREAMS} live streams of {} tokens/s", 1_000 / TOKEN_MS);
    let figure = |what: &str, unit, mark, runs, straight, notes| Figure {
        name: format!("{of_streams}, {what}"),
        unit,
        mark,
        judged: Judged::AtMost,
        runs,
        straight,
        notes,
    };
    let bound = format!(
        "from the mock's stamp to the client's read, an upper bound; {:.0} tokens/s arrived, none missing, none twice",
        median(&all(|run| run.tokens)) / WINDOW.as_secs_f64()
    );
    let others = format!(
        "{}; CPU s per million tokens beside it: llm-worker {:.1}, ingest-api {:.1}, mock {:.1}, client {:.1}",
        rig.about_servers(),
        cpu(0),
        cpu(1),
        cpu(2),
        cpu(3)
    );
    let (straight_p50, straight_p99) = straight.into_iter().unzip();
    Ok(vec![
        figure("delay of a token, p50", "ms", 25.0, all(|run| run.p50), straight_p50, vec![bound]),
        figure("delay of a token, p99", "ms", 100.0, all(|run| run.p99), straight_p99, Vec::new()),
        figure("database CPU per million tokens", "s", 6.0, all(|run| run.database_cpu), Vec::new(), vec![others]),
        figure("WAL per token", "B", 150.0, all(|run| run.wal_per_token), Vec::new(), Vec::new()),
    ])
}

fn content(number: usize) -> String {
    format!("Live stream {number}. [[mock tokens={TOKENS} delay_ms={TOKEN_MS} stamp=1]]")
}

async fn through_parlance(rig: &mut Rig) -> Fallible<Run> {
    let cloud = rig.cloud().await?;
    let api = cloud.api()?;
    let mut pids = Vec::new();
    for member in cloud.members.iter().take(2).rev() {
        pids.push(member.pid().await?);
    }
    pids.extend([cloud.mock.pid, std::process::id()]);
    let window = async {
        let before = (cpu_of(&pids)?, rig.servers.postgres.cpu_seconds()?, rig.servers.postgres.wal_bytes().await?);
        sleep(WINDOW).await;
        let after = (cpu_of(&pids)?, rig.servers.postgres.cpu_seconds()?, rig.servers.postgres.wal_bytes().await?);
        Fallible::Ok((before, after))
    };
    let (arrivals, (before, after)) = streams(window, move |number| open(api, number), End::Done).await?;
    cloud.stop().await?;
    let tokens = arrivals.count() as f64;
    let per_million = |seconds: f64| seconds * 1e6 / tokens;
    Ok(Run {
        p50: arrivals.percentile(0.5),
        p99: arrivals.percentile(0.99),
        tokens,
        database_cpu: per_million(after.1 - before.1),
        other_cpu: [0, 1, 2, 3].map(|part| per_million(after.0[part] - before.0[part])),
        wal_per_token: (after.2 - before.2) / tokens,
    })
}

async fn straight_to_mock(rig: &Rig) -> Fallible<(f64, f64)> {
    let mock = Process::start_mock(&rig.programs.mock, 0).await?;
    let address = mock.address;
    let window = async {
        sleep(WINDOW).await;
        Ok(())
    };
    let (arrivals, ()) = streams(window, move |number| open_straight(address, number), End::DoneMark).await?;
    mock.kill().await?;
    Ok((arrivals.percentile(0.5), arrivals.percentile(0.99)))
}

/// Posts a message and opens its stream.
async fn open(api: SocketAddr, number: usize) -> Fallible<(Connection, Head)> {
    let mut connection = Connection::open(api).await?;
    let task = api::post_message(&mut connection, None, &content(number)).await?.task_id;
    Ok(api::open_stream(connection, &api::stream_path(&task), None).await?.into_parts())
}

async fn open_straight(mock: SocketAddr, number: usize) -> Fallible<(Connection, Head)> {
    let connection = Connection::open(mock).await?;
    Ok(open_chat(connection, &content(number)).await?.into_parts())
}

/// Opens all streams, and when they run and have settled, counts what arrives during `window`; then reads all to their ends.
async fn streams<T, O>(
    window: impl Future<Output = Fallible<T>>,
    open: impl Fn(usize) -> O + Clone + Send + 'static,
    end: End,
) -> Fallible<(Arrivals, T)>
where
    O: Future<Output = Fallible<(Connection, Head)>> + Send,
{
    let began = Instant::now();
    let arrivals = Arc::new(Arrivals::default());
    let posts = Arc::new(Semaphore::new(POSTS_AT_ONCE));
    let mut readers = JoinSet::new();
    for number in 0..STREAMS {
        let (arrivals, posts, open) = (Arc::clone(&arrivals), Arc::clone(&posts), open.clone());
        readers.spawn(async move {
            sleep_until(began + RAMP.mul_f64(fastrand::f64())).await;
            let (connection, head) = {
                let _slot = posts.acquire().await?;
                open(number).await?
            };
            arrivals.opened();
            timeout(MOST, read(connection, head, TOKENS, end, &arrivals)).await.map_err(|_| "a stream hangs")?
        });
    }
    sleep_until(began + RAMP + SETTLE).await;
    if arrivals.open_streams() < STREAMS {
        return Err(format!("after {:?} only {} streams were open", RAMP + SETTLE, arrivals.open_streams()).into());
    }
    arrivals.count_from_now();
    let seen = window.await?;
    arrivals.count_no_more();
    if readers.try_join_next().is_some() {
        return Err("a stream ended before the measurement did".into());
    }
    while let Some(read) = readers.join_next().await {
        read??;
    }
    let arrivals = Arc::try_unwrap(arrivals).map_err(|_| "somebody still reads")?;
    Ok((arrivals, seen))
}

fn cpu_of(pids: &[u32]) -> Fallible<Vec<f64>> {
    pids.iter().map(|pid| cpu_seconds(*pid)).collect()
}
