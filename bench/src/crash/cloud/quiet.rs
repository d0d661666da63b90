//! When all is said and done, the subscriptions are empty: whatever was delivered was answered.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::deliveries::Deliveries;
use crate::{
    Fallible,
    cloud::{Cloud, Emulator, PubSubMessage, Pulled, Service},
    crash::findings::{Finding, Findings, Flaw},
    proc_stat::cpu_seconds,
};

/// Messages that nobody answers come again after the subscription's deadline; so much later they are there.
const MARGIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// Workers that use less within [`PAUSE`] do nothing.
const IDLE_SECONDS: f64 = 0.05;
/// Workers may still be at what came twice at the very end.
const SETTLE: Duration = Duration::from_secs(90);

/// Stops the processes and looks for messages that are left; gives a sentence for the report.
pub(super) async fn judge(cloud: &Cloud, deliveries: Deliveries, findings: &Findings) -> Fallible<String> {
    deliveries.stop().await;
    let subscriptions = cloud.emulator.subscriptions().await?;
    let of_services: Vec<_> =
        subscriptions.iter().filter(|subscription| is_of_a_service(subscription.short_name())).collect();
    let deadline = of_services.iter().map(|subscription| subscription.ack_deadline_seconds).max().unwrap_or_default();
    let deadline = Duration::from_secs(deadline) + MARGIN;
    wait_until_idle(cloud, deadline).await?;
    if let Err(error) = cloud.stop_members().await {
        findings.add(Finding::new(Flaw::Died, error.to_string()));
    }
    let mut left = HashSet::new();
    let since = Instant::now();
    while since.elapsed() < deadline {
        for subscription in &of_services {
            let name = subscription.short_name();
            for Pulled { message, .. } in cloud.emulator.pull(name).await? {
                let PubSubMessage { message_id, attributes, ordering_key, .. } = message;
                if left.insert((name, message_id.clone())) {
                    let what = format!("{message_id} of {ordering_key} is left in {name}: {attributes:?}");
                    findings.add(Finding::new(Flaw::Unanswered, what));
                }
            }
        }
        sleep(PAUSE).await;
    }
    let mut dead = String::new();
    for subscription in subscriptions.iter().filter(|subscription| is_of_dead_letters(subscription.short_name())) {
        let count = drain(&cloud.emulator, subscription.short_name()).await?;
        dead.push_str(&format!("; {count} dead letters in {}", subscription.short_name()));
    }
    Ok(format!(
        "{} subscriptions were looked at for {} s after the services had stopped{dead}",
        of_services.len(),
        deadline.as_secs()
    ))
}

fn is_of_dead_letters(name: &str) -> bool {
    name.contains("dead")
}

fn is_of_a_service(name: &str) -> bool {
    !name.starts_with("bench-") && !is_of_dead_letters(name)
}

async fn drain(emulator: &Emulator, subscription: &str) -> Fallible<usize> {
    let mut count = 0;
    loop {
        let taken = emulator.take(subscription).await?.len();
        if taken == 0 {
            return Ok(count);
        }
        count += taken;
    }
}

/// Until the workers have used no CPU time to speak of for so long: longer than a message waits that a process held which was
/// killed.
async fn wait_until_idle(cloud: &Cloud, quiet: Duration) -> Fallible<()> {
    let since = Instant::now();
    let mut quiet_since = since;
    let mut used = worked(cloud).await?;
    while quiet_since.elapsed() < quiet && since.elapsed() < SETTLE {
        sleep(PAUSE).await;
        let now = worked(cloud).await?;
        if now - used > IDLE_SECONDS {
            quiet_since = Instant::now();
        }
        used = now;
    }
    Ok(())
}

/// CPU time of all workers, in seconds.
async fn worked(cloud: &Cloud) -> Fallible<f64> {
    let mut seconds = 0.0;
    for member in cloud.members.iter().filter(|member| member.service != Service::IngestApi) {
        seconds += cpu_seconds(member.pid().await?)?;
    }
    Ok(seconds)
}
