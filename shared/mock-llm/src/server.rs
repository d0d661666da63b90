//! The endpoints, and the mock as a value that tests hold.

use std::{
    future::{Future, pending},
    io,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    chat::{post_chat_completions, send_raw_answer},
    connection::{MockListener, Reset},
    log::RequestRecord,
    script::{Mock, Script},
};

const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

fn router(mock: Arc<Mock>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(post_chat_completions))
        .route("/v1/models", get(get_models))
        .route("/mock/log", get(get_log))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(mock)
}

async fn get_models(State(mock): State<Arc<Mock>>) -> Response {
    if let Some(answer) = mock.script.models_answer() {
        if answer.stay_open && answer.frames.is_empty() {
            return pending().await;
        }
        return send_raw_answer(answer.clone());
    }
    let models: Vec<Value> = mock
        .script
        .models()
        .iter()
        .map(|id| json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "mock"}))
        .collect();
    Json(json!({"object": "list", "data": models})).into_response()
}

async fn get_log(State(mock): State<Arc<Mock>>) -> Json<Value> {
    Json(json!({"now_ms": mock.log.now_ms(), "total": mock.log.total(), "requests": mock.log.records(),
        "memory_requests": mock.memory_log.records()}))
}

/// Serves until `shutdown` is ready; connections under way are dropped then.
///
/// # Errors
/// The listener's.
pub async fn run(listener: TcpListener, script: Script, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    serve(listener, Arc::new(Mock::new(script)), shutdown).await
}

async fn serve(listener: TcpListener, mock: Arc<Mock>, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let service = router(mock).into_make_service_with_connect_info::<Reset>();
    tokio::select! {
        served = async { axum::serve(MockListener(listener), service).await } => served,
        () = shutdown => Ok(()),
    }
}

/// A mock on a thread and a runtime of its own, so that nothing of it is left once it is dropped, whatever the test's
/// runtime does, and so that the caller's CPU time can be told from the mock's.
pub struct MockLlm {
    address: std::net::SocketAddr,
    mock: Arc<Mock>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockLlm {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start(script: Script) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mock = Arc::new(Mock::new(script));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&mock);
        let thread = std::thread::Builder::new().name("mock-llm".to_owned()).spawn(move || {
            let _ = runtime.block_on(async {
                serve(TcpListener::from_std(listener)?, served, async { drop(stopped.await) }).await
            });
        })?;
        Ok(Self { address, mock, stop: Some(stop), thread: Some(thread) })
    }

    /// What goes into `LLM_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it was asked so far besides turns, such as summaries, oldest first.
    pub fn memory_requests(&self) -> Vec<RequestRecord> {
        self.mock.memory_log.records()
    }

    /// What it was asked so far as turns, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.mock.log.records()
    }

    /// The time of the log's instants.
    pub fn now_ms(&self) -> i64 {
        self.mock.log.now_ms()
    }

    /// Waits until the log is as the caller wants it; gives the log then, or when `limit` has passed.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&[RequestRecord]) -> bool) -> Vec<RequestRecord> {
        let mut changes = self.mock.log.changes();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let records = self.requests();
                if wanted(&records) {
                    return records;
                }
                if changes.changed().await.is_err() {
                    return records;
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| self.requests())
    }
}

impl std::fmt::Debug for MockLlm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockLlm").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for MockLlm {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
