//! Sends each event to the file that is named after it.

use async_trait::async_trait;
use cloudevents::AttributesReader as _;
use parlance_shared::{
    consume::Handler,
    event::{
        DomainEvent as _, HeadingMade, MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted, SummaryMade,
        WebhookDue,
    },
    port::bus::{Outcome, Reason, Received},
};

use crate::{
    PersistWorker, on_heading_made::on_heading_made, on_message_submitted::on_message_submitted,
    on_reply_completed::on_reply_completed, on_session_changed::on_session_changed,
    on_session_deleted::on_session_deleted, on_summary_made::on_summary_made, webhooks::on_webhook_due,
};

pub(crate) struct Dispatch {
    worker: PersistWorker,
}

impl Dispatch {
    pub(crate) fn new(worker: PersistWorker) -> Self {
        Self { worker }
    }
}

#[async_trait]
impl Handler for Dispatch {
    async fn handle(&self, received: &Received) -> Outcome {
        match received.event.ty() {
            MessageSubmitted::TYPE => on_message_submitted(&self.worker, received).await,
            ReplyCompleted::TYPE => on_reply_completed(&self.worker, received).await,
            SummaryMade::TYPE => on_summary_made(&self.worker, received).await,
            HeadingMade::TYPE => on_heading_made(&self.worker, received).await,
            SessionChanged::TYPE => on_session_changed(&self.worker, received).await,
            SessionDeleted::TYPE => on_session_deleted(&self.worker, received).await,
            WebhookDue::TYPE => on_webhook_due(&self.worker, received).await,
            other => Outcome::Fail(Reason::new("unknown_event", format!("No handler for events of type {other:?}."))),
        }
    }
}
