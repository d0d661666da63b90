//! The way of a message that was understood: its place in the session, what it does to others there, the bus, the 202.
//!
//! Repeats under one idempotency key are one task whoever notices: the worker that has it, the record, this instance's own
//! memory of what it accepted, or the bus.

use std::time::Instant;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use parlance_shared::{
    Caller, MessageId, SessionId, TaskId,
    event::{MessageSubmitted, Strategy, from_cloud_event},
    port::{PortError, bus::Published, store::Admission, store::StoredTurn},
    task::Status,
};
use serde::Serialize;
use tracing::Span;
use utoipa::ToSchema;

use crate::{
    admit::{self, Admitted, Wish},
    bounded::bounded,
    budget::refuse_past_budget,
    call::Call,
    idempotency::{self, Earlier},
    limits::enter_task,
    problem::Problem,
    publish::publish,
    recent_turns::{Place, Reservation},
    replaced,
    state::ApiState,
};

/// A message on its way.
pub(crate) struct Submission {
    /// What will be said of it; the time and what it replaces are found out on the way.
    pub(crate) submitted: MessageSubmitted,
    /// Nothing of the session exists yet.
    pub(crate) session_is_new: bool,
    /// What it says about what runs.
    pub(crate) strategy: Option<Strategy>,
    /// What it stands in for.
    pub(crate) stands_for: Option<StandsFor>,
}

/// What a message stands in for.
pub(crate) enum StandsFor {
    /// The turn of this message of the user's, and what followed.
    Message(MessageId),
    /// The last turn, which was looked up.
    LastTurn(Box<StoredTurn>),
}

/// The ids of a turn. With a key, each follows from it; without, each is new.
pub(crate) struct TurnIds {
    pub(crate) task_id: TaskId,
    pub(crate) message_id: MessageId,
    pub(crate) reply_message_id: MessageId,
}

impl TurnIds {
    pub(crate) fn new(state: &ApiState, caller: &Caller, key: Option<&str>) -> Self {
        let (mint, user) = (&state.mint, &caller.user);
        match key {
            None => Self { task_id: mint.mint(user), message_id: mint.mint(user), reply_message_id: mint.mint(user) },
            // The two messages of a turn need keys of their own; neither can be a client's, as those have no spaces.
            Some(key) => Self {
                task_id: mint.derive(user, key),
                message_id: mint.derive(user, key),
                reply_message_id: mint.derive(user, &format!("{key} reply")),
            },
        }
    }
}

/// The 202. It holds nothing that a repeat under the same idempotency key would not have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    task_id: TaskId,
    message_id: MessageId,
    session_id: SessionId,
    status: Status,
    links: Links,
}

/// Where to go on.
#[derive(Debug, Serialize, ToSchema)]
struct Links {
    task: String,
    stream: String,
    cancel: String,
    session: String,
}

