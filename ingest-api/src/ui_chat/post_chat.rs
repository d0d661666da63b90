//! `POST /v1/ui/chat`: the last message is accepted, and the answer is its reply's stream. Sent again, it joins the reply.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use parlance_shared::{SessionId, TaskId, event::MessageSubmitted};

use super::{
    ask_again::ask_again,
    echo::Echo,
    read_chat::{ChatRequest, How, Wanted},
    reply::Reply,
};
use crate::{
    call::Call,
    extract::{JsonBody, Query},
    idempotency,
    problem::Problem,
    state::ApiState,
    submit::{Submission, submit},
};

#[utoipa::path(
    post,
    path = "/v1/ui/chat",
    operation_id = "postChat",
    tag = "ai-sdk",
    summary = "Send a message, get its reply as a UI message stream",
    request_body(content = ref("#/components/schemas/UiChatRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The UI message stream, version 1.", body = ref("#/components/schemas/ProtocolEvent"), content_type = "text/event-stream"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::SessionNotFound, crate::problem::Code::SessionDeleted, crate::problem::Code::SessionBusy, crate::problem::Code::TooManyTasks, crate::problem::Code::TooManyQueued, crate::problem::Code::ContentTooLarge, crate::problem::Code::BudgetExhausted, crate::problem::Code::ModelNotFound, crate::problem::Code::StorageFull, crate::problem::Code::TooManyStreams, crate::problem::Code::MessageNotFound, crate::problem::Code::MessageNotRecorded, crate::problem::Code::MessageSuperseded, crate::problem::Code::MessageTooOld, crate::problem::Code::NotTheLastTurn, crate::problem::Code::TaskNotEnded])))),
)]
pub(super) async fn post_chat(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(query): RawQuery,
    JsonBody(request): JsonBody<ChatRequest>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    Query::none(query.as_deref())?;
    let wanted = request.read(&state)?;
    let session = wanted.chat.session(&state, &call.caller);
    let again = match wanted.how {
        How::New => None,
        How::Regenerate | How::Edit => ask_again(&state, &call, session, &wanted, began).await?,
    };
    let submitted = match again {
        Some(submitted) => submitted,
        // Also of a message that is to be answered anew and never arrived.
        None => ask(&state, &call, session, wanted, began).await?,
    };
    Reply::of(&submitted).follow(&state, &call.caller).await
}

/// A message that was not there before, or the same one once more.
async fn ask(
    state: &ApiState,
    call: &Call,
    session: SessionId,
    wanted: Wanted,
    began: Instant,
) -> Result<MessageSubmitted, Problem> {
    let Wanted { chat, message, asked, .. } = wanted;
    let key = match Echo::of(&asked.input) {
        // A reply may go on several times, each time with the results of other calls.
        Some(Echo::Continues(_)) => {
            let calls = asked.input.tool_results.iter().map(|result| result.tool_call_id.as_str());
            format!("{} continues {}", chat.key(&message), calls.collect::<Vec<_>>().join(" "))
        }
        _ => chat.key(&message),
    };
    let strategy = asked.strategy;
    let fingerprint = idempotency::fingerprint(Some(session), &asked);
    let user = &call.caller.user;
    let task_id: TaskId = state.mint.derive(user, &key);
    let submitted = MessageSubmitted {
        task_id,
        session_id: session,
        message_id: state.mint.derive(user, &key),
        reply_message_id: super::reply::reply_id(state, &call.caller, task_id),
        user_id: user.clone(),
        content: asked.content,
        model: asked.model,
        strategy: strategy.unwrap_or_default(),
        metadata: asked.metadata,
        accepted_at: state.clock.now_precise(),
        fingerprint: Some(fingerprint),
        input: asked.input,
        looked_at: None,
    };
    // Whether the chat is new is not known; a look at what waits there tells.
    let submission = Submission { submitted, session_is_new: false, strategy, stands_for: None };
    submit(state, call, submission, began).await
}
