//! A session was made or changed: each field keeps its latest change.

use parlance_shared::{
    event::SessionChanged,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record};

pub(crate) async fn on_session_changed(worker: &PersistWorker, received: &Received) -> Outcome {
    record::<SessionChanged>(worker, received, |store, event| store.record_session_changed(event)).await
}
