//! Requests to the API: what stands in paths, queries, headers and JSON bodies.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Method, Request};
use ingest_api::{About, ApiState, BudgetGuard, FrontDoor, Identity, Limits, RecentTurns, WebhookRules, router};
use parlance_shared::{Clock, Lifecycle, metrics::Metrics, port::bus::Bus as _, topology};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus, SqliteStore, SqliteTurns};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Nobody answers here: a call that waits for a reply waits in vain.
const PATIENCE: Duration = Duration::from_millis(100);

struct Served {
    runtime: Runtime,
    router: Router,
    _folder: TempDir,
}

static SERVED: OnceLock<Served> = OnceLock::new();

/// A line `METHOD TARGET`, headers up to an empty line, one each line as `name: value`, then the body. Whatever it is, it is
/// answered, and if it can't be done, not by a fault of ours.
pub fn http_request(data: &[u8]) {
    let Some(request) = request(data) else { return };
    let asked = format!("{} {}", request.method(), request.uri());
    let served = SERVED.get_or_init(serve);
    served.runtime.block_on(async {
        let Ok(answer) = tokio::time::timeout(PATIENCE, served.router.clone().oneshot(request)).await else { return };
        let answer = answer.expect("a router has no errors");
        let status = answer.status().as_u16();
        assert!(status < 500 || status == 503, "{asked} answered {status}: {answer:?}");
        let content_type = answer.headers().get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if status >= 400 {
            // The AI SDK shows text as it comes; the code is beside it.
            let told = matches!(content_type, Some(b"application/problem+json" | b"application/json"))
                || answer.headers().contains_key("x-problem-code");
            assert!(told, "{asked} answered {status}, which no program understands: {answer:?}");
        }
    });
}

fn request(data: &[u8]) -> Option<Request<Body>> {
    let split = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = split.map_or((data, &data[..0]), |at| (&data[..at], &data[at + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    let mut request = Request::builder().method(method).uri(&first[space + 1..]).header("host", "localhost");
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body.to_vec())).ok()
}

fn serve() -> Served {
    let runtime = Runtime::new().expect("a runtime can be made");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let router = runtime.block_on(async {
        let database = Database::open(DatabaseOptions::new(folder.path())).await.expect("a new folder opens");
        let lifecycle = Lifecycle::new();
        let bus = SqliteBus::new(database.clone());
        bus.ensure(&topology::ALL).await.expect("a new bus takes subscriptions");
        let turns = SqliteTurns::start(database.clone(), &lifecycle);
        router(Arc::new(ApiState {
            bus: Arc::new(bus),
            store: Arc::new(SqliteStore::new(database.clone())),
            turns: Arc::new(turns.clone()),
            accepting_needs_store: true,
            log: Arc::new(turns),
            mint: database.id_mint(),
            clock: Clock::system(),
            metrics: Arc::new(Metrics::new()),
            lifecycle,
            allowed_models: Vec::new(),
            identity: Identity::default(),
            door: FrontDoor::default(),
            recent: RecentTurns::default(),
            webhooks: WebhookRules::default(),
            budgets: BudgetGuard::default(),
            about: About { service: "fuzz", version: "0.0.0", provider: None },
            limits: Limits::default(),
        }))
    });
    Served { runtime, router, _folder: folder }
}
