//! What there should be.

use google_cloud_pubsub::model::{
    self, DeadLetterPolicy, ExpirationPolicy, PushConfig, RetryPolicy, Topic,
    push_config::{NoWrapper, OidcToken},
};
use google_cloud_wkt::Duration;
use parlance_shared::port::{PortError, bus::Subscription};
use serde::Serialize;

use super::report::Kind;
use crate::{
    error::rejected,
    names::{Names, dead_letters_of},
};

/// Pub/Sub itself makes a message a dead letter after so many deliveries: well after our own consumers would have.
pub const SECOND_NET: u32 = 100;

/// How long messages are kept, done or not: so far back a subscription can be set.
const RETENTION_DAYS: i64 = 7;
/// The longest that Pub/Sub keeps a message: an operator's holidays are shorter.
const LETTERS_RETENTION_DAYS: i64 = 31;
/// The emulator takes no more for a subscription.
const EMULATOR_DAYS: i64 = 7;
/// A killed worker's messages come again soon; the client extends the leases of a living one.
const PULL_ACK_DEADLINE: i32 = 10;
/// A push request may last so long, and no longer.
const PUSH_ACK_DEADLINE: i32 = 600;
const LETTERS_ACK_DEADLINE: i32 = 60;
/// Pub/Sub takes no longer waits.
const LONGEST_BACKOFF: std::time::Duration = std::time::Duration::from_secs(600);

/// What is not the same everywhere.
#[derive(Clone, Debug, Default)]
pub struct SetupOptions {
    /// Subscriptions that push to a service; the others are pulled from.
    pub push: Vec<PushTarget>,
}

/// A service that messages are pushed to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PushTarget {
    /// The subscription that pushes.
    pub subscription: String,
    /// Where to: an https URL.
    pub endpoint: String,
    /// As whom: its token goes with each request. The emulator sends none.
    pub service_account: Option<String>,
    /// What the token is for; without it, the endpoint.
    pub audience: Option<String>,
    /// The body is the event's data and the attributes are headers, instead of JSON around both.
    pub unwrapped: bool,
}

impl SetupOptions {
    pub(super) fn check(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        for target in &self.push {
            if !subscriptions.iter().any(|subscription| subscription.name == target.subscription) {
                return Err(rejected(format!("there is no subscription {:?} that could push", target.subscription)));
            }
        }
        Ok(())
    }
}

pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) desired: Desired,
}

/// A topic or a subscription, as it should be or as it is.
pub(super) enum Desired {
    Topic(Box<Topic>),
    Subscription(Box<model::Subscription>),
}

impl Desired {
    pub(super) fn topic(topic: Topic) -> Self {
        Self::Topic(Box::new(topic))
    }

    pub(super) fn subscription(subscription: model::Subscription) -> Self {
        Self::Subscription(Box::new(subscription))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Topic(_) => Kind::Topic,
            Self::Subscription(_) => Kind::Subscription,
        }
    }

    pub(super) fn full_name(&self) -> &str {
        match self {
            Self::Topic(topic) => &topic.name,
            Self::Subscription(subscription) => &subscription.name,
        }
    }
}

/// In an order in which they can be made.
pub(super) fn all(
    names: &Names,
    subscriptions: &[Subscription],
    options: &SetupOptions,
    emulator: bool,
) -> Vec<Wanted> {
    let mut topics: Vec<(String, i64)> = Vec::new();
    for subscription in subscriptions {
        if !topics.iter().any(|(name, _)| name == subscription.topic.0) {
            topics.push((subscription.topic.0.to_owned(), RETENTION_DAYS));
        }
    }
    let letters = subscriptions.iter().map(|subscription| (dead_letters_of(subscription.name), LETTERS_RETENTION_DAYS));
    topics.extend(letters);
    let topics = topics.into_iter().map(|(name, kept)| {
        let mut topic = Topic::new().set_name(names.topic(&name));
        // With it, the emulator hands what is retained to subscriptions that are made later. Pub/Sub does not.
        if !emulator {
            topic = topic.set_message_retention_duration(days(kept));
        }
        Wanted { name, desired: Desired::topic(topic) }
    });
    let letters = subscriptions.iter().map(|subscription| letters_subscription(names, subscription, emulator));
    let main = subscriptions.iter().map(|subscription| {
        let target = options.push.iter().find(|target| target.subscription == subscription.name);
        main_subscription(names, subscription, target, emulator)
    });
    topics.chain(letters).chain(main).collect()
}

