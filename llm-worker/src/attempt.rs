//! One request: the provider's stream into the reply log, until it ends or something from outside ends it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parlance_shared::{
    port::{
        llm::{Llm, LlmEvent, Prompt},
        reply_log::{AppendError, ReplyWriter},
        turns::Claim,
    },
    reply_text::{encode_call, encode_text},
    task::Usage,
};
use tokio::time::Instant;

use crate::{
    Worker,
    failure::Failure,
    interrupt::{Interrupt, interrupted},
    port_call::once,
};

/// The log makes us wait while it can't take more; longer than this, it is broken.
pub(crate) const APPEND: Duration = Duration::from_secs(10);

/// What came of a request. Its text is in the writer.
pub(crate) struct Attempt {
    pub(crate) end: AttemptEnd,
    pub(crate) first_token_at: Option<DateTime<Utc>>,
    /// The same moment, by the clock that only runs forward.
    pub(crate) first_token: Option<Instant>,
    /// The provider's count, if it came so far.
    pub(crate) usage: Usage,
}

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    /// The provider is done.
    Finished { model: Option<String>, finish_reason: Option<String> },
    /// The provider failed, or took too long.
    Failed(Failure),
    /// Stopped from outside; the upstream request is dropped.
    Interrupted(Interrupt),
    /// The log takes no more.
    LogFailed(AppendError),
}

/// Streams until an end. When this returns, or is dropped, so is the request to the provider.
pub(crate) async fn stream_reply(
    worker: &Worker,
    claim: &Claim,
    writer: &mut dyn ReplyWriter,
    llm: Arc<dyn Llm>,
    prompt: Prompt,
    turn_deadline: Instant,
) -> Attempt {
    let parts = &worker.parts;
    let reply = stream::once(async move { llm.stream(prompt).await }).try_flatten();
    // A provider's adapter that panics must cost this attempt, not the task.
    let reply = AssertUnwindSafe(reply).catch_unwind();
    tokio::pin!(reply);
    let interruption = interrupted(claim, &parts.lifecycle);
    tokio::pin!(interruption);
    let deadline = tokio::time::sleep_until(turn_deadline);
    tokio::pin!(deadline);

    let (mut first_token_at, mut first_token) = (None, None);
    let mut deltas = 0;
    let mut counted = Usage::default();
    let end = loop {
        let event = tokio::select! {
            biased;
            interrupt = &mut interruption => break AttemptEnd::Interrupted(interrupt),
            event = reply.next() => event,
            () = &mut deadline => break AttemptEnd::Failed(Failure::turn_timeout()),
        };
        match event {
            Some(Ok(Ok(said @ (LlmEvent::Delta(_) | LlmEvent::ToolCall(_))))) => {
                first_token_at.get_or_insert_with(|| parts.clock.now());
                first_token.get_or_insert_with(Instant::now);
                deltas += 1;
                let text = match &said {
                    LlmEvent::ToolCall(call) => encode_call(call).into(),
                    LlmEvent::Delta(text) => encode_text(text),
                    LlmEvent::Finished { .. } => continue,
                };
                if let Err(error) = once("reply log", APPEND, writer.append(&text)).await {
                    break AttemptEnd::LogFailed(error);
                }
            }
            Some(Ok(Ok(LlmEvent::Finished { model, usage, finish_reason }))) => {
                counted = usage;
                break match deltas {
                    0 => AttemptEnd::Failed(Failure::empty()),
                    _ => AttemptEnd::Finished { model, finish_reason },
                };
            }
            Some(Ok(Err(error))) => break AttemptEnd::Failed(error.into()),
            Some(Err(_panic)) => break AttemptEnd::Failed(Failure::panicked()),
            None => break AttemptEnd::Failed(Failure::cut()),
        }
    };
    parts.metrics.deltas.inc_by(deltas);
    Attempt { end, first_token_at, first_token, usage: counted }
}
