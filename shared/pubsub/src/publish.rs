//! Publishing: each message goes out at once, in a request of its own, and is answered within a bounded time.
//!
//! Google's publisher keeps a task for each ordering key that it ever saw, for good. So a topic's publisher is replaced
//! after so many messages; what it still has under way, it finishes. Nobody relies on its order: who needs two messages
//! in order publishes the second once the first is answered.
//!
//! Its connection has no keep-alive: over one whose other end vanished, calls would hang for a quarter of an hour. So
//! after a call that was not answered in time, the next goes over a new connection.

use std::{collections::HashMap, time::Duration};

use google_cloud_pubsub::{
    client::{BasePublisher, Publisher},
    error::PublishError,
    model::Message,
};
use parlance_shared::port::PortError;
use tokio::sync::Mutex;
use tracing::debug;

use crate::{
    bounded,
    clients::{Clients, PUBLISH_RETRIES},
    error::{publish_error, unavailable},
};

/// A little more than the client's own limit, which does not count the time before a request is begun.
const LIMIT: Duration = PUBLISH_RETRIES.saturating_add(Duration::from_millis(300));
/// A publisher is replaced after so many messages.
const MESSAGES_PER_PUBLISHER: u32 = 1_000;

pub(crate) struct Publishing {
    clients: Clients,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    base: Option<BasePublisher>,
    /// Counts connections: who failed on an old one leaves the new one alone.
    connection: u64,
    topics: HashMap<String, (Publisher, u32)>,
}

impl Publishing {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, state: Mutex::default() }
    }

    /// Makes what the first publish would have to make.
    pub(crate) async fn prepare(&self) -> Result<(), PortError> {
        self.base(&mut *self.state.lock().await).await.map(drop)
    }

    /// Returns once Pub/Sub has the message.
    pub(crate) async fn publish(&self, topic: &str, message: Message) -> Result<(), PortError> {
        let limit = tokio::time::Instant::now() + LIMIT;
        loop {
            let (publisher, connection) = self.publisher(topic).await?;
            let key = message.ordering_key.clone();
            match tokio::time::timeout_at(limit, publisher.publish(message.clone())).await {
                Ok(Ok(_id)) => return Ok(()),
                // Another message of the key had failed and this one was not sent.
                Ok(Err(PublishError::OrderingKeyPaused)) if limit.elapsed().is_zero() => publisher.resume_publish(key),
                Ok(Err(error)) => {
                    publisher.resume_publish(key);
                    return Err(publish_error(topic, &error));
                }
                Err(_) => {
                    self.reconnect(connection).await;
                    return Err(unavailable(format!("publishing to {topic}: no answer within {LIMIT:?}")));
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn publisher(&self, topic: &str) -> Result<(Publisher, u64), PortError> {
        let mut state = self.state.lock().await;
        if let Some((publisher, used)) = state.topics.get_mut(topic)
            && *used < MESSAGES_PER_PUBLISHER
        {
            *used += 1;
            return Ok((publisher.clone(), state.connection));
        }
        let publisher = self.base(&mut state).await?.publisher(topic).set_message_count_threshold(1).build();
        state.topics.insert(topic.to_owned(), (publisher.clone(), 1));
        Ok((publisher, state.connection))
    }

    async fn base<'a>(&self, state: &'a mut State) -> Result<&'a BasePublisher, PortError> {
        let base = match state.base.take() {
            Some(base) => base,
            None => bounded("making a publisher", LIMIT, self.clients.publisher()).await?,
        };
        Ok(state.base.insert(base))
    }

    async fn reconnect(&self, failed: u64) {
        let mut state = self.state.lock().await;
        if state.connection == failed {
            debug!("publishing over a new connection from here on");
            *state = State { connection: failed + 1, ..State::default() };
        }
    }
}
