//! Sends each event to the file that is named after it.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use cloudevents::AttributesReader as _;
use futures_util::FutureExt as _;
use parlance_shared::{
    consume::Handler,
    event::{DomainEvent as _, MessageSubmitted, SessionChanged, SessionDeleted},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
    },
    topology,
};
use tracing::error;

use crate::{
    Worker, give_up::give_up, on_message_submitted::on_message_submitted, on_session_changed::on_session_changed,
    on_session_deleted::on_session_deleted,
};

pub(crate) struct Dispatch {
    worker: Arc<Worker>,
}

impl Dispatch {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        Self { worker }
    }

    async fn dispatch(&self, received: &Received) -> Outcome {
        match received.event.ty() {
            MessageSubmitted::TYPE => on_message_submitted(&self.worker, received).await,
            SessionChanged::TYPE => on_session_changed(&self.worker, received).await,
            SessionDeleted::TYPE => on_session_deleted(&self.worker, received).await,
            other => Outcome::Fail(Reason::new("unknown_event", format!("No handler for events of type {other:?}."))),
        }
    }

    /// A message that makes us panic over and over is given up here, not by the consumer: its task must end, too.
    async fn after_panic(&self, received: &Received) -> Outcome {
        error!("the handler panicked");
        let reason = Reason::new("handler_panicked", "The handler panicked.");
        let last_chance = received.attempt >= topology::LLM_WORKER.max_unanswered;
        if last_chance && give_up(&self.worker, received).await.is_ok() {
            return Outcome::Fail(reason);
        }
        Outcome::Retry { after: None, reason }
    }
}

#[async_trait]
impl Handler for Dispatch {
    async fn handle(&self, received: &Received) -> Outcome {
        match AssertUnwindSafe(self.dispatch(received)).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(_) => self.after_panic(received).await,
        }
    }

    async fn give_up(&self, received: &Received, _reason: &Reason) -> Result<(), PortError> {
        give_up(&self.worker, received).await
    }
}