/// Accepts the message, or says why not. Of a repeat under an idempotency key only the ids are as they were accepted.
pub(crate) async fn submit(
    state: &ApiState,
    call: &Call,
    submission: Submission,
    began: Instant,
) -> Result<MessageSubmitted, Problem> {
    let Submission { mut submitted, session_is_new, strategy, stands_for } = submission;
    submitted.input.webhook = submitted.input.webhook.or_else(|| state.webhooks.of_key(&call.caller));
    Span::current().record("task_id", tracing::field::display(submitted.task_id));
    let (session, fingerprint) = (submitted.session_id, submitted.fingerprint.clone());
    let _under_way = state.door.limits.submitting()?;
    let now = state.clock.now_precise();
    let place = state.recent.reserve(session, submitted.task_id, fingerprint.as_deref(), now);
    let recent = match &place {
        Place::New(reservation) => reservation.earlier.as_slice(),
        Place::Pending | Place::Accepted { .. } => &[],
    };
    let (earlier, look, in_budget, open_task) = tokio::join!(
        find_earlier(state, &call.caller, submitted.task_id, fingerprint.as_deref()),
        look(state, &call.caller, session, recent, session_is_new),
        refuse_past_budget(state, &call.caller),
        enter_task(state, &call.caller.user, submitted.task_id),
    );
    if let Ok(Admission { deleted: true, .. }) = look {
        return Err(Problem::session_not_found());
    }
    if earlier? == Earlier::Same {
        return Ok(submitted);
    }
    let mut place = match place {
        Place::New(reservation) => Some(reservation),
        Place::Accepted { fingerprint: earlier } => {
            idempotency::compare(earlier.as_deref(), fingerprint.as_deref().unwrap_or_default())?;
            return Ok(submitted);
        }
        // Whichever of the two comes to the bus first is accepted; the other one hears of it there.
        Place::Pending => None,
    };
    in_budget?;
    let open_task = open_task?;
    let (latest, looked_at) = look.as_ref().map(|known| (known.latest, known.looked_at)).unwrap_or_default();
    let wish = Wish { strategy, replaces: stands_for.is_some() };
    let Admitted { strategy, waiting } = enter(state, look, place.as_ref(), wish)?;
    submitted.strategy = strategy;
    if let Some(stands_for) = stands_for {
        let turn = match stands_for {
            StandsFor::Message(message) => replaced::edited(state, &call.caller, session, message).await?,
            StandsFor::LastTurn(turn) => *turn,
        };
        submitted.input.replaces = Some(replaced::replaced(state, &call.caller, &turn, &waiting).await?);
    }
    submitted.accepted_at = accepted_at(place.as_mut(), latest, &submitted, now);
    // Other instances may be accepting a message of the session at this moment: the worker looks again.
    submitted.looked_at = looked_at.filter(|_| submitted.is_exclusive());
    if strategy == Strategy::Interrupt && !session_is_new {
        let before = submitted.accepted_at;
        let interrupting = state.turns.interrupt(&call.caller.user, session, submitted.task_id, before);
        // On record before the message is: a crash in between stops what runs, and the client sends the message again.
        submitted.accepted_at = bounded(state.limits.publish_timeout, "turns", interrupting).await?;
        if let Some(place) = place.as_mut() {
            place.move_to(submitted.accepted_at);
        }
    }
    match publish(state, call, &submitted).await? {
        Published::New => {
            state.metrics.accepted.inc();
            state.metrics.accept_latency.observe(began.elapsed());
        }
        Published::Duplicate(event) => {
            let earlier: MessageSubmitted =
                from_cloud_event(&event).map_err(|error| Problem::internal(error.to_string()))?;
            idempotency::compare(earlier.fingerprint.as_deref(), fingerprint.as_deref().unwrap_or_default())?;
        }
    }
    if let Some(place) = place {
        place.keep();
    }
    if let Some(open_task) = open_task {
        open_task.keep();
    }
    Ok(submitted)
}

async fn find_earlier(
    state: &ApiState,
    caller: &Caller,
    task: TaskId,
    fingerprint: Option<&str>,
) -> Result<Earlier, Problem> {
    match fingerprint {
        Some(fingerprint) => idempotency::find_earlier(state, caller, task, fingerprint).await,
        None => Ok(Earlier::Unknown),
    }
}

/// A new session has nothing to look at.
async fn look(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    recent: &[TaskId],
    session_is_new: bool,
) -> Result<Admission, PortError> {
    if session_is_new {
        return Ok(Admission::default());
    }
    let limit = admit::look_limit(state.limits.queued_per_session);
    let looking = state.store.admission(&caller.user, session, recent, limit);
    bounded(state.limits.glance_timeout, "store", looking).await
}

fn enter(
    state: &ApiState,
    look: Result<Admission, PortError>,
    place: Option<&Reservation<'_>>,
    wish: Wish,
) -> Result<Admitted, Problem> {
    // The same request is judged where it comes first.
    let Some(place) = place else {
        let strategy = look.ok().and_then(|known| wish.strategy.or(known.strategy)).or(wish.strategy);
        return Ok(Admitted { strategy: strategy.unwrap_or_default(), waiting: Vec::new() });
    };
    if let Ok(known) = &look
        && known.waiting.len() < admit::look_limit(state.limits.queued_per_session) as usize
    {
        place.forget_ended(&known.waiting);
    }
    let look = look.map(|mut known| {
        known.waiting.retain(|task| *task != place.task());
        known
    });
    admit::judge(look, &place.earlier, wish, state.limits.queued_per_session)
}

/// Behind all that was accepted in the session. What others are compared with is a whole millisecond, as it is stored.
fn accepted_at(
    place: Option<&mut Reservation<'_>>,
    latest: Option<DateTime<Utc>>,
    submitted: &MessageSubmitted,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let Some(place) = place else { return now };
    if let Some(latest) = latest {
        place.follow(latest);
    }
    if submitted.strategy == Strategy::Interrupt || submitted.input.replaces.is_some() {
        place.round_up();
    }
    place.accepted_at
}

/// The 202.
pub(crate) fn accepted(submitted: &MessageSubmitted) -> Response {
    let MessageSubmitted { task_id, message_id, session_id, .. } = *submitted;
    let task = format!("/v1/tasks/{task_id}");
    let location = HeaderValue::from_str(&task);
    let links = Links {
        stream: format!("{task}/stream"),
        cancel: format!("{task}/cancel"),
        session: format!("/v1/sessions/{session_id}"),
        task,
    };
    let body = Accepted { task_id, message_id, session_id, status: Status::Queued, links };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
