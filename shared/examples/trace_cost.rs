//! What a trace costs a call while no spans are exported, and while they are:
//! `cargo run --release -p parlance-shared --example trace_cost`.
#![allow(clippy::print_stdout, reason = "says what it measured")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use parlance_shared::trace::{FinishedSpan, Kind, Sampler, Span, SpanSink, TraceContext, export_to, sync_scope};

const CALLS: u32 = 1_000_000;
const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// All that a call does about its trace: it is read, the call's span and one within it are made, described and ended.
fn call() {
    let came = TraceContext::parse(black_box(GIVEN));
    let mut span = Span::enter(came, Kind::Server, || "POST /v1/messages".into());
    span.set("http.request.method", || "POST");
    span.set("http.route", || "/v1/messages".to_owned());
    sync_scope(span.context().clone(), || {
        let mut publish = Span::start(Kind::Producer, || format!("send {}", "parlance-requests").into());
        publish.set("messaging.destination.name", || "parlance-requests");
        publish.set("cloudevents.event_id", || "tsk_019a9f3c5b7e7c419a532f6d1e0b8a77.submitted".to_owned());
        black_box(publish.context().traceparent());
    });
    span.set("http.response.status_code", || 202_i64);
}

fn measured(what: &str) {
    (0..CALLS / 10).for_each(|_| call());
    let began = Instant::now();
    (0..CALLS).for_each(|_| call());
    let each: Duration = began.elapsed() / CALLS;
    println!("{what}: {} ns a call", each.as_nanos());
}

struct Nowhere;

impl SpanSink for Nowhere {
    fn take(&self, span: FinishedSpan) {
        black_box(span);
    }
}

fn main() {
    measured("spans are not exported");
    export_to(Sampler { parent_based: true, share: 1.0 }, Box::new(Nowhere));
    measured("spans are exported");
}