fn days(days: i64) -> Duration {
    Duration::clamp(days * 24 * 3600, 0)
}

fn main_subscription(names: &Names, subscription: &Subscription, push: Option<&PushTarget>, emulator: bool) -> Wanted {
    let backoff = |wait: std::time::Duration| {
        let wait = wait.min(LONGEST_BACKOFF);
        Duration::clamp(
            i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            i32::try_from(wait.subsec_nanos()).unwrap_or_default(),
        )
    };
    let retry = RetryPolicy::new()
        .set_minimum_backoff(backoff(subscription.retry_min))
        .set_maximum_backoff(backoff(subscription.retry_max));
    let second_net = DeadLetterPolicy::new()
        .set_dead_letter_topic(names.topic(&dead_letters_of(subscription.name)))
        .set_max_delivery_attempts(i32::try_from(SECOND_NET).unwrap_or(i32::MAX));
    let mut wanted = model::Subscription::new()
        .set_name(names.subscription(subscription.name))
        .set_topic(names.topic(subscription.topic.0))
        .set_enable_message_ordering(true)
        .set_ack_deadline_seconds(PULL_ACK_DEADLINE)
        .set_message_retention_duration(days(RETENTION_DAYS))
        .set_retain_acked_messages(true)
        .set_expiration_policy(ExpirationPolicy::new())
        .set_dead_letter_policy(second_net);
    // With it, the emulator puts what a dead puller held behind what it has not delivered yet. The waits between retries
    // of what is pulled are our own.
    if !emulator || push.is_some() {
        wanted = wanted.set_retry_policy(retry);
    }
    if let Some(target) = push {
        wanted = wanted.set_ack_deadline_seconds(PUSH_ACK_DEADLINE).set_push_config(push_config(target));
    }
    Wanted { name: subscription.name.to_owned(), desired: Desired::subscription(wanted) }
}

fn push_config(target: &PushTarget) -> PushConfig {
    let mut config = PushConfig::new().set_push_endpoint(&target.endpoint);
    if let Some(account) = &target.service_account {
        let audience = target.audience.as_ref().unwrap_or(&target.endpoint);
        config = config.set_oidc_token(OidcToken::new().set_service_account_email(account).set_audience(audience));
    }
    if target.unwrapped {
        config = config.set_no_wrapper(NoWrapper::new().set_write_metadata(true));
    }
    config
}

fn letters_subscription(names: &Names, subscription: &Subscription, emulator: bool) -> Wanted {
    let kept = if emulator { EMULATOR_DAYS } else { LETTERS_RETENTION_DAYS };
    let name = dead_letters_of(subscription.name);
    let wanted = model::Subscription::new()
        .set_name(names.subscription(&name))
        .set_topic(names.topic(&name))
        .set_ack_deadline_seconds(LETTERS_ACK_DEADLINE)
        .set_message_retention_duration(days(kept))
        .set_expiration_policy(ExpirationPolicy::new());
    Wanted { name, desired: Desired::subscription(wanted) }
}

/// What Pub/Sub needs that only IAM can give.
pub(super) fn hints(project: &str, subscriptions: &[Subscription], options: &SetupOptions) -> Vec<String> {
    const AGENT: &str = "serviceAccount:service-PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com";
    let mut hints = vec![format!(
        "Pub/Sub's own service account ({AGENT}; the number is in `gcloud projects describe {project}`) must be able to \
         move dead letters:"
    )];
    for subscription in subscriptions {
        let letters = dead_letters_of(subscription.name);
        hints.push(format!(
            "gcloud pubsub topics add-iam-policy-binding {letters} --project={project} --member={AGENT} \
             --role=roles/pubsub.publisher"
        ));
        hints.push(format!(
            "gcloud pubsub subscriptions add-iam-policy-binding {} --project={project} --member={AGENT} \
             --role=roles/pubsub.subscriber",
            subscription.name
        ));
    }
    for account in options.push.iter().filter_map(|target| target.service_account.as_ref()) {
        let hint = format!(
            "{account} needs roles/run.invoker on the service it pushes to; in projects made before April 2021, {AGENT} \
             needs roles/iam.serviceAccountTokenCreator on it."
        );
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints
}
