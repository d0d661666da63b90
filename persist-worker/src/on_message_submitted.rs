//! A message was accepted: its user, session, message and task get their rows.

use parlance_shared::{
    event::MessageSubmitted,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record};

pub(crate) async fn on_message_submitted(worker: &PersistWorker, received: &Received) -> Outcome {
    record::<MessageSubmitted>(worker, received, |store, event| store.record_message_submitted(event)).await
}
