//! The process' end of the socket.
//!
//! It is bounded like everything that takes calls: a few connections at once, one call on each, a limit to what is sent and
//! to how long it takes. Nobody but the folder's owner can connect.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use hyper::{body::Body as _, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parlance_shared::{
    Lifecycle,
    key_mint::KeyMint,
    port::{
        PortError,
        bus::{BusAdmin as _, DeadLetters as _},
        store::StoreAdmin as _,
        users::{EraseStep, ExportPage, UserAdmin as _, UserCounts},
    },
    replay::Replay,
    webhook::WebhookMint,
};
use parlance_sqlite::{Database, SqliteAudit, SqliteBus, SqliteKeys, SqliteStore, SqliteUsers};
use serde::de::DeserializeOwned;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tracing::{debug, info, warn};

use super::{
    file::SocketFile,
    protocol::{self, Letter, Refusal, not_understood, subscription, topic},
};

const CONNECTIONS: usize = 8;
const HEADERS: Duration = Duration::from_secs(5);
const BODY: Duration = Duration::from_secs(10);
/// A whole call, answer included.
const CALL: Duration = Duration::from_secs(120);
/// Out of descriptors, accepting fails at once and for a while.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What the calls work on.
#[derive(Clone)]
pub(crate) struct Embedded {
    bus: SqliteBus,
    store: SqliteStore,
    users: SqliteUsers,
    pub(super) keys: SqliteKeys,
    pub(super) key_mint: KeyMint,
    pub(super) audit: SqliteAudit,
    pub(super) webhook_mint: WebhookMint,
}

impl Embedded {
    /// All that a folder holds. `users` may know what runs in it; keys are made with `key_mint`, secrets of webhooks with
    /// `webhook_mint`.
    pub(crate) fn new(
        folder: &Database,
        bus: SqliteBus,
        users: SqliteUsers,
        key_mint: KeyMint,
        webhook_mint: WebhookMint,
    ) -> Self {
        Self {
            bus,
            store: SqliteStore::new(folder.clone()),
            users,
            keys: SqliteKeys::new(folder.clone()),
            key_mint,
            audit: SqliteAudit::new(folder.clone()),
            webhook_mint,
        }
    }
}

/// Serves operators until the process stops. Call with the folder's lock held. A process without a socket works as well,
/// so a folder that can have none is a warning.
pub(crate) fn serve(folder: PathBuf, embedded: Embedded, lifecycle: &Lifecycle) {
    match SocketFile::listen(&folder) {
        Ok((file, listener)) => {
            let router = router(embedded);
            lifecycle.spawn(accept(file, listener, router, lifecycle.clone()));
        }
        Err(error) => warn!(%error, "no socket for operators: their commands must wait until this process has stopped"),
    }
}

async fn accept(file: SocketFile, listener: UnixListener, router: Router, lifecycle: Lifecycle) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            // Closed never happens: nobody closes it.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = lifecycle.stopping().cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, of_call) = (router.clone(), lifecycle.clone());
                lifecycle.spawn(async move {
                    answer(stream, router, &of_call).await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "no operator can connect for the moment");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    drop(file);
}

/// One call. A stop lets it finish, but waits for nobody who has not asked for anything yet.
async fn answer(stream: UnixStream, router: Router, lifecycle: &Lifecycle) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let too_late = tokio::time::sleep(CALL);
    tokio::pin!(too_late);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(%error, "an operator's connection broke");
                }
                return;
            }
            () = lifecycle.aborting().cancelled() => return,
            () = lifecycle.stopping().cancelled(), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
            () = &mut too_late => {
                debug!("an operator's call took too long");
                return;
            }
        }
    }
}

