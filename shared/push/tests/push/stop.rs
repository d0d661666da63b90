//! Callers that leave, and a process that stops: work under way is ended, and nobody waits for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parlance_push::Limits;
use parlance_shared::port::bus::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

use crate::support::{Answer, Build, eventually, fixture, problem};

/// A handler that waits to be released, and says when it began and when it was done.
#[derive(Clone, Default)]
struct Slow {
    begun: Arc<AtomicBool>,
    release: Arc<Notify>,
    done: Arc<AtomicBool>,
}

impl Slow {
    fn answer(&self) -> Answer {
        let slow = self.clone();
        Arc::new(move |_| {
            let slow = slow.clone();
            Box::pin(async move {
                slow.begun.store(true, Ordering::SeqCst);
                slow.release.notified().await;
                slow.done.store(true, Ordering::SeqCst);
                Outcome::Done
            })
        })
    }

    async fn begun(&self) {
        eventually("the handler to begin", || self.begun.load(Ordering::SeqCst).then_some(())).await;
    }
}

#[tokio::test]
async fn work_goes_on_when_the_caller_hangs_up() {
    let slow = Slow::default();
    // One connection only: the next one is served once the first is known to be gone.
    let limits = Limits { connections: 1, ..Limits::default() };
    let worker = Build { answer: slow.answer(), limits, ..Build::default() }.start().await;
    let body = fixture("wrapped.json");
    let head = format!("POST /push HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut caller = TcpStream::connect(worker.address).await.unwrap();
    caller.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    slow.begun().await;
    drop(caller);
    assert_eq!(worker.get("/health").await.status(), 200);
    assert!(!slow.done.load(Ordering::SeqCst));
    slow.release.notify_one();
    eventually("the work to be done", || slow.done.load(Ordering::SeqCst).then_some(())).await;
}

#[tokio::test]
async fn a_push_under_way_is_ended_within_the_grace() {
    let slow = Slow::default();
    let worker = Build { answer: slow.answer(), ..Build::default() }.start().await;
    let push = tokio::spawn(worker.push().send());
    slow.begun().await;
    let lifecycle = worker.lifecycle.clone();
    let stop = tokio::spawn(async move { lifecycle.stop(Duration::from_secs(30), Duration::from_secs(5)).await });
    eventually("the soft stop", || worker.lifecycle.stopping().is_cancelled().then_some(())).await;
    slow.release.notify_one();
    assert_eq!(push.await.unwrap().unwrap().status(), 204);
    assert!(stop.await.unwrap(), "nothing is left running");
    worker.serving.await.unwrap();
    assert!(TcpStream::connect(worker.address).await.is_err());
}

#[tokio::test]
async fn a_push_that_outlasts_the_grace_is_answered_and_comes_again() {
    let slow = Slow::default();
    let worker = Build { answer: slow.answer(), ..Build::default() }.start().await;
    let push = tokio::spawn(worker.push().send());
    slow.begun().await;
    let lifecycle = worker.lifecycle.clone();
    let stop = tokio::spawn(async move { lifecycle.stop(Duration::from_millis(50), Duration::from_secs(2)).await });
    assert_eq!(problem(push.await.unwrap().unwrap()).await, (503, "stopping".into(), None));
    assert!(!stop.await.unwrap(), "the handler never ends");
    worker.serving.await.unwrap();
}

#[tokio::test]
async fn a_push_that_arrives_while_it_stops_is_refused() {
    let worker = Build::default().start().await;
    let body = fixture("wrapped.json");
    let mut caller = TcpStream::connect(worker.address).await.unwrap();
    let length = body.len();
    let head = format!("POST /push HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    caller.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n", "it reads the body");
    worker.lifecycle.begin_stop();
    caller.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("stopping"), "{answer}");
    assert!(worker.seen().is_empty());
}
