//! What becomes of a message, and the status that says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloudevents::{AttributesReader as _, Data};
use parlance_shared::port::bus::{Outcome, Reason};

use crate::support::{Build, Letters, always, fixture, problem, with_headers};

fn reason() -> Reason {
    Reason::new("scripted", "An inner detail.")
}

#[tokio::test]
async fn each_outcome_has_its_status() {
    let retry = |after| Outcome::Retry { after, reason: reason() };
    for (outcome, status, retry_after) in [
        (Outcome::Done, 204, None),
        (retry(Some(Duration::from_millis(2_100))), 503, Some("3")),
        (retry(None), 503, Some("1")),
        (Outcome::HandBack, 503, None),
        (Outcome::Fail(reason()), 204, None),
    ] {
        let worker = Build { answer: always(outcome.clone()), ..Build::default() }.start().await;
        let response = worker.push().send().await.unwrap();
        assert_eq!(response.status(), status, "{outcome:?}");
        let header = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header.as_deref(), retry_after, "{outcome:?}");
        assert!(!response.text().await.unwrap().contains("inner"));
        let letters = worker.letters.kept.lock().unwrap().clone();
        match outcome {
            Outcome::Fail(reason) => {
                assert_eq!(letters.len(), 1);
                let (subscription, received, kept) = &letters[0];
                assert_eq!((*subscription, kept), ("persist-requests", &reason));
                assert_eq!(received.event, worker.seen()[0].1.event);
            }
            _ => assert!(letters.is_empty()),
        }
    }
}

#[tokio::test]
async fn a_panicking_handler_is_a_retry() {
    let worker = Build { answer: Arc::new(|_| panic!("scripted")), ..Build::default() }.start().await;
    assert_eq!(problem(worker.push().send().await.unwrap()).await.1, "retry_later");
}

#[tokio::test]
async fn a_letter_is_kept_before_the_bus_is_told_to_forget_the_message() {
    let letters = Letters { refusals: AtomicUsize::new(2), ..Letters::default() };
    let worker = Build { answer: always(Outcome::Fail(reason())), letters, ..Build::default() }.start().await;
    assert_eq!(worker.push().send().await.unwrap().status(), 204);
    assert_eq!(worker.letters.refusals.load(Ordering::SeqCst), 0);
    assert_eq!(worker.letters.kept.lock().unwrap().len(), 1);

    let letters = Letters { rejects: true, ..Letters::default() };
    let worker = Build { answer: always(Outcome::Fail(reason())), letters, ..Build::default() }.start().await;
    assert_eq!(problem(worker.push().send().await.unwrap()).await, (503, "unavailable".into(), None));
}

#[tokio::test]
async fn a_message_that_is_no_event_becomes_a_letter_that_holds_all_of_it() {
    let worker = Build::default().start().await;
    let foreign = fixture("wrapped.json").replace("ce-type", "kind");
    assert_eq!(worker.post("/push").body(foreign).send().await.unwrap().status(), 204);
    let headers = fixture("unwrapped.headers").replace("ce-specversion: 1.0", "ce-specversion: 0.1");
    let headers = format!("{headers}authorization: Bearer never-kept\n");
    let request = with_headers(worker.post("/push"), &headers).body(fixture("unwrapped.body.json"));
    assert_eq!(request.send().await.unwrap().status(), 204);
    let empty = r#"{"message": {"messageId": "7"}, "subscription": "projects/p/subscriptions/persist-requests"}"#;
    assert_eq!(worker.post("/push").body(empty).send().await.unwrap().status(), 204);

    assert!(worker.seen().is_empty(), "no handler sees them");
    let letters = worker.letters.kept.lock().unwrap().clone();
    assert_eq!(letters.len(), 3);
    for (subscription, received, reason) in &letters {
        assert_eq!((*subscription, reason.code.as_str()), ("persist-requests", "unreadable_message"));
        assert_eq!(received.event.ty(), "parlance.unreadable.v1");
        let Some(Data::Json(held)) = received.event.data() else { panic!("{received:?}") };
        assert!(!held.to_string().contains("never-kept"));
    }
    let held = |n: usize| match letters[n].1.event.data() {
        Some(Data::Json(held)) => held.clone(),
        other => panic!("{other:?}"),
    };
    let wrapped: serde_json::Value = serde_json::from_str(&fixture("wrapped.json")).unwrap();
    assert_eq!(held(0)["data"], wrapped["message"]["data"]);
    assert_eq!(held(0)["attributes"]["kind"], "parlance.session.deleted.v1");
    assert_eq!(held(1)["data"], wrapped["message"]["data"]);
    assert_eq!(letters[0].1.event.id(), "2070443601311540");
    assert_eq!(letters[2].1.event.id(), "7");
    assert_eq!(worker.metrics.dead_letters.get("persist-requests"), 3);
}

#[tokio::test]
async fn a_type_that_nobody_here_knows_is_the_handlers_to_judge() {
    let worker = Build { answer: always(Outcome::Fail(reason())), ..Build::default() }.start().await;
    let foreign = fixture("wrapped.json").replace("parlance.session.deleted.v1", "com.example.other");
    assert_eq!(worker.post("/push").body(foreign).send().await.unwrap().status(), 204);
    assert_eq!(worker.seen()[0].1.event.ty(), "com.example.other");
}
