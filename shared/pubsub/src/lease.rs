//! The hold on a message that is out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use google_cloud_pubsub::model::Message;
use parlance_shared::port::{
    PortError,
    bus::{Lease, Outcome, Reason},
};

use crate::{dead_letters, error::rejected, keys::Answer, receive::Shared};

/// Longer than a publish may take: while a letter is on its way, the message is not lost.
const WHILE_A_LETTER_IS_SENT: Duration = Duration::from_secs(30);

pub(crate) struct PubSubLease {
    shared: Arc<Shared>,
    key: String,
    token: u64,
    message: Arc<Message>,
    attempt: u32,
    published_at: DateTime<Utc>,
    answered: bool,
}

impl PubSubLease {
    pub(crate) fn new(
        shared: Arc<Shared>,
        key: String,
        token: u64,
        message: Arc<Message>,
        attempt: u32,
        published_at: DateTime<Utc>,
    ) -> Self {
        Self { shared, key, token, message, attempt, published_at, answered: false }
    }

    fn hold(&self, by: Option<Duration>) -> bool {
        self.shared.change(|keys, now| keys.extend(&self.key, self.token, by, now))
    }

    /// If the lease was lost, nothing changes: the message comes, or came, again.
    fn answer(&mut self, answer: Answer) {
        self.answered = true;
        self.shared.change(|keys, now| keys.answer(&self.key, self.token, answer, now));
    }

    /// Kept first, acknowledged then: killed between, it is a letter and comes again.
    async fn give_up(&mut self, reason: &Reason) -> Result<(), PortError> {
        if !self.hold(Some(WHILE_A_LETTER_IS_SENT)) {
            self.answered = true;
            return Ok(());
        }
        let (bus, subscription) = (&self.shared.bus, &self.shared.subscription);
        let kept = dead_letters::keep(bus, subscription, &self.message, self.published_at, self.attempt, reason).await;
        match &kept {
            Ok(()) => self.answer(Answer::Done),
            Err(error) if error.is_transient() => self.answer(Answer::Again(None)),
            // Pub/Sub's own policy makes it a letter at last.
            Err(_) => self.answer(Answer::Back),
        }
        kept
    }
}

#[async_trait]
impl Lease for PubSubLease {
    async fn extend(&mut self) -> Result<(), PortError> {
        if self.hold(None) { Ok(()) } else { Err(rejected("the lease is lost")) }
    }

    /// Returns once the answer is with the client, which sends it within 100 ms: an acknowledgement that is lost on the
    /// way lets the message come again.
    async fn settle(mut self: Box<Self>, outcome: Outcome) -> Result<(), PortError> {
        match outcome {
            Outcome::Done => self.answer(Answer::Done),
            Outcome::Retry { after, .. } => self.answer(Answer::Again(after)),
            Outcome::Behind { after, .. } => self.answer(Answer::Behind(after)),
            Outcome::HandBack => self.answer(Answer::Back),
            Outcome::Fail(reason) => self.give_up(&reason).await?,
        }
        Ok(())
    }
}

impl Drop for PubSubLease {
    fn drop(&mut self) {
        if !self.answered {
            self.answer(Answer::Dropped);
        }
    }
}
