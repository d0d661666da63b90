//! A receiver of webhooks, which answers as the test wants.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot};

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct WebhookAnswer {
    /// 0 stands for 204.
    pub status: u16,
    /// Header `Retry-After`.
    pub retry_after: Option<&'static str>,
    /// Header `Location`.
    pub location: Option<String>,
    /// How long it takes.
    pub delay: Duration,
    /// So many bytes of body.
    pub body_bytes: usize,
}

impl WebhookAnswer {
    /// Nothing but a status, at once.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// What arrived.
#[derive(Clone, Debug)]
pub struct WebhookDelivery {
    /// Header `webhook-id`.
    pub id: String,
    /// Header `webhook-timestamp`.
    pub timestamp: String,
    /// Header `webhook-signature`.
    pub signature: String,
    /// Header `content-type`.
    pub content_type: String,
    /// Header `traceparent`; empty without one.
    pub traceparent: String,
    /// The path and query.
    pub path: String,
    /// As it came.
    pub body: Vec<u8>,
    /// When.
    pub at: Instant,
    /// How it was answered.
    pub answered: u16,
}

impl WebhookDelivery {
    /// The body, which must be JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct Received {
    deliveries: Vec<WebhookDelivery>,
    answers: VecDeque<WebhookAnswer>,
    otherwise: WebhookAnswer,
    under_way: usize,
    most_under_way: usize,
}

/// A receiver on a thread and a runtime of its own.
pub struct WebhookReceiver {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebhookReceiver {
    /// Starts one on a free port of 127.0.0.1 that answers 204.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same at a known address.
    ///
    /// # Errors
    /// When the port or a thread can't be had.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Received::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(Arc::clone(&received));
        let thread = std::thread::Builder::new().name("webhook-receiver".to_owned()).spawn(move || {
            let _ = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served,
                    _ = stopped => Ok(()),
                }
            });
        })?;
        Ok(Self { address, received, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes into `webhook_url`.
    pub fn url(&self) -> String {
        format!("http://{}/hook?token=in-the-url", self.address)
    }

    /// The next answers; then the usual one again.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = WebhookAnswer>) {
        self.lock().answers.extend(answers);
    }

    /// The usual answer.
    pub fn answer(&self, answer: WebhookAnswer) {
        self.lock().otherwise = answer;
    }

    /// What arrived so far, oldest first.
    pub fn deliveries(&self) -> Vec<WebhookDelivery> {
        self.lock().deliveries.clone()
    }

    /// How many were under way at once, at the most.
    pub fn most_under_way(&self) -> usize {
        self.lock().most_under_way
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let answer = {
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = received.answers.pop_front().unwrap_or_else(|| received.otherwise.clone());
        received.under_way += 1;
        received.most_under_way = received.most_under_way.max(received.under_way);
        received.deliveries.push(WebhookDelivery {
            id: text("webhook-id"),
            timestamp: text("webhook-timestamp"),
            signature: text("webhook-signature"),
            content_type: text("content-type"),
            traceparent: text("traceparent"),
            path: format!("{method} {uri}"),
            body: body.to_vec(),
            at: Instant::now(),
            answered: answer.status.max(204 * u16::from(answer.status == 0)),
        });
        answer
    };
    tokio::time::sleep(answer.delay).await;
    received.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::NO_CONTENT);
    let mut response = (status, vec![b'x'; answer.body_bytes]).into_response();
    if let Some(value) = answer.retry_after.and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    if let Some(value) = answer.location.and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}
