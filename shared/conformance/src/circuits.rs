//! What every adapter of [`Circuits`] must keep, seen by two workers that share what they know.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlance_shared::port::circuits::{Admission, CircuitPolicy, Circuits};
use uuid::Uuid;

use crate::wait::eventually;

/// Two workers. For an adapter in memory they are one.
pub type Pair = (Arc<dyn Circuits>, Arc<dyn Circuits>);

/// What the pair must follow.
pub const POLICY: CircuitPolicy = CircuitPolicy { failures: 3, open_for: Duration::from_millis(1_500) };

fn provider() -> String {
    format!("test http://{}/v1", Uuid::now_v7())
}

fn fail(circuits: &Arc<dyn Circuits>, provider: &str) {
    (0..POLICY.failures).for_each(|_| circuits.failed(provider));
}

async fn is_open(circuits: &Arc<dyn Circuits>, provider: &str) -> bool {
    matches!(circuits.admit(provider).await, Admission::Open(_))
}

/// Waits until the worker is let through in this way, and gives how long that took.
async fn admitted(circuits: &Arc<dyn Circuits>, provider: &str, wanted: Admission) -> Duration {
    let begun = Instant::now();
    eventually("it is let through", async || (circuits.admit(provider).await == wanted).then_some(())).await;
    begun.elapsed()
}

/// Counted in a row, and each provider by itself.
pub async fn a_circuit_opens_after_failures_in_a_row((a, _): Pair) {
    let provider = provider();
    a.failed(&provider);
    a.failed(&provider);
    a.answered(&provider);
    a.failed(&provider);
    a.failed(&provider);
    assert_eq!(a.admit(&provider).await, Admission::Closed, "not in a row");
    a.failed(&provider);
    let Admission::Open(left) = a.admit(&provider).await else { panic!("still closed") };
    assert!(left <= POLICY.open_for, "{left:?}");
    assert_eq!(a.admit(&format!("{provider}/other")).await, Admission::Closed, "each has its own");
    a.answered(&provider);
}

/// Within a second, both.
pub async fn others_learn_that_it_opened_and_closed((a, b): Pair) {
    let provider = provider();
    assert_eq!(b.admit(&provider).await, Admission::Closed);
    fail(&a, &provider);
    let begun = Instant::now();
    eventually("the other learns of it", async || is_open(&b, &provider).await.then_some(())).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "late: {:?}", begun.elapsed());
    a.answered(&provider);
    let late = admitted(&b, &provider, Admission::Closed).await;
    assert!(late < Duration::from_secs(1), "late: {late:?}");
    assert_eq!(a.admit(&provider).await, Admission::Closed);
}

/// One after each time that it was open, whoever makes it.
pub async fn all_workers_make_one_probe((a, b): Pair) {
    let provider = provider();
    fail(&a, &provider);
    eventually("the other learns of it", async || is_open(&b, &provider).await.then_some(())).await;
    let deadline = Instant::now() + POLICY.open_for + Duration::from_secs(3);
    let mut probes = 0;
    while probes == 0 {
        assert!(Instant::now() < deadline, "no probe is due");
        for admission in [a.admit(&provider).await, b.admit(&provider).await] {
            assert_ne!(admission, Admission::Closed, "nothing has been heard of it");
            probes += u32::from(admission == Admission::Probe);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(probes, 1);
    assert!(is_open(&a, &provider).await && is_open(&b, &provider).await, "a second probe");
    a.failed(&provider);
    let again = async {
        tokio::select! {
            waited = admitted(&a, &provider, Admission::Probe) => waited,
            waited = admitted(&b, &provider, Admission::Probe) => waited,
        }
    };
    let waited = again.await;
    assert!(waited > POLICY.open_for / 2, "a probe that failed closes for another while: {waited:?}");
    b.answered(&provider);
    admitted(&a, &provider, Admission::Closed).await;
    admitted(&b, &provider, Admission::Closed).await;
}

/// Also one that was not there when it opened.
pub async fn a_worker_that_comes_later_knows((a, _): Pair, later: impl AsyncFn() -> Arc<dyn Circuits>) {
    let provider = provider();
    fail(&a, &provider);
    let later = later().await;
    eventually("it learns of it", async || is_open(&later, &provider).await.then_some(())).await;
    a.answered(&provider);
}
