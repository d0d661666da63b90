//! Events, as a bus gives them.

use cloudevents::Event;
use parlance_shared::event::{
    DomainEvent, HeadingMade, HeadingRequested, MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted,
    SummaryMade, SummaryRequested, call_id, from_cloud_event, to_cloud_event,
};

/// An event that is taken says the same when it is published again.
pub fn cloud_event(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Event>(data) else { return };
    let _ = call_id(&event);
    again::<MessageSubmitted>(&event);
    again::<ReplyCompleted>(&event);
    again::<SessionChanged>(&event);
    again::<SessionDeleted>(&event);
    again::<SummaryRequested>(&event);
    again::<SummaryMade>(&event);
    again::<HeadingRequested>(&event);
    again::<HeadingMade>(&event);
}

fn again<E: DomainEvent>(event: &Event) {
    let Ok(fact) = from_cloud_event::<E>(event) else { return };
    let published = to_cloud_event(&fact, "fuzz", None).expect("what was read can be published");
    let read: E = from_cloud_event(&published).expect("what was published can be read");
    let json = |fact: &E| serde_json::to_value(fact).expect("a fact is JSON");
    assert_eq!(json(&fact), json(&read), "{} changes on its way", E::TYPE);
    assert_eq!((fact.id(), fact.ordering_key()), (read.id(), read.ordering_key()));
}
