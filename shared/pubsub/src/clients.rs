//! Google's clients, each made at its first use: a service that only publishes has no subscriber.

use std::{sync::Arc, time::Duration};

use google_cloud_auth::credentials::{self, Credentials, anonymous};
use google_cloud_gax::{
    client_builder::Error as BuilderError, exponential_backoff::ExponentialBackoffBuilder,
    retry_policy::RetryPolicyExt as _,
};
use google_cloud_pubsub::{
    client::{BasePublisher, Subscriber, SubscriptionAdmin, TopicAdmin},
    retry_policy::RetryableErrors,
};
use parlance_shared::port::PortError;
use tokio::sync::OnceCell;

use crate::{PubSubOptions, error::rejected};

/// Retries of a publish end here: who publishes waits for an answer.
pub(crate) const PUBLISH_RETRIES: Duration = Duration::from_secs(4);
/// The longest that a call to make, read or change a topic or a subscription may take, retries included.
pub(crate) const ADMIN: Duration = Duration::from_secs(15);

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Well below [`ADMIN`]: an attempt that hangs leaves time for another.
const ADMIN_ATTEMPT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Clients {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Option<String>,
    credentials: Credentials,
    subscriber: OnceCell<Subscriber>,
    topics: OnceCell<TopicAdmin>,
    subscriptions: OnceCell<SubscriptionAdmin>,
}

macro_rules! built {
    ($self:ident, $builder:expr) => {{
        let mut builder = $builder.with_credentials($self.inner.credentials.clone());
        if let Some(endpoint) = &$self.inner.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder.build().await.map_err(|error| build_error(&error))
    }};
}

impl Clients {
    pub(crate) fn new(options: &PubSubOptions) -> Result<Self, PortError> {
        // The process-wide choice of a crypto provider; a second call finds it made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (endpoint, credentials) = match &options.emulator_host {
            Some(host) => (Some(format!("http://{host}")), anonymous::Builder::new().build()),
            None => {
                let credentials = credentials::Builder::default().build();
                (None, credentials.map_err(|error| rejected(format!("no credentials for Pub/Sub: {error}")))?)
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                endpoint,
                credentials,
                subscriber: OnceCell::new(),
                topics: OnceCell::new(),
                subscriptions: OnceCell::new(),
            }),
        })
    }

    /// A new one, with a connection of its own.
    pub(crate) async fn publisher(&self) -> Result<BasePublisher, PortError> {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_delay(FIRST_WAIT)
            .with_maximum_delay(LONGEST_WAIT)
            .with_scaling(2.0)
            .clamp();
        let retries = RetryableErrors.with_time_limit(PUBLISH_RETRIES);
        built!(self, BasePublisher::builder().with_retry_policy(retries).with_backoff_policy(backoff))
    }

    pub(crate) async fn subscriber(&self) -> Result<&Subscriber, PortError> {
        self.inner.subscriber.get_or_try_init(async || built!(self, Subscriber::builder())).await
    }

    pub(crate) async fn topics(&self) -> Result<&TopicAdmin, PortError> {
        let retries = || RetryableErrors.with_time_limit(ADMIN);
        let build = async || {
            built!(self, TopicAdmin::builder().with_retry_policy(retries()).with_attempt_timeout(ADMIN_ATTEMPT))
        };
        self.inner.topics.get_or_try_init(build).await
    }

    pub(crate) async fn subscriptions(&self) -> Result<&SubscriptionAdmin, PortError> {
        let retries = || RetryableErrors.with_time_limit(ADMIN);
        let build = async || {
            built!(self, SubscriptionAdmin::builder().with_retry_policy(retries()).with_attempt_timeout(ADMIN_ATTEMPT))
        };
        self.inner.subscriptions.get_or_try_init(build).await
    }
}

fn build_error(error: &BuilderError) -> PortError {
    rejected(format!("a client of Pub/Sub can't be made: {error}"))
}
