//! A task is one turn: a message, the attempts to answer it, and how it ended.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    MessageId, SessionId, TaskId,
    content::ToolCall,
    reply_text::{decode, encode},
};

/// Where a task stands. The words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted and durable; no worker has begun.
    Queued,
    /// An attempt is under way, or the next one is about to start.
    Running,
    /// Answered.
    Completed,
    /// Given up; `error` says why.
    Failed,
    /// Stopped by its owner; what had been said is kept.
    Cancelled,
}

impl Status {
    /// Whether nothing more will happen.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that a stored word means.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// A task as its owner sees it. What is not known yet is null.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The conversation it belongs to; null only while nothing but the id is known.
    pub session_id: Option<SessionId>,
    /// The user's message that it answers.
    pub message_id: Option<MessageId>,
    /// Where it stands.
    pub status: Status,
    /// How many attempts have begun; 0 before the first.
    pub attempt: u32,
    /// The reply, whole or so far.
    pub reply: Reply,
    /// Which provider answered.
    pub provider: Option<String>,
    /// Which model answered.
    pub model: Option<String>,
    /// Tokens, as the provider counted them.
    pub usage: Usage,
    /// When what happened.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::TaskTimings))]
    pub timings: Timings,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// The rest.
    #[serde(flatten)]
    pub details: TaskDetails,
}

impl Task {
    /// The whole reply, as it stands in the log.
    pub fn log_text(&self) -> Cow<'_, str> {
        encode(&self.reply.content, &self.details.tool_calls)
    }

    /// Tokens of the reply that is shown: the last attempt's, where they are told apart.
    fn written_tokens(&self) -> Option<u64> {
        let last = self.details.attempts.iter().filter(|record| record.attempt == self.attempt);
        let written = last.filter_map(|record| record.usage.output_tokens).reduce(u64::saturating_add);
        written.or(self.usage.output_tokens)
    }

    /// Takes the reply from what stands in the log.
    pub fn set_log_text(&mut self, text: &str) {
        (self.reply.content, self.details.tool_calls) = decode(text);
    }
}

/// As its owner sees it: with what follows from the rest.
impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            id: &'a TaskId,
            session_id: &'a Option<SessionId>,
            message_id: &'a Option<MessageId>,
            status: &'a Status,
            attempt: &'a u32,
            reply: &'a Reply,
            provider: &'a Option<String>,
            model: &'a Option<String>,
            usage: &'a Usage,
            timings: ShownTimings<'a>,
            error: &'a Option<TaskError>,
            #[serde(flatten)]
            details: &'a TaskDetails,
        }
        #[derive(Serialize)]
        struct ShownTimings<'a> {
            #[serde(flatten)]
            timings: &'a Timings,
            /// Tokens of the reply in each second from the first of them to the end.
            tokens_per_second: Option<f64>,
        }
        let Self {
            id,
            session_id,
            message_id,
            status,
            attempt,
            reply,
            provider,
            model,
            usage,
            timings,
            error,
            details,
        } = self;
        let written = || Some((timings.finished_at? - timings.first_token_at?).num_milliseconds());
        let tokens_per_second = written().and_then(|millis| tokens_per_second(self.written_tokens()?, millis));
        let timings = ShownTimings { timings, tokens_per_second };
        Shown { id, session_id, message_id, status, attempt, reply, provider, model, usage, timings, error, details }
            .serialize(serializer)
    }
}

/// To a tenth; `None` when nothing was written, or in no time that can be measured.
pub fn tokens_per_second(tokens: u64, millis: i64) -> Option<f64> {
    let is_known = tokens > 0 && millis > 0;
    // Far more than a float can't count is still no speed of any model.
    is_known.then(|| (tokens as f64 * 10_000.0 / millis as f64).round() / 10.0)
}

/// What is known of a task's reply beyond its text. Stored as one JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TaskDetails {
    /// The tools that the reply calls, after its text.
    pub tool_calls: Vec<ToolCall>,
    /// Why the model stopped, as the provider says it: `stop`, `length`, `tool_calls`, `content_filter`.
    pub finish_reason: Option<String>,
    /// What the prompt was made of.
    pub prompt: Option<PromptRecord>,
    /// Who was asked, one entry a request, the latest last. Of attempts of workers that were lost only the number is known.
    pub attempts: Vec<AttemptRecord>,
    /// What its attempts cost together, in millionths of a US dollar, by the price table; null when no model's price is known.
    pub cost_micro_usd: Option<u64>,
    /// Some of the tokens are our estimate: a reply was stopped or broke before the provider said how many they were.
    pub usage_estimated: bool,
}

