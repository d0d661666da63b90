//! A collector for tests: takes OTLP over HTTP (protobuf) on a port, keeps the spans, and answers as the test wants.

mod span;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
    serve::ListenerExt as _,
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tokio::{net::TcpListener, sync::oneshot};

pub use self::span::{Link, SpanKind, TakenSpan};

/// How the collector behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Takes what it is sent.
    #[default]
    Well,
    /// Answers with this status and takes nothing.
    Answers(u16),
    /// Answers never, or after an hour.
    Hangs,
}

#[derive(Default)]
struct Taken {
    mood: Mood,
    spans: Vec<TakenSpan>,
    requests: usize,
    authorization: Option<String>,
}

/// A collector on a thread and a runtime of its own.
pub struct MockCollector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockCollector {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (taken, connections) = (Arc::new(Mutex::new(Taken::default())), Arc::new(AtomicUsize::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
        let counted = Arc::clone(&connections);
        let thread = std::thread::Builder::new().name("mock-collector".to_owned()).spawn(move || {
            let _ = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?.tap_io(move |_| {
                    counted.fetch_add(1, Ordering::SeqCst);
                });
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served,
                    _ = stopped => Ok(()),
                }
            });
        })?;
        Ok(Self { address, taken, connections, stop: Some(stop), thread: Some(thread) })
    }

    /// What goes into `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn behave(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// What it has taken so far.
    pub fn spans(&self) -> Vec<TakenSpan> {
        self.lock().spans.clone()
    }

    /// Of one trace, by the beginning of each.
    pub fn trace(&self, trace_id: &str) -> Vec<TakenSpan> {
        let mut spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
        spans.sort_by_key(|span| span.start_nanos);
        spans
    }

    /// How often it was asked, whatever it answered.
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Header `authorization` of the latest request.
    pub fn authorization(&self) -> Option<String> {
        self.lock().authorization.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MockCollector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mood = {
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.requests += 1;
        taken.authorization = text(header::AUTHORIZATION);
        taken.mood
    };
    match mood {
        Mood::Well => {}
        Mood::Answers(status) => return StatusCode::from_u16(status).unwrap_or_default().into_response(),
        Mood::Hangs => tokio::time::sleep(Duration::from_secs(3600)).await,
    }
    if text(header::CONTENT_TYPE).as_deref() != Some("application/x-protobuf") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST.into_response() };
    taken.lock().unwrap_or_else(PoisonError::into_inner).spans.extend(span::all_of(request));
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    ([(header::CONTENT_TYPE, "application/x-protobuf")], answer).into_response()
}
