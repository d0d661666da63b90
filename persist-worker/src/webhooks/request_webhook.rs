//! Asks for the webhook of a task whose end is on record.
//!
//! The end's own message is acknowledged after this: killed in between, it comes again, is written again without effect, and
//! the same event is published again.

use std::time::Duration;

use cloudevents::Event;
use parlance_shared::{
    event::{DomainEvent as _, ReplyCompleted, WebhookDue, call_id, from_cloud_event, to_cloud_event},
    port::bus::{Outcome, Reason, Received},
    topology,
};

use crate::PersistWorker;

/// Longer than the bus takes unless something is wrong with it.
const PUBLISH: Duration = Duration::from_secs(10);

pub(crate) async fn request_webhook(worker: &PersistWorker, received: &Received) -> Outcome {
    let event = match due(received) {
        Ok(Some(event)) => event,
        Ok(None) => return Outcome::Done,
        Err(problem) => return Outcome::Fail(Reason::new("unreadable_event", problem)),
    };
    let (key, event) = event;
    let publishing = tokio::time::timeout(PUBLISH, worker.bus.publish(topology::WEBHOOK_DUE, &key, event));
    let published = tokio::select! {
        biased;
        published = publishing => published,
        () = worker.lifecycle.aborting().cancelled() => return Outcome::HandBack,
    };
    let again = |why: String| Outcome::Retry { after: None, reason: Reason::new("webhook_not_requested", why) };
    match published {
        Ok(Ok(_)) => Outcome::Done,
        Ok(Err(error)) => again(error.to_string()),
        Err(_) => again(format!("the bus did not answer within {PUBLISH:?}")),
    }
}

fn due(received: &Received) -> Result<Option<(String, Event)>, String> {
    let ReplyCompleted { user_id, session_id, task, webhook } =
        from_cloud_event(&received.event).map_err(|error| error.to_string())?;
    let Some(webhook) = webhook else { return Ok(None) };
    let fact = WebhookDue { user_id, session_id, webhook, task };
    let event = to_cloud_event(&fact, "persist-worker", call_id(&received.event)).map_err(|error| error.to_string())?;
    Ok(Some((fact.ordering_key(), event)))
}