impl TaskDetails {
    /// As one JSON object, for a column; `None` when there is nothing to keep.
    pub fn to_column(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// What a column holds. What can't be read is left out: it was written by another version.
    pub fn from_column(column: Option<&str>) -> Self {
        column.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
}

/// What a prompt was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromptRecord {
    /// The name of the template for the instructions.
    pub template: String,
    /// Which version of it.
    pub version: String,
    /// Which version of the session's summary, if there was one.
    pub summary_version: Option<u32>,
    /// The earlier turns that went in, oldest first.
    pub turns: Vec<TaskId>,
    /// How long it was, in tokens, as counted or estimated before it was sent.
    pub tokens: u64,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: u32,
    /// Who was asked; null when whoever knew is gone.
    pub provider: Option<String>,
    /// For which model.
    pub model: Option<String>,
    /// The code of its failure; null for the one that answered.
    pub error: Option<String>,
    /// Tokens of this request.
    #[serde(default)]
    pub usage: Usage,
    /// The tokens are our estimate.
    #[serde(default)]
    pub usage_estimated: bool,
    /// What they cost, in millionths of a US dollar; null when the model's price is not known.
    #[serde(default)]
    pub cost_micro_usd: Option<u64>,
}

impl Task {
    /// A task of which nothing has happened since it was accepted.
    pub fn queued(id: TaskId) -> Self {
        Self {
            id,
            session_id: None,
            message_id: None,
            status: Status::Queued,
            attempt: 0,
            reply: Reply::default(),
            provider: None,
            model: None,
            usage: Usage::default(),
            timings: Timings::default(),
            error: None,
            details: TaskDetails::default(),
        }
    }
}

/// The reply to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reply {
    /// The id under which the reply appears among the session's messages.
    pub message_id: Option<MessageId>,
    /// The text so far.
    pub content: String,
}

/// Tokens of a task, of all its attempts; or of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: Option<u64>,
    /// Tokens of the reply.
    pub output_tokens: Option<u64>,
    /// Those of the prompt that the provider had cached.
    pub cached_tokens: Option<u64>,
}

impl Usage {
    /// Both together; what neither knows stays unknown.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        Self {
            input_tokens: sum(self.input_tokens, other.input_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            cached_tokens: sum(self.cached_tokens, other.cached_tokens),
        }
    }

    /// Whether anybody has counted anything.
    pub fn is_known(&self) -> bool {
        self.input_tokens.is_some() || self.output_tokens.is_some()
    }
}

/// When what happened, and how long it took from acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timings {
    /// The message was durable.
    pub accepted_at: Option<DateTime<Utc>>,
    /// The first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// The first token of the attempt that ended the task.
    pub first_token_at: Option<DateTime<Utc>>,
    /// The end was stored.
    pub finished_at: Option<DateTime<Utc>>,
    /// Milliseconds from acceptance to the first token.
    pub first_token_ms: Option<i64>,
    /// Milliseconds from acceptance to the end.
    pub total_ms: Option<i64>,
}

impl Timings {
    /// Timings from the four instants; the durations follow from them.
    pub fn from_instants(
        accepted_at: Option<DateTime<Utc>>,
        started_at: Option<DateTime<Utc>>,
        first_token_at: Option<DateTime<Utc>>,
        finished_at: Option<DateTime<Utc>>,
    ) -> Self {
        let since_accepted = |end: Option<DateTime<Utc>>| Some((end? - accepted_at?).num_milliseconds().max(0));
        Self {
            accepted_at,
            started_at,
            first_token_at,
            finished_at,
            first_token_ms: since_accepted(first_token_at),
            total_ms: since_accepted(finished_at),
        }
    }
}

/// Why a task failed: a code for a program, a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskError {
    /// A stable code; [`crate::port::llm::LlmErrorKind`] and [`crate::task::codes`] list them.
    pub code: String,
    /// One sentence, free of inner details.
    pub message: String,
    /// Whether sending the same message again can help.
    pub retryable: bool,
}

/// Codes of failures that are not the provider's.
pub mod codes {
    /// Every attempt's worker was lost before it could finish.
    pub const WORKER_LOST: &str = "worker_lost";
    /// The task's time was up before an attempt succeeded.
    pub const TURN_TIMEOUT: &str = "turn_timeout";
    /// The stored request can't be read, so no attempt can be made.
    pub const UNREADABLE_REQUEST: &str = "unreadable_request";
    /// A fault of ours.
    pub const INTERNAL: &str = "internal_error";
    /// A worker handed the attempt back because it was told to stop.
    pub const HANDED_BACK: &str = "handed_back";
    /// The message is longer than the model can read.
    pub const MESSAGE_TOO_LONG: &str = "message_too_long";
    /// How an earlier attempt ended is not known: the worker that knew is gone.
    pub const UNKNOWN: &str = "unknown";
    /// An operator had the task answered anew.
    pub const REPLAYED: &str = "replayed";
    /// Another turn of the session had begun when this one's came, which was to be the only one.
    pub const SESSION_BUSY: &str = "session_busy";
    /// The user's budget of the day was used up before the task's turn came.
    pub const BUDGET_EXHAUSTED: &str = "budget_exhausted";
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::PrefixedId as _;

    #[test]
    fn a_task_says_how_fast_its_reply_was_written() {
        let at = |millis| DateTime::from_timestamp_millis(millis);
        let mut task = Task::queued(TaskId::from_uuid(Uuid::now_v7()));
        let shown = |task: &Task| serde_json::to_value(task).unwrap()["timings"]["tokens_per_second"].clone();
        assert_eq!(shown(&task), serde_json::Value::Null);
        task.timings = Timings::from_instants(at(0), at(10), at(1_000), at(4_000));
        assert_eq!(shown(&task), serde_json::Value::Null, "nobody counted");
        task.usage.output_tokens = Some(100);
        assert_eq!(shown(&task), 33.3);
        let read: Task = serde_json::from_value(serde_json::to_value(&task).unwrap()).unwrap();
        assert_eq!(read, task);
        task.timings.finished_at = at(1_000);
        assert_eq!(shown(&task), serde_json::Value::Null, "in no time");
    }
}
