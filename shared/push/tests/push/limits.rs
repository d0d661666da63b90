//! Bounds: bodies, time, messages at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parlance_push::Limits;
use parlance_shared::port::bus::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};

use crate::support::{Build, eventually, fixture, problem};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let limits = Limits { body_bytes: 2_000, ..Limits::default() };
    let worker = Build { limits, ..Build::default() }.start().await;
    assert_eq!(worker.push().send().await.unwrap().status(), 204);

    let announced = worker.post("/push").body(vec![b' '; 2_001]).send().await.unwrap();
    assert_eq!(problem(announced).await.0, 413);

    let mut socket = TcpStream::connect(worker.address).await.unwrap();
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1_000));
    let head = "POST /push HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(format!("{head}{}", chunk.repeat(3)).as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    assert_eq!(worker.seen().len(), 1);
}

#[tokio::test]
async fn the_largest_message_that_pubsub_takes_fits() {
    let worker = Build::default().start().await;
    let data = "QUJD".repeat(10_000_000 / 3);
    let message = serde_json::json!({
        "message": {
            "attributes": {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t", "ce-source": "//s"},
            "data": data, "messageId": "1", "publishTime": "2026-11-21T07:51:14Z",
        },
        "subscription": "projects/p/subscriptions/persist-requests",
    });
    assert_eq!(worker.post("/push").body(message.to_string()).send().await.unwrap().status(), 204);
    let Some(cloudevents::Data::Binary(bytes)) = worker.seen()[0].1.event.data().cloned() else { panic!() };
    assert_eq!(bytes.len(), 9_999_999);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let worker = Build { limits, ..Build::default() }.start().await;
    let mut socket = TcpStream::connect(worker.address).await.unwrap();
    socket.write_all(b"POST /push HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn more_than_it_works_on_at_once_is_refused_and_taken_later() {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let answer = Arc::new({
        let (begun, gate) = (begun.clone(), gate.clone());
        move |_| -> futures_util::future::BoxFuture<'static, Outcome> {
            let (begun, gate) = (begun.clone(), gate.clone());
            Box::pin(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Outcome::Done
            })
        }
    });
    let worker = Build { answer, concurrency: 3, ..Build::default() }.start().await;
    let pushes: Vec<_> = (0..3).map(|_| tokio::spawn(worker.push().send())).collect();
    eventually("three at work", || (begun.load(Ordering::SeqCst) == 3).then_some(())).await;
    let refused = worker.push().send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(problem(refused).await, (429, "busy".into(), None));
    // The other subscription has room of its own.
    gate.add_permits(1);
    let other = fixture("wrapped.json").replace("persist-requests", "persist-replies");
    let other = tokio::spawn(worker.post("/push").body(other).send());
    eventually("four begun", || (begun.load(Ordering::SeqCst) == 4).then_some(())).await;
    gate.add_permits(100);
    for push in pushes {
        assert_eq!(push.await.unwrap().unwrap().status(), 204);
    }
    assert_eq!(other.await.unwrap().unwrap().status(), 204);
    assert_eq!(worker.push().send().await.unwrap().status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_each_worked_on_once() {
    let worker = Build { concurrency: 500, ..Build::default() }.start().await;
    let pushes: Vec<_> = (0..500)
        .map(|n| {
            let body =
                fixture("wrapped.json").replace("ses_019a9f3c5b7e7c419a532f6d1e0b8a77.deleted", &format!("e{n}"));
            tokio::spawn(worker.post(if n % 2 == 0 { "/push" } else { "/" }).body(body).send())
        })
        .collect();
    for push in pushes {
        assert_eq!(push.await.unwrap().unwrap().status(), 204);
    }
    let mut ids: Vec<_> = worker
        .seen()
        .iter()
        .map(|(_, received)| cloudevents::AttributesReader::id(&received.event).to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 500);
}
