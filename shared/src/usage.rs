//! What a user's replies used, summed up.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::task::tokens_per_second;

/// What the sums are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The day on which a task ended, in UTC.
    Day,
    /// The conversation.
    Session,
    /// The model that answered.
    Model,
}

impl GroupBy {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Session => "session",
            Self::Model => "model",
        }
    }

    /// What a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Day, Self::Session, Self::Model].into_iter().find(|group| group.as_str() == word)
    }
}

/// Which sums are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Of what ended at this time or later.
    pub from: DateTime<Utc>,
    /// Of what ended before this time.
    pub to: DateTime<Utc>,
    /// Told apart by this.
    pub group_by: GroupBy,
    /// Only groups behind this one, in the order of their keys.
    pub after: Option<String>,
    /// At most so many groups.
    pub limit: u32,
}

/// The sums of a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// Some of the groups, in the order of their keys.
    pub groups: Vec<UsageGroup>,
    /// Whether there are more behind them.
    pub has_more: bool,
    /// Of all groups, also those that are not listed here.
    pub total: UsageSums,
}

impl UsageReport {
    /// The report of what a database sums up: the row of the total first, if there is anything at all; then the groups, one
    /// more than was asked for when there are others.
    pub fn of(rows: Vec<UsageRow>, query: &UsageQuery) -> Self {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut rows = rows.into_iter().peekable();
        let total = rows.next_if(|row| row.is_total).map_or_else(UsageSums::nothing, |row| row.sums());
        let mut groups: Vec<UsageGroup> = rows.map(|row| UsageGroup { sums: row.sums(), key: row.key }).collect();
        let has_more = groups.len() > limit;
        groups.truncate(limit);
        Self { groups, has_more, total }
    }
}

/// What a database sums up of one group, or of all.
#[derive(Clone, Debug)]
pub struct UsageRow {
    /// Of all groups.
    pub is_total: bool,
    /// The group.
    pub key: String,
    /// How many tasks.
    pub tasks: i64,
    /// How many summaries.
    pub summaries: i64,
    /// How many headings.
    pub headings: i64,
    /// Tokens of prompts.
    pub input: i64,
    /// Tokens of replies.
    pub output: i64,
    /// Tokens that were cached.
    pub cached: i64,
    /// What those with a known price cost.
    pub cost: Option<i64>,
    /// How many used tokens of unknown price.
    pub unpriced: i64,
    /// The median of the times to the first token, in milliseconds.
    pub first_ms: Option<i64>,
    /// Tokens of replies of which it is known how long they took.
    pub written: i64,
    /// How long that was, in milliseconds.
    pub written_ms: i64,
}

impl UsageRow {
    fn sums(&self) -> UsageSums {
        let unpriced = self.unpriced.unsigned_abs();
        UsageSums {
            tasks: self.tasks.unsigned_abs(),
            summaries: self.summaries.unsigned_abs(),
            headings: self.headings.unsigned_abs(),
            input_tokens: self.input.unsigned_abs(),
            output_tokens: self.output.unsigned_abs(),
            cached_tokens: self.cached.unsigned_abs(),
            cost_micro_usd: known_cost(self.cost.map(i64::unsigned_abs), unpriced),
            unpriced,
            first_token_ms_p50: self.first_ms,
            speed: Speed { tokens: self.written.unsigned_abs(), millis: self.written_ms },
        }
    }
}

/// The sums of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageGroup {
    /// The day as `2026-01-31`, the session's id, or the model's name; empty when no model is known.
    pub key: String,
    /// Its sums.
    pub sums: UsageSums,
}

/// Sums of tasks, failed attempts included, and of the summaries and headings that were made between them. Tokens and cost are
/// those of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageSums {
    /// Tasks that ended: completed, failed or cancelled.
    pub tasks: u64,
    /// Summaries that were made.
    pub summaries: u64,
    /// Headings that a model found.
    pub headings: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of replies, summaries and headings.
    pub output_tokens: u64,
    /// Tokens of prompts that providers had cached.
    pub cached_tokens: u64,
    /// Millionths of a US dollar, of what has a known price; null when nothing that used tokens has one.
    pub cost_micro_usd: Option<u64>,
    /// Tasks, summaries and headings that used tokens of unknown price: the cost is without them.
    pub unpriced: u64,
    /// The median of the milliseconds from acceptance to the first token.
    pub first_token_ms_p50: Option<i64>,
    /// Tokens of replies in each second of their being written, of those that came at the first attempt.
    #[serde(rename = "tokens_per_second", serialize_with = "Speed::rate")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub speed: Speed,
}

impl UsageSums {
    /// Of nothing, which costs nothing.
    pub fn nothing() -> Self {
        Self { cost_micro_usd: Some(0), ..Self::default() }
    }
}

/// How much was written in which time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speed {
    /// Tokens of replies of which it is known how long they took.
    pub tokens: u64,
    /// How long they took, in milliseconds.
    pub millis: i64,
}

impl Speed {
    fn rate<S: Serializer>(speed: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        tokens_per_second(speed.tokens, speed.millis).serialize(serializer)
    }
}

/// What the cost of tasks is when this is the sum of those that are known, and so many are not.
fn known_cost(sum: Option<u64>, unpriced: u64) -> Option<u64> {
    sum.or_else(|| (unpriced == 0).then_some(0))
}
