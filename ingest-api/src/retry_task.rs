//! `POST /v1/tasks/{id}/retry`: the last message of a session is answered anew. The reply so far stays readable as another
//! version; the conversation goes on from the new one.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use parlance_shared::{
    TaskId,
    content::TurnInput,
    event::MessageSubmitted,
    port::store::{StoredTurn, TurnOf},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    call::Call,
    extract::{Field, OptionalJsonBody, PathId, Query, RequestBody},
    find_task::{find_task, note_session},
    idempotency::{self, Earlier},
    openapi::{IdempotencyKey, problems},
    problem::{Code, Problem},
    replaced::recorded,
    state::ApiState,
    submit::{Accepted, StandsFor, Submission, TurnIds, accepted, submit},
    validate::Faults,
};

/// What may be different this time.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryTask {
    /// Another model; the one asked for before unless given.
    model: Option<String>,
}

impl RequestBody for RetryTask {
    const FIELDS: &'static [Field] = &[("model", "a string, or null")];
}

#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/retry",
    operation_id = "retryTask",
    tag = "tasks",
    summary = "Answer the last message anew",
    description = "A new task answers the same message; the reply so far stays readable as another version, and the conversation goes on \
                   from the new one. Needs no body.",
    params(
        ("task_id" = TaskId, Path),
        IdempotencyKey,
    ),
    request_body = Option<RetryTask>,
    responses((
        status = 202,
        description = "The message is durable and will be answered.",
        body = Accepted,
        headers(("Location" = String, description = "The task's path.")),
    )),
    extensions(("x-problems" = json!(problems(&[Code::TaskNotFound, Code::TaskNotEnded, Code::NotTheLastTurn, Code::SessionBusy, Code::SessionNotFound, Code::SessionDeleted, Code::TooManyTasks, Code::TooManyQueued, Code::BudgetExhausted, Code::Unavailable, Code::StorageFull])))),
)]
pub(crate) async fn retry_task(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<TaskId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody<RetryTask>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    Query::none(query.as_deref())?;
    let RetryTask { model } = body.unwrap_or_default();
    let mut faults = Faults::default();
    faults.model(model.as_deref(), &state.allowed_models);
    faults.into_result()?;
    let key = idempotency::key_of(&headers)?;
    let fingerprint = key.map(|_| idempotency::retry_fingerprint(id, model.as_deref()));
    let task = find_task(&state, &call.caller, id).await?;
    note_session(&task);
    if !task.status.is_terminal() {
        return Err(Problem::new(Code::TaskNotEnded, "The task has not ended; cancel it first, or wait for its end."));
    }
    let turn = match task.session_id {
        Some(session) => recorded(&state, &call.caller, session, TurnOf::Task(id)).await?,
        None => None,
    };
    let Some(turn) = turn else {
        return Err(Problem::unavailable(1, "the record does not have the message yet"));
    };
    let submitted = anew(&state, &call, &turn, model, key, fingerprint);
    if let Some(fingerprint) = submitted.fingerprint.as_deref() {
        // A repeat finds its turn superseded by itself.
        let earlier = idempotency::find_earlier(&state, &call.caller, submitted.task_id, fingerprint).await?;
        if earlier == Earlier::Same {
            return Ok(accepted(&submitted));
        }
    }
    if turn.superseded_by.is_some() || !turn.is_last {
        return Err(Problem::new(Code::NotTheLastTurn, "Only the last turn of a session can be answered anew."));
    }
    let stands_for = Some(StandsFor::LastTurn(Box::new(turn)));
    let submission = Submission { submitted, session_is_new: false, strategy: None, stands_for };
    Ok(accepted(&submit(&state, &call, submission, began).await?))
}

/// The same message for another reply.
fn anew(
    state: &ApiState,
    call: &Call,
    turn: &StoredTurn,
    model: Option<String>,
    key: Option<&str>,
    fingerprint: Option<String>,
) -> MessageSubmitted {
    let ids = TurnIds::new(state, &call.caller, key);
    let earlier = turn.message.clone();
    MessageSubmitted {
        task_id: ids.task_id,
        reply_message_id: ids.reply_message_id,
        model: model.or(earlier.model),
        fingerprint,
        input: TurnInput { replaces: None, ..earlier.input },
        ..earlier
    }
}
