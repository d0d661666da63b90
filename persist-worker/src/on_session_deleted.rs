//! A session was deleted: what was said is erased, and a tombstone keeps a replay from bringing it back.

use parlance_shared::{
    event::SessionDeleted,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record};

pub(crate) async fn on_session_deleted(worker: &PersistWorker, received: &Received) -> Outcome {
    record::<SessionDeleted>(worker, received, |store, event| store.record_session_deleted(event)).await
}
