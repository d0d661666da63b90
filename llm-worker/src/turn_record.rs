//! What a turn leaves in logs and metrics: a line at its start and one at its end, never a word of what was said.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parlance_shared::{
    Clock,
    metrics::Metrics,
    port::turns::Claim,
    providers::Provider,
    task::{Task, Usage},
};
use tracing::{info, warn};

use crate::failure::Failure;

/// Counts a turn as active while it lives.
pub(crate) struct ActiveTurn(Arc<Metrics>);

impl ActiveTurn {
    pub(crate) fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.active_tasks.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for ActiveTurn {
    fn drop(&mut self) {
        self.0.active_tasks.dec();
    }
}

pub(crate) fn started(metrics: &Metrics, clock: &Clock, claim: &Claim, accepted_at: DateTime<Utc>) {
    let queued_ms = (clock.now() - accepted_at).num_milliseconds();
    if claim.attempt == 1 {
        metrics.queue_delay.observe_millis(queued_ms);
    }
    info!(attempt = claim.attempt, lost_attempts = claim.lost_attempts, queued_ms, "turn started");
}

/// `detail` is the failure's, without what it quotes of the conversation.
pub(crate) fn attempt_failed(attempt: u32, asked: Option<&Provider>, failure: &Failure, detail: &str) {
    let provider = asked.map(|provider| provider.info().provider.as_str());
    warn!(attempt, provider, code = failure.code, detail, "attempt failed");
}

pub(crate) fn ended(metrics: &Metrics, task: &Task) {
    metrics.tasks_ended.inc(task.status.as_str());
    if let Some(error) = &task.error {
        metrics.tasks_failed.inc(&error.code);
    }
    if let Some(first_token_ms) = task.timings.first_token_ms {
        metrics.time_to_first_token.observe_millis(first_token_ms);
    }
    let Usage { input_tokens, output_tokens, cached_tokens } = task.usage;
    for (direction, tokens) in [("input", input_tokens), ("output", output_tokens), ("cached", cached_tokens)] {
        if let Some(tokens) = tokens {
            metrics.tokens.inc_by(direction, tokens);
        }
    }
    info!(
        attempt = task.attempt,
        status = task.status.as_str(),
        code = task.error.as_ref().map(|error| error.code.as_str()),
        provider = task.provider,
        model = task.model,
        ttft_ms = task.timings.first_token_ms,
        total_ms = task.timings.total_ms,
        input_tokens,
        output_tokens,
        cached_tokens,
        "turn ended"
    );
}
