//! Hands a fact to the bus. Once this returns, the fact is durable.

use std::time::Instant;

use parlance_shared::{
    event::{DomainEvent, to_cloud_event},
    port::bus::Published,
    topology,
};

use crate::{bounded::bounded, call::Call, problem::Problem, state::ApiState};

/// Publishes, within the time that a caller can be asked to wait.
pub(crate) async fn publish<E: DomainEvent>(state: &ApiState, call: &Call, fact: &E) -> Result<Published, Problem> {
    let event =
        to_cloud_event(fact, "ingest-api", Some(call.id)).map_err(|error| Problem::internal(error.to_string()))?;
    let ordering_key = fact.ordering_key();
    let publishing = state.bus.publish(topology::REQUESTS, &ordering_key, event);
    let began = Instant::now();
    let published = bounded(state.limits.publish_timeout, "bus", publishing).await?;
    state.door.limits.pressure.published(began.elapsed());
    Ok(published)
}
