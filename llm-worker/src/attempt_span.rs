//! The span and the counts of one request to a model, as OpenTelemetry's conventions for generative AI describe it: who was
//! asked, how long the first token took, what was counted. Nothing of what was said.

use std::time::SystemTime;

use parlance_shared::{
    metrics::Metrics,
    port::llm::ProviderInfo,
    task::Usage,
    trace::{Kind, Span},
};
use tokio::time::Instant;

use crate::attempt::{Attempt, AttemptEnd};

/// A request under way.
pub(crate) struct Asking {
    span: Span,
    began: Instant,
    provider: String,
}

impl Asking {
    /// An attempt of a turn: it is counted.
    pub(crate) fn begin(metrics: &Metrics, provider: &ProviderInfo, model: &str, attempt: u32) -> Self {
        metrics.llm.asked(&provider.provider);
        let mut span = span(provider, model);
        span.set("parlance.attempt", || attempt);
        Self { span, began: Instant::now(), provider: provider.provider.clone() }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    pub(crate) fn end(mut self, metrics: &Metrics, attempt: &Attempt) {
        if let (Some(first), Some(at)) = (attempt.first_token, attempt.first_token_at) {
            metrics.llm.first_token(&self.provider, first - self.began);
            self.span.moment_at("first token", || SystemTime::from(at));
        }
        counted(&mut self.span, &attempt.usage);
        match &attempt.end {
            AttemptEnd::Finished { model, finish_reason } => {
                answered(&mut self.span, model.as_deref());
                if let Some(reason) = finish_reason {
                    self.span.set("gen_ai.response.finish_reasons", || vec![reason.clone()]);
                }
            }
            AttemptEnd::Failed(failure) => {
                metrics.llm.failed(&self.provider, failure.code);
                failed(&mut self.span, failure.code);
            }
            AttemptEnd::Interrupted(_) => self.span.set("parlance.outcome", || "interrupted"),
            AttemptEnd::LogFailed(_) => failed(&mut self.span, "reply_log_failed"),
        }
    }
}

/// A request to this provider.
pub(crate) fn span(provider: &ProviderInfo, model: &str) -> Span {
    let mut span = Span::start(Kind::Client, || format!("chat {model}").into());
    span.set("gen_ai.operation.name", || "chat");
    span.set("gen_ai.provider.name", || provider.provider.clone());
    span.set("gen_ai.request.model", || model.to_owned());
    span
}

pub(crate) fn answered(span: &mut Span, model: Option<&str>) {
    if let Some(model) = model {
        span.set("gen_ai.response.model", || model.to_owned());
    }
}

pub(crate) fn counted(span: &mut Span, usage: &Usage) {
    for (key, tokens) in [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
    ] {
        if let Some(tokens) = tokens {
            span.set(key, || tokens);
        }
    }
}

pub(crate) fn failed(span: &mut Span, code: &'static str) {
    span.set("error.type", || code);
    span.fail(|| code.into());
}