fn router(embedded: Embedded) -> Router {
    Router::new()
        .route(protocol::LETTERS, post(letters))
        .route(protocol::REDRIVE, post(redrive))
        .route(protocol::DISCARD, post(discard))
        .route(protocol::REPLAY, post(replay))
        .route(protocol::SEEK, post(seek))
        .route(protocol::REQUESTS, post(requests))
        .route(protocol::USER_COUNT, post(count_user))
        .route(protocol::USER_EXPORT, post(export_user))
        .route(protocol::USER_ERASE, post(erase_user))
        .route(protocol::USER_FORGET, post(forget_user))
        .route(protocol::PURGE, post(purge))
        .merge(super::keys::routes())
        .merge(super::webhooks::routes())
        .fallback(|| async { Refused(StatusCode::NOT_FOUND, not_understood("there is no such call")) })
        .layer(DefaultBodyLimit::max(protocol::MAX_CALL_BYTES))
        .with_state(embedded)
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;

async fn letters(State(embedded): State<Embedded>, call: Call<protocol::LettersCall>) -> Answer<Vec<Letter>> {
    let subscription = subscription(&call.0.subscription)?;
    let mut look = embedded.bus.dead_letters_after(subscription, call.0.after.as_deref());
    Ok(Json(look.next_page().await?.into_iter().map(Letter::from).collect()))
}

async fn redrive(State(embedded): State<Embedded>, Call(call): Call<protocol::RedriveCall>) -> Answer<bool> {
    let subscription = subscription(&call.subscription)?;
    let redriven = embedded.bus.dead_letters_after(subscription, None).redrive(&call.id, &call.replay).await?;
    let Replay { id, by, .. } = &call.replay;
    info!(
        replay.id = %id, replay.by = by, bus.subscription = subscription.name, letter.id = call.id, redriven,
        "an operator redrives a dead letter"
    );
    Ok(Json(redriven))
}

async fn discard(State(embedded): State<Embedded>, Call(call): Call<protocol::DiscardCall>) -> Answer<bool> {
    let subscription = subscription(&call.subscription)?;
    let discarded = embedded.bus.dead_letters_after(subscription, None).discard(&call.id).await?;
    info!(bus.subscription = subscription.name, letter.id = call.id, discarded, "an operator discards a dead letter");
    Ok(Json(discarded))
}

async fn replay(State(embedded): State<Embedded>, Call(call): Call<protocol::ReplayCall>) -> Answer<()> {
    let topic = topic(&call.topic)?;
    let mark = Replay::of(&call.event).ok_or_else(|| not_understood("the event carries no mark of a replay"))?;
    let event_id = cloudevents::AttributesReader::id(&call.event).to_owned();
    embedded.bus.replay(topic, &call.ordering_key, call.event).await?;
    info!(replay.id = %mark.id, replay.by = mark.by, event.id = event_id, "an operator replays an event");
    Ok(Json(()))
}

async fn seek(State(embedded): State<Embedded>, Call(call): Call<protocol::SeekCall>) -> Answer<Option<u64>> {
    let subscription = subscription(&call.subscription)?;
    let waiting = embedded.bus.seek(subscription, call.to).await?;
    info!(bus.subscription = subscription.name, to = %call.to, waiting, "an operator seeks");
    Ok(Json(waiting))
}

async fn requests(State(embedded): State<Embedded>, Call(call): Call<protocol::RequestsCall>) -> Response {
    match embedded.store.requests(&call.filter, call.after.as_ref(), call.limit).await {
        Ok(requests) => Json(requests).into_response(),
        Err(error) => Refused::from(error).into_response(),
    }
}

async fn count_user(State(embedded): State<Embedded>, Call(call): Call<protocol::UserCall>) -> Answer<UserCounts> {
    Ok(Json(embedded.users.count(&call.user).await?))
}

async fn export_user(State(embedded): State<Embedded>, Call(call): Call<protocol::ExportCall>) -> Answer<ExportPage> {
    Ok(Json(embedded.users.export(&call.user, call.after.as_ref()).await?))
}

/// Whose it is is not said: it would stay in the log.
async fn erase_user(State(embedded): State<Embedded>, Call(call): Call<protocol::UserCall>) -> Answer<EraseStep> {
    let step = embedded.users.erase(&call.user).await?;
    info!(sessions = step.sessions, messages = step.messages, running = step.running, "an operator erases a user");
    Ok(Json(step))
}

async fn forget_user(State(embedded): State<Embedded>, Call(call): Call<protocol::ForgetCall>) -> Answer<Option<u64>> {
    Ok(Json(embedded.bus.forget_user(&call.user, call.until).await?))
}

async fn purge(State(embedded): State<Embedded>, Call(()): Call<()>) -> Answer<bool> {
    Ok(Json(embedded.users.purge().await?))
}

/// A call's body.
pub(super) struct Call<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Call<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        if request.body().size_hint().lower() > protocol::MAX_CALL_BYTES as u64 {
            return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, not_understood("the call is too large")));
        }
        match tokio::time::timeout(BODY, Json::<T>::from_request(request, state)).await {
            Ok(Ok(Json(call))) => Ok(Self(call)),
            Ok(Err(rejection)) => Err(Refused(rejection.status(), not_understood(rejection.body_text()))),
            Err(_) => Err(Refused(StatusCode::REQUEST_TIMEOUT, not_understood("the call did not come in time"))),
        }
    }
}

/// An answer that says why not.
pub(super) struct Refused(StatusCode, Refusal);

impl From<PortError> for Refused {
    fn from(error: PortError) -> Self {
        let status =
            if error.is_transient() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNPROCESSABLE_ENTITY };
        Self(status, error.into())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}
