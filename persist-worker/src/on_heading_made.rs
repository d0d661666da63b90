//! A heading was found for a session; its owner's own goes before it.

use parlance_shared::{
    event::HeadingMade,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record};

pub(crate) async fn on_heading_made(worker: &PersistWorker, received: &Received) -> Outcome {
    record::<HeadingMade>(worker, received, |store, event| store.record_heading_made(event)).await
}
