//! The trace of a message comes along in every form of delivery, and is where its work is done.

use std::sync::{Arc, Mutex};

use parlance_shared::{
    port::bus::Outcome,
    trace::{self, TraceContext, carried},
};

use crate::support::{Answer, Build, fixture, with_headers};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// What Google's front end says of the push itself.
const OF_THE_PUSH: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

#[tokio::test]
async fn in_every_form_the_work_is_in_the_trace_of_the_message() {
    let seen = Arc::new(Mutex::new(Vec::<Option<TraceContext>>::new()));
    let answer: Answer = {
        let seen = Arc::clone(&seen);
        Arc::new(move |_| {
            seen.lock().unwrap().push(trace::current());
            Box::pin(async { Outcome::Done })
        })
    };
    let worker = Build { answer, ..Build::default() }.start().await;
    // As published by us: the extension, and plain attributes for others, which are headers where nothing is wrapped.
    let attributes =
        format!(r#""ce-traceparent": "{TRACE}", "ce-tracestate": "a=b", "traceparent": "{TRACE}", "ce-id""#);
    let headers = format!("ce-traceparent: {TRACE}\nce-tracestate: a=b\n");
    let json = |name: &str| fixture(name).replacen("\"ce-id\"", &attributes, 1);
    let requests = [
        worker.post("/push").body(json("wrapped.json")),
        worker.post("/push").body(json("wrapped_by_emulator.json")),
        with_headers(worker.post("/push"), &(headers.clone() + &fixture("unwrapped.headers")))
            .body(fixture("unwrapped.body.json")),
        with_headers(worker.post("/"), &fixture("eventarc.headers")).body(json("eventarc.body.json")),
    ];
    for request in requests {
        let response = request.header("traceparent", OF_THE_PUSH).send().await.unwrap();
        assert_eq!(response.status(), 204);
    }
    let expected = TraceContext::parse(TRACE).unwrap().with_state("a=b");
    assert_eq!(*seen.lock().unwrap(), vec![Some(expected.clone()); 4]);
    for (_, received) in worker.seen() {
        assert_eq!(carried::of(&received.event), Some(expected.clone()));
    }

    // Without one, or with one that is none, the work has a trace of its own.
    for body in [fixture("wrapped.json"), json("wrapped.json").replace(TRACE, "00-nonsense")] {
        worker.post("/push").body(body).send().await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert!(seen[4..].iter().all(|context| context.is_some() && *context != Some(expected.clone())), "{seen:?}");
}
