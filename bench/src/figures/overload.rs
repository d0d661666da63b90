//! Three times the messages that the machine can answer: how many are answered all the same, whether probes of health are,
//! and what counting calls costs each of them.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{
    task::LocalSet,
    time::{interval, sleep, sleep_until, timeout},
};

use super::{RUNS, Rig};
use crate::{
    Fallible,
    api::{self, Accepted, Delta, OpenStreamError, Reply},
    figure::{Figure, Judged},
    http::Connection,
    load::{self, Load, TURNS_PER_SESSION, Until},
    process::{Process, ServerOptions},
    stats::percentile,
};

const TOKENS: u32 = 100;
/// As many conversations as it takes for the peak, one after the other's reply.
const PEAK: Load = Load {
    conversations: 20,
    tokens: TOKENS,
    token_delay_ms: 0,
    pause_ms: 0,
    turns_per_session: TURNS_PER_SESSION,
    until: Until::Elapsed(Duration::from_secs(6)),
};
const TIMES: f64 = 3.0;
/// The first of it is not counted: shedding begins when there is a queue to see.
const SETTLE: Duration = Duration::from_secs(2);
const COUNTED: Duration = Duration::from_secs(8);
/// A reply that comes later was worth nothing to whoever waited.
const IN_TIME: Duration = Duration::from_secs(2);
/// Clients that wait at once; more could not be told from an attack on the client.
const CLIENTS: usize = 4_000;
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// Calls for the cost of counting.
const CALLS: usize = 4_000;

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let (mut goodput, mut health, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let server = rig.ready_server(&format!("overload-peak-{run}")).await?;
        let peak = load::through_parlance(server.address, PEAK).await?.rate();
        server.stop().await?;
        let server = start(rig, &format!("overload-{run}"), &[("MAX_QUEUE_DELAY", "20ms")]).await?;
        let seen = LocalSet::new().run_until(overload(server.address, peak * TIMES)).await?;
        server.stop().await?;
        let rate = |count: usize| count as f64 / COUNTED.as_secs_f64();
        goodput.push(100.0 * rate(seen.in_time.len()) / peak);
        health.push(percentile(&seen.health_ms, 0.99));
        notes.push(format!(
            "run {}: peak {peak:.0}/s, offered {:.0}/s, answered in time {:.0}/s (p50 {:.0} ms, p99 {:.0} ms), late {:.0}/s, \
             turned away {:.0}/s, longest time without a message accepted {:.0} ms; /health p50 {:.1} ms, worst {:.1} ms",
            run + 1,
            peak * TIMES,
            rate(seen.in_time.len()),
            percentile(&seen.in_time, 0.5),
            percentile(&seen.in_time, 0.99),
            rate(seen.late),
            rate(seen.turned_away),
            seen.longest_pause.as_secs_f64() * 1e3,
            percentile(&seen.health_ms, 0.5),
            percentile(&seen.health_ms, 1.0),
        ));
    }
    let mut figures = vec![
        Figure {
            name: "replies in time at three times the peak load, of the peak".to_owned(),
            unit: "%",
            mark: 90.0,
            judged: Judged::AtLeast,
            runs: goodput,
            straight: Vec::new(),
            notes,
        },
        Figure {
            name: "/health at three times the peak load, p99".to_owned(),
            unit: "ms",
            mark: 50.0,
            judged: Judged::AtMost,
            runs: health,
            straight: Vec::new(),
            notes: Vec::new(),
        },
    ];
    figures.push(limits(rig).await?);
    Ok(figures)
}

