//! The trace of an event: CloudEvents' Distributed Tracing extension, `traceparent` and `tracestate`.
//!
//! As extensions they are stored with the event on the embedded bus, and are attributes on Pub/Sub in every form of delivery:
//! `ce-traceparent`, as all extensions of ours, and plain `traceparent` besides, for tools that know Pub/Sub but not
//! CloudEvents (see [`crate::binary_mode`]).

use cloudevents::Event;

use super::{TRACEPARENT, TRACESTATE, TraceContext};

/// Puts the trace on an event; what was there is replaced.
pub fn put(context: &TraceContext, event: &mut Event) {
    event.set_extension(TRACEPARENT, context.traceparent());
    match context.state() {
        Some(state) => event.set_extension(TRACESTATE, state.to_owned()),
        None => drop(event.remove_extension(TRACESTATE)),
    }
}

/// The trace of an event, if it has a valid one.
pub fn of(event: &Event) -> Option<TraceContext> {
    let context = TraceContext::parse(&event.extension(TRACEPARENT)?.to_string())?;
    Some(match event.extension(TRACESTATE) {
        Some(state) => context.with_state(&state.to_string()),
        None => context,
    })
}

#[cfg(test)]
mod tests {
    use cloudevents::{EventBuilder as _, EventBuilderV10};

    use super::*;

    #[test]
    fn a_trace_is_read_back_and_replaced() {
        let mut event = EventBuilderV10::new().id("e").ty("t").source("//s").build().unwrap();
        assert_eq!(of(&event), None);
        for context in [TraceContext::root(true).with_state("a=b"), TraceContext::root(false)] {
            put(&context, &mut event);
            let stored: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
            assert_eq!(of(&stored), Some(context));
        }
        event.set_extension(TRACEPARENT, "nonsense".to_owned());
        assert_eq!(of(&event), None);
    }
}
