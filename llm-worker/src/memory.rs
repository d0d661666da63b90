//! What a worker knows for building prompts and keeping memory: templates, models, tokenizers and settings.

use parlance_shared::settings::MemorySettings;

use crate::{
    models::Models,
    templates::Templates,
    tokens::{Counter, Tokenizers},
};

/// At least so much is left for the reply, unless the model can read less than four times as much.
const REPLY: u64 = 4_096;

/// What frames and rounding may take beyond what was counted: one part in so many.
const MARGIN: u64 = 100;

/// Read once for each worker.
pub(crate) struct Memory {
    pub(crate) settings: MemorySettings,
    pub(crate) templates: Templates,
    models: Models,
    tokenizers: Tokenizers,
}

/// What one model can be sent, and how that is counted.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// The most tokens of a prompt.
    pub(crate) prompt: u64,
    /// What counts.
    pub(crate) counter: Counter,
}

impl Memory {
    pub(crate) fn new(settings: MemorySettings) -> Self {
        Self { settings, templates: Templates::new(), models: Models::new(), tokenizers: Tokenizers::default() }
    }

    /// What this model can be sent: all that it reads, less what is left for the reply.
    pub(crate) fn room(&self, model: &str) -> Room {
        let known = self.models.look_up(model);
        let context = u64::from(self.settings.context_tokens.unwrap_or(known.context));
        let left = context - REPLY.min(context / 4);
        Room { prompt: left - left / MARGIN, counter: self.tokenizers.counter(known.tokenizer) }
    }

    /// From so many tokens on, the window's older turns are folded: as set, but early enough that they are not dropped from
    /// this model's prompts before.
    pub(crate) fn trigger(&self, room: &Room) -> u64 {
        u64::from(self.settings.summary_trigger_tokens).min(room.prompt / 2)
    }

    /// More is not kept, though no summary could be made: the oldest turns are dropped.
    pub(crate) fn most_kept(&self) -> u64 {
        2 * u64::from(self.settings.summary_trigger_tokens)
    }
}
