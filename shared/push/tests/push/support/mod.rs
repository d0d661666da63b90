//! A worker with a handler that tests script, a sink that keeps letters in memory, and a client.

pub(crate) mod google;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use parlance_push::{Limits, NotReady, Push, ReadyCheck, Verification, WorkerHttp, serve};
use parlance_shared::{
    Clock, Lifecycle,
    consume::{ConsumeOptions, Handler, Processor},
    metrics::Metrics,
    port::{
        PortError,
        bus::{DeadLetterSink, Outcome, Reason, Received, Subscription},
    },
    topology::{PERSIST_REPLIES, PERSIST_REQUESTS},
};
use reqwest::{Client, RequestBuilder, Response};
use tokio::net::TcpListener;

pub(crate) type Answer = Arc<dyn Fn(Received) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// What the worker's handlers were given, by subscription.
pub(crate) type Seen = Arc<Mutex<Vec<(&'static str, Received)>>>;

struct Scripted {
    name: &'static str,
    seen: Seen,
    answer: Answer,
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, received: &Received) -> Outcome {
        self.seen.lock().unwrap().push((self.name, received.clone()));
        (self.answer)(received.clone()).await
    }
}

/// Keeps letters; refuses the first few.
#[derive(Default)]
pub(crate) struct Letters {
    pub(crate) kept: Mutex<Vec<(&'static str, Received, Reason)>>,
    pub(crate) refusals: AtomicUsize,
    pub(crate) rejects: bool,
}

#[async_trait]
impl DeadLetterSink for Letters {
    async fn keep(&self, subscription: Subscription, received: &Received, reason: &Reason) -> Result<(), PortError> {
        if self.rejects {
            return Err(PortError::Rejected { what: "the letters", cause: "scripted".into() });
        }
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(PortError::Unavailable { what: "the letters", cause: "scripted".into() });
        }
        self.kept.lock().unwrap().push((subscription.name, received.clone(), reason.clone()));
        Ok(())
    }
}

pub(crate) struct Build {
    pub(crate) answer: Answer,
    pub(crate) letters: Letters,
    pub(crate) concurrency: usize,
    pub(crate) limits: Limits,
    pub(crate) verification: Verification,
    pub(crate) ready: ReadyCheck,
    pub(crate) pulls: bool,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            answer: always(Outcome::Done),
            letters: Letters::default(),
            concurrency: 64,
            limits: Limits::default(),
            verification: Verification::Unverified,
            ready: Arc::new(|| Box::pin(async { Vec::<NotReady>::new() })),
            pulls: false,
            clock: Clock::system(),
            lifecycle: Lifecycle::new(),
        }
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Seen,
    pub(crate) letters: Arc<Letters>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) client: Client,
    pub(crate) serving: tokio::task::JoinHandle<()>,
}

impl Build {
    /// Serves persist-worker's two subscriptions on a free port.
    pub(crate) async fn start(self) -> Running {
        self.start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_at(self, address: SocketAddr) -> Running {
        let seen = Seen::default();
        let letters = Arc::new(self.letters);
        let metrics = Arc::new(Metrics::new());
        let processors = [PERSIST_REQUESTS, PERSIST_REPLIES].map(|subscription| {
            Arc::new(Processor {
                subscription,
                handler: Arc::new(Scripted {
                    name: subscription.name,
                    seen: Arc::clone(&seen),
                    answer: Arc::clone(&self.answer),
                }),
                options: ConsumeOptions { concurrency: self.concurrency, handler_timeout: Duration::from_secs(60) },
                metrics: Arc::clone(&metrics),
            })
        });
        let push =
            Push { processors: processors.into(), dead_letters: letters.clone(), verification: self.verification };
        let worker = WorkerHttp {
            service: "persist-worker",
            version: "1.2.3",
            ready: self.ready,
            clock: self.clock,
            metrics: Arc::clone(&metrics),
            push: (!self.pulls).then_some(push),
            limits: self.limits,
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, worker, self.lifecycle.clone()));
        Running { address, seen, letters, metrics, lifecycle: self.lifecycle, client: client(), serving }
    }
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// Pushes in the wrapped form.
    pub(crate) fn push(&self) -> RequestBuilder {
        self.post("/push").header("content-type", "application/json").body(fixture("wrapped.json"))
    }

    pub(crate) fn seen(&self) -> Vec<(&'static str, Received)> {
        self.seen.lock().unwrap().clone()
    }
}

pub(crate) fn always(outcome: Outcome) -> Answer {
    Arc::new(move |_| {
        let outcome = outcome.clone();
        Box::pin(async move { outcome })
    })
}

pub(crate) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().tls_certs_only([]).no_proxy().build().unwrap()
}

pub(crate) fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    std::fs::read_to_string(format!("{folder}{name}")).unwrap()
}

/// A request with the headers and the body of fixtures.
pub(crate) fn with_headers(mut request: RequestBuilder, headers: &str) -> RequestBuilder {
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value.as_bytes());
    }
    request
}

/// The status, and the problem's code and field.
pub(crate) async fn problem(response: Response) -> (u16, String, Option<String>) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned(), body["field"].as_str().map(str::to_owned))
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
