//! Publishes what the record has and no end is known of.

use parlance_shared::{
    event::{DomainEvent as _, to_cloud_event},
    port::{
        PortError,
        store::{RequestFilter, StoredRequest},
    },
    replay::Replay as Mark,
    task::Status,
    topology,
};

use super::{
    Replay,
    report::{Fate, Report, Sent},
};
use crate::operator::{Operator, exit::Stop, in_time, progress::Progress, when::Range, who};

/// Adapters give less where messages are long.
const PAGE: u32 = 500;

/// After so many failures in a row the rest is not tried: the bus is away.
const HOPELESS: u32 = 3;

/// What accepted it, and what its event has as its source.
const SOURCE: &str = "ingest-api";

/// Sessions come one after the other, each in its own order.
pub(super) async fn republish(replay: &Replay, operator: &Operator) -> Result<bool, Stop> {
    let Range { since, until } = Range::of(replay.since, replay.until, &operator.clock).map_err(Stop::Usage)?;
    let filter = RequestFilter { since, until, session: replay.session, task: replay.task };
    let mark = Mark::new(&who::operator(replay.by.as_deref()), &operator.clock, replay.failed);
    if replay.yes {
        let target = match (replay.task, replay.session) {
            (Some(task), _) => task.to_string(),
            (None, Some(session)) => session.to_string(),
            (None, None) => "stored requests".to_owned(),
        };
        operator.note(replay.by.as_deref(), "replay", Some(target)).await;
    }
    let mut progress = Progress::new("looked at", None);
    let (mut sent, mut after, mut failures) = (Vec::new(), None, 0);
    loop {
        let page = in_time(operator.store.requests(&filter, after.as_ref(), PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.position());
        for request in page {
            let planned = planned(request.status, replay.failed);
            let mut one = Sent::new(&request, planned);
            if planned == Fate::WouldBeRedone && replay.yes {
                match publish(operator, &request, &mark, failures).await {
                    Ok(()) => (one.result, failures) = (Fate::Redone, 0),
                    Err(error) => {
                        one.fail(error);
                        failures += 1;
                    }
                }
            }
            sent.push(one);
            progress.step();
        }
    }
    drop(progress);
    let report = Report::new(!replay.yes, &mark, sent);
    report.print(replay.json)?;
    Ok(report.errors == 0)
}

/// Where the record is behind, the claim decides.
fn planned(status: Status, with_failed: bool) -> Fate {
    match status {
        Status::Completed | Status::Cancelled => Fate::Done,
        Status::Failed if !with_failed => Fate::Failed,
        Status::Failed | Status::Queued | Status::Running => Fate::WouldBeRedone,
    }
}

async fn publish(operator: &Operator, request: &StoredRequest, mark: &Mark, failures: u32) -> Result<(), String> {
    if failures >= HOPELESS {
        return Err("not tried after those before it failed".to_owned());
    }
    let message = &request.message;
    // The event is the one that was accepted: the same id, the same words.
    let mut event = to_cloud_event(message, SOURCE, None).map_err(|error| error.to_string())?;
    mark.mark(&mut event);
    let key = message.ordering_key();
    in_time(operator.admin.replay(topology::REQUESTS, &key, event)).await.map_err(|error: PortError| error.to_string())
}
