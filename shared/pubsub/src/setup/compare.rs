//! Where what is there differs from what should be: each field as text, in words that an operator can compare.

use std::collections::BTreeMap;

use google_cloud_pubsub::model::{Subscription, Topic};
use google_cloud_wkt::Duration;

use super::{desired::Desired, report::Drift};

struct Field {
    /// As Pub/Sub's API calls it.
    name: &'static str,
    value: String,
    changeable: bool,
}

/// The emulator refuses to change it.
const NOT_ON_THE_EMULATOR: &str = "expiration_policy";

pub(super) fn drift(found: &Desired, wanted: &Desired, emulator: bool) -> Vec<Drift> {
    fields(found)
        .into_iter()
        .zip(fields(wanted))
        .filter(|(is, should_be)| is.value != should_be.value)
        .map(|(is, should_be)| Drift {
            field: is.name,
            is: is.value,
            should_be: should_be.value,
            changeable: is.changeable && !(emulator && is.name == NOT_ON_THE_EMULATOR),
            changed: false,
        })
        .collect()
}

/// Each field, in the same words.
pub(super) fn described(desired: &Desired) -> BTreeMap<&'static str, String> {
    fields(desired).into_iter().map(|field| (field.name, field.value)).collect()
}

fn fields(desired: &Desired) -> Vec<Field> {
    match desired {
        Desired::Topic(topic) => of_topic(topic),
        Desired::Subscription(subscription) => of_subscription(subscription),
    }
}

fn of_topic(topic: &Topic) -> Vec<Field> {
    vec![changeable("message_retention_duration", duration(topic.message_retention_duration.as_ref()))]
}

fn of_subscription(subscription: &Subscription) -> Vec<Field> {
    vec![
        fixed("topic", subscription.topic.clone()),
        fixed("enable_message_ordering", subscription.enable_message_ordering.to_string()),
        fixed("filter", if subscription.filter.is_empty() { "none".to_owned() } else { subscription.filter.clone() }),
        changeable("ack_deadline_seconds", subscription.ack_deadline_seconds.to_string()),
        changeable("message_retention_duration", duration(subscription.message_retention_duration.as_ref())),
        changeable("retain_acked_messages", subscription.retain_acked_messages.to_string()),
        changeable("expiration_policy", expiration(subscription)),
        changeable("retry_policy", retries(subscription)),
        changeable("dead_letter_policy", second_net(subscription)),
        changeable("push_config", push(subscription)),
    ]
}

fn changeable(name: &'static str, value: String) -> Field {
    Field { name, value, changeable: true }
}

fn fixed(name: &'static str, value: String) -> Field {
    Field { name, value, changeable: false }
}

fn duration(duration: Option<&Duration>) -> String {
    duration.map_or_else(|| "none".to_owned(), |duration| String::from(*duration))
}

/// A policy without a time is "never", none at all is Pub/Sub's default.
fn expiration(subscription: &Subscription) -> String {
    match &subscription.expiration_policy {
        None => "after 31 days without a subscriber".to_owned(),
        Some(policy) => match &policy.ttl {
            None => "never".to_owned(),
            Some(ttl) => format!("after {} without a subscriber", String::from(*ttl)),
        },
    }
}

fn retries(subscription: &Subscription) -> String {
    subscription.retry_policy.as_ref().map_or_else(
        || "at once".to_owned(),
        |policy| {
            format!("{} to {}", duration(policy.minimum_backoff.as_ref()), duration(policy.maximum_backoff.as_ref()))
        },
    )
}

fn second_net(subscription: &Subscription) -> String {
    subscription.dead_letter_policy.as_ref().map_or_else(
        || "none".to_owned(),
        |policy| format!("after {} deliveries to {}", policy.max_delivery_attempts, policy.dead_letter_topic),
    )
}

fn push(subscription: &Subscription) -> String {
    let Some(config) = subscription.push_config.as_ref().filter(|config| !config.push_endpoint.is_empty()) else {
        return "pull".to_owned();
    };
    let account = config
        .oidc_token()
        .map_or_else(|| "nobody".to_owned(), |token| format!("{} for {}", token.service_account_email, token.audience));
    let form = match config.no_wrapper() {
        None => "wrapped",
        Some(wrapper) if wrapper.write_metadata => "unwrapped with metadata",
        Some(_) => "unwrapped",
    };
    format!("push to {} as {account}, {form}", config.push_endpoint)
}
