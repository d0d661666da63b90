//! One request that several may read. Whoever has read all there is asks the provider for more, and what comes is everybody's;
//! nothing runs beside the readers. So if the first one goes, another goes on where it was; when all are gone, so is the
//! request. A reader that is slow holds up nobody, and reads what came meanwhile in larger pieces.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use parlance_shared::{
    content::ToolCall,
    port::llm::{LlmError, LlmErrorKind, LlmEvent, LlmStream},
    task::Usage,
};
use tokio::sync;

use super::{
    Shared,
    kept::{NO_TOKENS, PIECE, WholeReply},
    key::Key,
};

/// A request under way, or over with readers that have not read it all.
pub(super) struct Flight {
    key: Key,
    shared: Arc<Shared>,
    /// Held by the reader that waits for more.
    upstream: sync::Mutex<LlmStream>,
    so_far: Mutex<SoFar>,
    /// A reader was told what the request used.
    is_paid: AtomicBool,
}

#[derive(Default)]
struct SoFar {
    text: String,
    calls: Vec<ToolCall>,
    end: Option<Result<End, LlmError>>,
}

#[derive(Clone)]
struct End {
    model: Option<String>,
    usage: Usage,
    finish_reason: Option<String>,
}

/// How far a reader is.
#[derive(Default)]
struct Place {
    text: usize,
    calls: usize,
    is_over: bool,
}

/// Everything that the request gives, from its beginning.
pub(super) fn subscribe(flight: Arc<Flight>) -> LlmStream {
    stream::unfold((flight, Place::default()), async |(flight, mut place)| {
        let event = flight.next(&mut place).await?;
        Some((event, (flight, place)))
    })
    .boxed()
}

impl Flight {
    /// Nothing is asked before the first reader waits.
    pub(super) fn new(key: Key, shared: Arc<Shared>, upstream: LlmStream) -> Self {
        let (upstream, so_far) = (sync::Mutex::new(upstream), Mutex::default());
        Self { key, shared, upstream, so_far, is_paid: AtomicBool::new(false) }
    }

    async fn next(&self, place: &mut Place) -> Option<Result<LlmEvent, LlmError>> {
        loop {
            if let Some(event) = self.at(place) {
                return event;
            }
            let mut upstream = self.upstream.lock().await;
            // Who held it may have brought something.
            if let Some(event) = self.at(place) {
                return event;
            }
            // A reader that goes while it waits here leaves the stream as it is.
            match AssertUnwindSafe(upstream.next()).catch_unwind().await {
                Ok(event) => self.came(event),
                Err(panic) => {
                    self.came(Some(Err(LlmError::new(LlmErrorKind::Unavailable, "the provider's adapter panicked"))));
                    resume_unwind(panic);
                }
            }
        }
    }

    /// What comes at a place; `None` when it is not known yet, `Some(None)` when nothing more comes.
    fn at(&self, place: &mut Place) -> Option<Option<Result<LlmEvent, LlmError>>> {
        let so_far = self.so_far();
        let rest = &so_far.text[place.text..];
        if !rest.is_empty() {
            let piece = &rest[..rest.floor_char_boundary(PIECE)];
            place.text += piece.len();
            return Some(Some(Ok(LlmEvent::Delta(piece.to_owned()))));
        }
        if let Some(call) = so_far.calls.get(place.calls) {
            place.calls += 1;
            return Some(Some(Ok(LlmEvent::ToolCall(call.clone()))));
        }
        let end = so_far.end.as_ref()?;
        if std::mem::replace(&mut place.is_over, true) {
            return Some(None);
        }
        Some(Some(end.clone().map(|End { model, usage, finish_reason }| {
            let is_first = !self.is_paid.swap(true, Ordering::Relaxed);
            LlmEvent::Finished { model, usage: if is_first { usage } else { NO_TOKENS }, finish_reason }
        })))
    }

    fn came(&self, event: Option<Result<LlmEvent, LlmError>>) {
        let mut so_far = self.so_far();
        match event {
            Some(Ok(LlmEvent::Delta(text))) => return so_far.text.push_str(&text),
            Some(Ok(LlmEvent::ToolCall(call))) => return so_far.calls.push(call),
            Some(Ok(LlmEvent::Finished { model, usage, finish_reason })) => {
                so_far.end = Some(Ok(End { model, usage, finish_reason }));
            }
            Some(Err(error)) => so_far.end = Some(Err(error)),
            None => {
                let error = LlmError::new(LlmErrorKind::StreamCut, "the stream ended without an end");
                so_far.end = Some(Err(error));
            }
        }
        let reply = whole(&so_far);
        drop(so_far);
        self.shared.landed(&self.key, reply);
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shared.abandoned(&self.key);
    }
}

/// The reply, if the model said all that it wanted to.
fn whole(SoFar { text, calls, end }: &SoFar) -> Option<WholeReply> {
    let Some(Ok(End { model, finish_reason, .. })) = end else { return None };
    let is_whole = matches!(finish_reason.as_deref(), None | Some("stop" | "tool_calls"));
    (is_whole && !(text.is_empty() && calls.is_empty())).then(|| WholeReply {
        text: text.clone(),
        calls: calls.clone(),
        model: model.clone(),
        finish_reason: finish_reason.clone(),
    })
}
