//! A failed attempt: what the task's owner is told, and whether another attempt may help.

use std::{borrow::Cow, time::Duration};

use parlance_shared::{
    port::llm::{LlmError, LlmErrorKind},
    providers::Failed,
    task::{TaskError, codes},
};

/// How an attempt, or the whole task, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A stable code.
    pub(crate) code: &'static str,
    /// For the person who waits.
    pub(crate) sentence: Cow<'static, str>,
    /// What happened to the provider; none when it was none of its doing.
    pub(crate) kind: Option<LlmErrorKind>,
    /// Whether another attempt at this task may succeed, with whatever provider.
    pub(crate) worth_another_attempt: bool,
    /// Whether sending the message again may help.
    pub(crate) retryable: bool,
    /// How long the provider asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// For the log.
    pub(crate) detail: String,
}

impl Failure {
    /// The task's time is up.
    pub(crate) fn turn_timeout() -> Self {
        Self::final_one(codes::TURN_TIMEOUT, "The time for this message was up before it could be answered.")
    }

    /// The workers that took the task were lost, one after the other.
    pub(crate) fn worker_lost() -> Self {
        Self::final_one(codes::WORKER_LOST, "Every worker that took this message was lost before it could answer.")
    }

    /// The stored request makes no sense.
    pub(crate) fn unreadable_request() -> Self {
        let failure = Self::final_one(codes::UNREADABLE_REQUEST, "The stored message can't be read.");
        Self { retryable: false, ..failure }
    }

    /// What must go into the prompt is longer than what the model can read.
    pub(crate) fn message_too_long(tokens: u64, limit: u64, estimated: bool, with_history: bool) -> Self {
        let about = if estimated { "about " } else { "" };
        let what = match with_history {
            true => "The message is too long with the history that it came with: together they have",
            false => "The message is too long: it has",
        };
        let sentence =
            format!("{what} {about}{tokens} tokens, and this model can be sent {limit} in this conversation.");
        Self { retryable: false, ..Self::final_one(codes::MESSAGE_TOO_LONG, sentence) }
    }

    /// The user's budget was used up while the message waited.
    pub(crate) fn budget_exhausted() -> Self {
        Self::final_one(
            codes::BUDGET_EXHAUSTED,
            "Today's budget was used up before this message could be answered. It begins anew at midnight UTC.",
        )
    }

    /// Another turn of the session had begun, and the message was to be answered only if none had.
    pub(crate) fn session_busy() -> Self {
        Self::final_one(
            codes::SESSION_BUSY,
            "Another message of this session came first. Wait for its end, and send this one again.",
        )
    }

    /// Nobody's fault but ours.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        let failure = Self::final_one(codes::INTERNAL, "A fault of this service kept the message from being answered.");
        Self { detail: detail.into(), ..failure }
    }

    /// The code that calls the provider panicked: perhaps not so next time.
    pub(crate) fn panicked() -> Self {
        Self { worth_another_attempt: true, ..Self::internal("the provider's adapter panicked") }
    }

    /// The stream ended without an end.
    pub(crate) fn cut() -> Self {
        LlmError::new(LlmErrorKind::StreamCut, "the stream ended without an end").into()
    }

    /// The provider finished without a word.
    pub(crate) fn empty() -> Self {
        LlmError::new(LlmErrorKind::EmptyReply, "finished without text").into()
    }

    /// For the way through the providers.
    pub(crate) fn as_failed(&self, said_something: bool) -> Failed {
        Failed { kind: self.kind, retry_after: self.retry_after, said_something }
    }

    fn final_one(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
            kind: None,
            worth_another_attempt: false,
            retryable: true,
            retry_after: None,
            detail: String::new(),
        }
    }
}

impl From<LlmError> for Failure {
    fn from(error: LlmError) -> Self {
        Self {
            code: error.kind.code(),
            sentence: error.kind.sentence().into(),
            kind: Some(error.kind),
            worth_another_attempt: error.kind.may_pass_elsewhere(),
            retryable: error.kind.is_retryable(),
            retry_after: error.retry_after,
            detail: error.detail,
        }
    }
}

impl From<&Failure> for TaskError {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.to_owned(),
            message: failure.sentence.clone().into_owned(),
            retryable: failure.retryable,
        }
    }
}
