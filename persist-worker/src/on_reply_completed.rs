//! A task has ended: its reply, usage, timings and final state; then its webhook, if it has one.

use parlance_shared::{
    event::ReplyCompleted,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record, webhooks::request_webhook};

pub(crate) async fn on_reply_completed(worker: &PersistWorker, received: &Received) -> Outcome {
    match record::<ReplyCompleted>(worker, received, |store, event| store.record_reply_completed(event)).await {
        Outcome::Done => request_webhook(worker, received).await,
        not_recorded => not_recorded,
    }
}
