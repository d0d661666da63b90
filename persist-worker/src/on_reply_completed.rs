//! A task has ended: its reply, usage, timings and final state.

use parlance_shared::{
    event::ReplyCompleted,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record};

pub(crate) async fn on_reply_completed(worker: &PersistWorker, received: &Received) -> Outcome {
    record::<ReplyCompleted>(worker, received, |store, event| store.record_reply_completed(event)).await
}
