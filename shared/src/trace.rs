//! Traces: which call a piece of work belongs to, whatever process does it.
//!
//! A [`TraceContext`] is W3C Trace Context: it comes with a request or is made for it, travels with events as CloudEvents'
//! `traceparent` extension ([`carried`]), and is what log lines are found by. It is there whether spans are exported or not.
//! [`Span`]s are recorded only where an exporter was set and the trace is sampled; otherwise each costs a few branches.
//!
//! The context of the work under way is task-local ([`current`]), as it is of no interest to any signature on its way. Who
//! spawns a task that logs or publishes takes it along.

pub mod carried;
mod context;
mod current;
mod sampler;
mod span;
mod traced_bus;

pub use self::{
    context::{MAX_STATE_BYTES, TRACEPARENT, TRACESTATE, TraceContext},
    current::{current, scope, sync_scope},
    sampler::Sampler,
    span::{FinishedSpan, Kind, Link, Span, SpanSink, Value, export_to},
    traced_bus::TracedBus,
};
