//! From what is asked to what is accepted, whatever the protocol that it was asked by: ids, fingerprint, submission.

use std::time::Instant;

use http::HeaderMap;
use parlance_shared::{SessionId, event::MessageSubmitted};
use tracing::Span;

use crate::{
    call::Call,
    idempotency,
    problem::Problem,
    read_message::Asked,
    state::ApiState,
    submit::{StandsFor, Submission, TurnIds, submit},
};

/// Accepts what was asked, in a session of the caller's or in a new one.
///
/// # Errors
/// As a problem of the call: an idempotency key that belongs to another request, a session that takes no message now, a bus
/// that does not answer.
pub(crate) async fn accept(
    state: &ApiState,
    call: &Call,
    session: Option<SessionId>,
    headers: &HeaderMap,
    asked: Asked,
    began: Instant,
) -> Result<MessageSubmitted, Problem> {
    let key = idempotency::key_of(headers)?;
    let fingerprint = key.map(|_| idempotency::fingerprint(session, &asked));
    let user = &call.caller.user;
    let session_id = session.unwrap_or_else(|| {
        let made = key.map_or_else(|| state.mint.mint(user), |key| state.mint.derive(user, key));
        // A path says it, and the span knows it; this one it does not.
        Span::current().record("session_id", tracing::field::display(made));
        made
    });
    let TurnIds { task_id, message_id, reply_message_id } = TurnIds::new(state, &call.caller, key);
    let Asked { content, model, strategy, metadata, mut input, edits } = asked;
    if let (Some(webhook), Some(key)) = (&mut input.webhook, &call.caller.key) {
        webhook.key_id = Some(key.id.to_string());
    }
    let submitted = MessageSubmitted {
        task_id,
        session_id,
        message_id,
        reply_message_id,
        user_id: user.clone(),
        content,
        model,
        strategy: strategy.unwrap_or_default(),
        metadata,
        // Messages of a session are listed in this order, and a quick client posts several within a millisecond.
        accepted_at: state.clock.now_precise(),
        fingerprint,
        input,
        looked_at: None,
    };
    let stands_for = edits.map(StandsFor::Message);
    let submission = Submission { submitted, session_is_new: session.is_none(), strategy, stands_for };
    submit(state, call, submission, began).await
}