async fn start(rig: &Rig, folder: &str, settings: &[(&'static str, &str)]) -> Fallible<Process> {
    let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let server = Process::start_server(&ServerOptions { settings, ..rig.server(folder) }).await?;
    server.ready().await?;
    Ok(server)
}

/// What was seen in the time that counts.
#[derive(Default)]
struct Seen {
    /// From the POST to the whole reply, in milliseconds.
    in_time: Vec<f64>,
    late: usize,
    turned_away: usize,
    health_ms: Vec<f64>,
    last_accepted: Option<Instant>,
    longest_pause: Duration,
}

struct Rush {
    server: SocketAddr,
    counted_from: Instant,
    idle: RefCell<Vec<Connection>>,
    waiting: Cell<usize>,
    seen: RefCell<Seen>,
    failed: RefCell<Option<crate::Stop>>,
}

/// Sends so many messages a second, whatever becomes of those before.
async fn overload(server: SocketAddr, per_second: f64) -> Fallible<Seen> {
    let began = Instant::now();
    let rush = Rc::new(Rush {
        server,
        counted_from: began + SETTLE,
        idle: RefCell::default(),
        waiting: Cell::new(0),
        seen: RefCell::default(),
        failed: RefCell::default(),
    });
    let probing = tokio::task::spawn_local(probe(rush.clone()));
    for number in 0_u64.. {
        let due = began + Duration::from_secs_f64(number as f64 / per_second);
        if due >= began + SETTLE + COUNTED {
            break;
        }
        sleep_until(due.into()).await;
        if rush.waiting.get() >= CLIENTS {
            return Err(format!("{CLIENTS} clients wait: nothing is turned away").into());
        }
        rush.waiting.set(rush.waiting.get() + 1);
        let rush = rush.clone();
        tokio::task::spawn_local(async move {
            let outcome = timeout(Duration::from_secs(60), rush.one(number)).await;
            if let Err(error) = outcome.unwrap_or_else(|_| Err("a reply hangs".into())) {
                *rush.failed.borrow_mut() = Some(error);
            }
            rush.waiting.set(rush.waiting.get() - 1);
        });
    }
    probing.abort();
    while rush.waiting.get() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    match rush.failed.take() {
        Some(error) => Err(error),
        None => Ok(rush.seen.take()),
    }
}

#[derive(Deserialize)]
struct Ended {
    reply: Reply,
}

impl Rush {
    fn counts(&self) -> bool {
        let now = Instant::now();
        (self.counted_from..self.counted_from + COUNTED).contains(&now)
    }

    /// One message, in a session of its own, and its reply.
    async fn one(&self, number: u64) -> Fallible<()> {
        let began = Instant::now();
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.server).await?,
        };
        let content = load::content(number, 0, TOKENS, 0);
        let body = api::message_body(&content);
        let answer = connection.exchange(api::CALL_TIMEOUT, "POST", &api::messages_path(None), "", Some(&body)).await?;
        if answer.status == 503 {
            if !answer.says_when_to_retry {
                return Err("a 503 without Retry-After".into());
            }
            self.idle.borrow_mut().push(connection);
            self.seen.borrow_mut().turned_away += usize::from(self.counts());
            return Ok(());
        }
        let accepted: Accepted = api::parse(&answer, 202)?;
        if self.counts() {
            let mut seen = self.seen.borrow_mut();
            let now = Instant::now();
            let pause = seen.last_accepted.map_or(Duration::ZERO, |last| now - last);
            seen.longest_pause = seen.longest_pause.max(pause);
            seen.last_accepted = Some(now);
        }
        let mut stream = match api::open_stream(connection, &api::stream_path(&accepted.task_id), None).await {
            Ok(stream) => stream,
            // Its reply comes all the same, but nobody waits for it.
            Err(OpenStreamError::Status(503, _)) => {
                self.seen.borrow_mut().late += usize::from(self.counts());
                return Ok(());
            }
            Err(error) => return Err(error.to_string().into()),
        };
        let mut text = String::new();
        let ended = loop {
            let frame = stream.next().await?.ok_or("the stream ended before the task")?;
            match frame.event {
                "delta" => text.push_str(&serde_json::from_str::<Delta<'_>>(frame.data)?.text),
                "done" => break serde_json::from_str::<Ended>(frame.data)?,
                "status" => {}
                other => return Err(format!("{other}: {}", frame.data).into()),
            }
        };
        if text != ended.reply.content || text != parlance_mock_llm::expected_reply(&content, TOKENS) {
            return Err(format!("wrong reply to {content:?}").into());
        }
        let idle = load::finish(stream).await?;
        self.idle.borrow_mut().extend(idle);
        let took = began.elapsed();
        if self.counts() {
            let mut seen = self.seen.borrow_mut();
            if took <= IN_TIME {
                seen.in_time.push(took.as_secs_f64() * 1e3);
            } else {
                seen.late += 1;
            }
        }
        Ok(())
    }
}

/// Asks for health as a platform does: every time on a new connection.
async fn probe(rush: Rc<Rush>) {
    let mut ticks = interval(PROBE_EVERY);
    loop {
        ticks.tick().await;
        let began = Instant::now();
        let probing = async {
            let mut connection = Connection::open(rush.server).await?;
            connection.exchange(api::CALL_TIMEOUT, "GET", "/health", "", None).await
        };
        let healthy = probing.await.is_ok_and(|answer| answer.status == 200);
        if !healthy {
            *rush.failed.borrow_mut() = Some("/health did not answer 200".into());
        }
        if rush.counts() {
            rush.seen.borrow_mut().health_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
}

/// The same calls with everything counted and with nothing.
async fn limits(rig: &Rig) -> Fallible<Figure> {
    let counting = [
        ("RATE_LIMIT_PER_USER", "1000000/s"),
        ("RATE_LIMIT_PER_IP", "1000000/s"),
        ("TRUSTED_PROXIES", "1"),
        ("MAX_TASKS_PER_USER", "10000"),
        ("MAX_STREAMS_PER_USER", "10000"),
        ("MAX_QUEUE_DELAY", "1s"),
    ];
    let limited = start(rig, "limits", &counting).await?;
    let open = start(rig, "no-limits", &[]).await?;
    let (mut runs, mut straight) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        straight.push(call_micros(open.address).await?);
        runs.push(call_micros(limited.address).await?);
    }
    limited.stop().await?;
    open.stop().await?;
    Ok(Figure {
        name: "added to a call by its limits, p50".to_owned(),
        unit: "µs",
        mark: 20.0,
        judged: Judged::AddedAtMost,
        runs,
        straight,
        notes: vec!["straight: a server without limits; GET /".to_owned()],
    })
}

async fn call_micros(server: SocketAddr) -> Fallible<f64> {
    let mut connection = Connection::open(server).await?;
    let mut micros = Vec::with_capacity(CALLS);
    for number in 0..CALLS + CALLS / 4 {
        let headers = format!("x-forwarded-for: 10.{}.{}.1\r\n", number / 256 % 256, number % 256);
        let began = Instant::now();
        let answer = connection.exchange(api::CALL_TIMEOUT, "GET", "/", &headers, None).await?;
        if answer.status != 200 {
            return Err(format!("{} for GET /", answer.status).into());
        }
        if number >= CALLS / 4 {
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(percentile(&micros, 0.5))
}
