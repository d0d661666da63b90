//! How soon each service is ready, from its execution: settings, the first connection to Postgres and the check of its
//! schema, the clients of Pub/Sub, the socket.

use std::time::Instant;

use super::{Rig, STARTS};
use crate::{
    Fallible,
    cloud::Service,
    figure::{Figure, Judged},
    process::Process,
    stats::percentile,
};

/// What a new revision may take.
const MARK_MS: f64 = 300.0;

pub(super) async fn measure(rig: &mut Rig) -> Fallible<Vec<Figure>> {
    let cloud = rig.cloud().await?;
    let mut starts: [Vec<f64>; 3] = Default::default();
    let mut mock_starts = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let mock = Process::start_mock(&rig.programs.mock, 0).await?;
        mock_starts.push(milliseconds(began));
        mock.kill().await?;
        for (starts, service) in starts.iter_mut().zip(Service::ALL) {
            for member in cloud.of(service) {
                member.stop().await?;
                let began = Instant::now();
                member.start().await?;
                member.ready().await?;
                starts.push(milliseconds(began));
            }
        }
    }
    cloud.stop().await?;
    let figures = Service::ALL.into_iter().zip(starts).map(|(service, runs)| Figure {
        name: format!("{}: execution to /health/ready, p50", service.name()),
        unit: "ms",
        mark: MARK_MS,
        judged: Judged::AtMost,
        notes: vec![format!("slowest {:.0} ms; {}", percentile(&runs, 1.0), rig.about_servers())],
        runs,
        straight: mock_starts.clone(),
    });
    Ok(figures.collect())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
