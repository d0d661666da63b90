//! An end is to be told: one delivery, and what becomes of it.

use std::time::Duration;

use parlance_shared::{
    event::{DomainEvent as _, WebhookDue, from_cloud_event},
    port::{
        bus::{Outcome, Reason, Received},
        store::Lookup,
    },
    replay::Replay,
    trace::{Kind, Span, TRACEPARENT},
    webhook::{Target, WebhookMint},
};
use reqwest::header::CONTENT_TYPE;
use tracing::{debug, info};

use super::{
    answer::{self, Answer},
    client::{chain_of, is_not_public},
    hosts::Full,
    payload::payload,
    wait::{asked_for, backoff},
};
use crate::PersistWorker;

/// The longest that the record may take to say whether there still is such a task.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) async fn on_webhook_due(worker: &PersistWorker, received: &Received) -> Outcome {
    let due: WebhookDue = match from_cloud_event(&received.event) {
        Ok(due) => due,
        Err(error) => return Outcome::Fail(Reason::new("unreadable_event", error.to_string())),
    };
    let count = |outcome| worker.metrics.webhooks.inc(outcome);
    let Some(mint) = &worker.webhooks.mint else {
        count("unsigned");
        let why = "This persist-worker has no ID_SECRET to sign with, or WEBHOOKS is not on.";
        return Outcome::Fail(Reason::new("webhooks_off", why));
    };
    let target = match Target::parse(&due.webhook.url, worker.webhooks.settings.allow_private) {
        Ok(target) => target,
        Err(why) => {
            count("refused");
            return Outcome::Fail(Reason::new("webhook_refused", format!("The address {why}")));
        }
    };
    // What its owner deleted is told to nobody.
    let look = tokio::time::timeout(LOOK, worker.store.task(&due.user_id, due.task.id)).await;
    match look {
        Ok(Ok(Lookup::Deleted)) => {
            count("erased");
            debug!("the task's session was deleted: nobody is told");
            return Outcome::Done;
        }
        Ok(Ok(Lookup::Found(_) | Lookup::Unknown)) => {}
        Ok(Err(error)) => return look_again(&error.to_string()),
        Err(_) => return look_again("no answer in time"),
    }
    let answered = tokio::select! {
        biased;
        () = worker.lifecycle.aborting().cancelled() => return Outcome::HandBack,
        answered = deliver(worker, mint, &due, &target) => answered,
    };
    let after = match answered {
        Delivered::To => {
            count("delivered");
            let since = worker.clock.now() - due.time();
            worker.metrics.webhook_delay.observe_millis(since.num_milliseconds());
            info!(webhook.host = target.host(), "webhook delivered");
            return Outcome::Done;
        }
        Delivered::Never(outcome, reason) => {
            count(outcome);
            return Outcome::Fail(reason);
        }
        Delivered::Waits(after, reason) if under_way(worker, received) < worker.webhooks.settings.retry_budget => {
            return Outcome::Behind { after, reason };
        }
        Delivered::Not(after, reason) if under_way(worker, received) < worker.webhooks.settings.retry_budget => {
            count("retried");
            let backoff = || backoff(received.attempt, under_way(worker, received), &due.webhook_id());
            return Outcome::Retry { after: Some(after.map_or_else(backoff, asked_for)), reason };
        }
        Delivered::Waits(_, reason) | Delivered::Not(_, reason) => reason,
    };
    count("expired");
    let message =
        format!("Not delivered within {} s: {}", worker.webhooks.settings.retry_budget.as_secs(), after.message);
    Outcome::Fail(Reason::new("webhook_undeliverable", message))
}

fn look_again(cause: &str) -> Outcome {
    Outcome::Retry { after: None, reason: Reason::new("store_unavailable", cause) }
}

/// Since it was due, or since an operator sent it again.
fn under_way(worker: &PersistWorker, received: &Received) -> Duration {
    let since =
        Replay::of(&received.event).map_or(received.published_at, |replay| replay.at.max(received.published_at));
    (worker.clock.now() - since).to_std().unwrap_or_default()
}

enum Delivered {
    To,
    /// It can't be, or nobody wants it. With what is counted.
    Never(&'static str, Reason),
    /// Others are under way to its host.
    Waits(Duration, Reason),
    /// Not this time; with the wait that was asked for.
    Not(Option<Duration>, Reason),
}

fn tell(span: &mut Span, answered: &reqwest::Result<reqwest::Response>) {
    let status = answered.as_ref().map(|response| response.status().as_u16());
    if let Ok(status) = status {
        span.set("http.response.status_code", || i64::from(status));
    }
    let error = match status {
        Ok(..400) => return,
        Ok(status) => status.to_string(),
        Err(_) => "unreachable".to_owned(),
    };
    span.set("error.type", || error.clone());
    span.fail(|| error.into());
}

async fn deliver(worker: &PersistWorker, mint: &WebhookMint, due: &WebhookDue, target: &Target) -> Delivered {
    let not = |after, why: String| Delivered::Not(after, Reason::new("webhook_failed", why));
    let place = match worker.webhooks.hosts.enter(target.host()) {
        Ok(place) => place,
        Err(Full::Busy(wait)) => {
            let reason = Reason::new("webhook_host_busy", "Enough other deliveries are under way to its host.");
            return Delivered::Waits(wait, reason);
        }
        Err(Full::Failing) => return not(None, "The target failed last, and is being asked by another.".to_owned()),
    };
    let client = match worker.webhooks.client.get() {
        Ok(client) => client,
        Err(why) => return not(None, format!("No HTTP client could be made: {why}.")),
    };
    let body = match payload(due) {
        Ok(body) => body,
        Err(error) => return Delivered::Never("refused", Reason::new("webhook_refused", error.to_string())),
    };
    let (id, now) = (due.webhook_id(), worker.clock.now());
    let signature = mint.of_webhook(&due.webhook, &due.user_id).sign(&id, now, &body);
    let mut span = Span::start(Kind::Client, || "POST".into());
    span.set("http.request.method", || "POST");
    span.set("server.address", || target.host().to_owned());
    span.set("parlance.webhook_id", || id.clone());
    let mut request = client
        .post(target.url().clone())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", now.timestamp())
        .header("webhook-signature", signature)
        .body(body);
    if worker.webhooks.settings.traceparent {
        request = request.header(TRACEPARENT, span.context().traceparent());
    }
    let answered = span.scope(request.send()).await;
    tell(&mut span, &answered);
    let answer = match answered {
        Ok(response) => answer::read(response, now).await,
        Err(error) if is_not_public(&error) => {
            let why = "The target's name resolves to private addresses only.";
            return Delivered::Never("refused", Reason::new("webhook_refused", why));
        }
        Err(error) => return not(None, format!("The target could not be called: {}.", chain_of(error))),
    };
    match answer {
        Answer::Delivered => {
            place.done();
            Delivered::To
        }
        Answer::Gone => {
            place.done();
            Delivered::Never("gone", Reason::new("webhook_gone", "The target answered 410: nobody is there any more."))
        }
        Answer::Again { after, why, host_fails } => {
            if !host_fails {
                place.done();
            }
            not(after, why)
        }
    }
}
