//! A session has a new summary: every version of it is kept.

use parlance_shared::{
    event::SummaryMade,
    port::bus::{Outcome, Received},
};

use crate::{PersistWorker, record::record};

pub(crate) async fn on_summary_made(worker: &PersistWorker, received: &Received) -> Outcome {
    record::<SummaryMade>(worker, received, |store, event| store.record_summary_made(event)).await
}
