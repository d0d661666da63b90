//! For measurements: what a turn does before it asks the model.

use std::sync::Arc;

use parlance_shared::{event::MessageSubmitted, port::PortError};

use crate::{LlmWorker, Worker, lease_loop::LeaseLoop, memory::Memory, prompt::build};

/// Builds contexts as turns do.
pub struct ContextBuilder(Worker);

/// What a context was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Messages of the prompt.
    pub messages: usize,
    /// Its tokens.
    pub tokens: u64,
    /// How many turns of the session are in the prompt only as part of the summary.
    pub folded: u32,
}

impl ContextBuilder {
    /// In these surroundings; answers nothing.
    pub fn new(parts: LlmWorker) -> Self {
        let leases = Arc::new(LeaseLoop::new(Arc::clone(&parts.turns)));
        let memory = Memory::new(parts.memory);
        Self(Worker { parts, leases, memory })
    }

    /// Loads the session's checkpoint and builds the message's prompt.
    ///
    /// # Errors
    /// When the store fails, or the message can't be asked.
    pub async fn build(&self, message: &MessageSubmitted) -> Result<Context, PortError> {
        let loaded = self.0.parts.turns.checkpoint(&message.user_id, message.session_id).await?;
        let model = self.0.parts.llm.describe().model;
        let built = build(&self.0, &loaded.checkpoint, message, &model)
            .map_err(|failure| PortError::Rejected { what: "the message", cause: failure.sentence.into_owned() })?;
        let folded = loaded.checkpoint.summary.map_or(0, |summary| summary.turns);
        Ok(Context { messages: built.prompt.messages.len(), tokens: built.record.tokens, folded })
    }
}
