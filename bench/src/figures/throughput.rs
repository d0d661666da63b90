//! Replies of 100 tokens without delay: how soon a message is accepted, how many replies a second, for how much CPU.

use std::time::{Duration, Instant};

use super::{RUNS, Rig};
use crate::{
    Fallible,
    figure::{Figure, Judged},
    load::{self, Load, TURNS_PER_SESSION, Until},
    proc_stat::cpu_seconds,
    stats::{median, percentile},
};

fn load(conversations: u32, seconds: u64) -> Load {
    Load {
        conversations,
        tokens: 100,
        token_delay_ms: 0,
        pause_ms: 0,
        turns_per_session: TURNS_PER_SESSION,
        until: Until::Elapsed(Duration::from_secs(seconds)),
    }
}

/// The figures of one number of conversations, run by run: through Parlance and straight to the mock.
#[derive(Default)]
struct Both {
    parlance: Series,
    straight: Series,
    /// From the last reply until all is in the durable record, in seconds.
    lag: Vec<f64>,
}

#[derive(Default)]
struct Series {
    accept_p50: Vec<f64>,
    accept_p99: Vec<f64>,
    rate: Vec<f64>,
    cpu: Vec<f64>,
}

impl Series {
    fn add(&mut self, measured: &load::Measured, cpu_seconds: f64) {
        self.accept_p50.push(percentile(&measured.accept_ms, 0.5));
        self.accept_p99.push(percentile(&measured.accept_ms, 0.99));
        self.rate.push(measured.rate());
        self.cpu.push(cpu_seconds * 1000.0 / measured.all_replies as f64);
    }

    fn worst_p99(&self) -> String {
        format!("p99 {:.2} ms (the worst run's)", self.accept_p99.iter().copied().fold(0.0, f64::max))
    }
}

async fn both(rig: &Rig, load: Load) -> Fallible<Both> {
    let mut both = Both::default();
    for run in 0..RUNS {
        let before = cpu_seconds(rig.mock.pid)?;
        let measured = load::straight_to_mock(rig.mock.address, load).await?;
        both.straight.add(&measured, cpu_seconds(rig.mock.pid)? - before);

        let server = rig.ready_server(&format!("throughput-{}-{run}", load.conversations)).await?;
        let before = cpu_seconds(server.pid)?;
        let measured = load::through_parlance(server.address, load).await?;
        // What persistence still has to do belongs to the replies' cost.
        let ended = Instant::now();
        load::wait_until_persisted(server.address, &measured.sessions).await?;
        both.lag.push(ended.elapsed().as_secs_f64());
        both.parlance.add(&measured, cpu_seconds(server.pid)? - before);
        server.stop().await?;
    }
    Ok(both)
}

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let one = both(rig, load(1, 4)).await?;
    let twenty = both(rig, load(20, 10)).await?;
    Ok(vec![
        Figure {
            name: "POST → 202, one conversation, p50".to_owned(),
            unit: "ms",
            mark: 2.0,
            judged: Judged::AtMost,
            notes: vec![one.parlance.worst_p99()],
            runs: one.parlance.accept_p50,
            straight: one.straight.accept_p50,
        },
        Figure {
            name: "POST → 202, 20 conversations at full load, p50".to_owned(),
            unit: "ms",
            mark: 10.0,
            judged: Judged::AtMost,
            notes: vec![twenty.parlance.worst_p99()],
            runs: twenty.parlance.accept_p50,
            straight: twenty.straight.accept_p50,
        },
        Figure {
            name: "replies of 100 tokens, 20 conversations".to_owned(),
            unit: "/s",
            mark: 300.0,
            judged: Judged::AtLeast,
            runs: twenty.parlance.rate,
            straight: twenty.straight.rate,
            notes: vec![format!("the durable record was complete {:.2} s after the last reply", median(&twenty.lag))],
        },
        Figure {
            name: "server CPU per 1,000 such replies".to_owned(),
            unit: "s",
            mark: 3.0,
            judged: Judged::AtMost,
            runs: twenty.parlance.cpu,
            straight: twenty.straight.cpu,
            notes: vec!["user and system time of the server alone, until everything is in the durable record; beside it the mock's own".to_owned()],
        },
    ])
}
