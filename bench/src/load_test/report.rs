//! The figures of a load test: a table for people, JSON for programs.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use url::Url;

use super::{
    LoadTest,
    histogram::Histogram,
    record::{Metric, Record, Tally},
};

/// All that is known at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whom it loaded.
    pub url: String,
    /// The protocol.
    pub protocol: &'static str,
    /// When it began.
    pub began_at: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it was allowed to do.
    pub asked: Asked,
    /// Why it ended.
    pub ended: String,
    /// It stopped by itself: the server could not, or would not.
    pub stopped_early: bool,
    /// Messages begun.
    pub messages: u64,
    /// Replies that came whole.
    pub replies: u64,
    /// Of them, a second.
    pub replies_per_second: f64,
    /// Their tokens.
    pub tokens: u64,
    /// Of them, a second, all conversations together.
    pub tokens_per_second: f64,
    /// Messages without a reply, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Calls that were answered with 429 or 503, by kind, and made again when they were welcome.
    pub turned_away: BTreeMap<String, u64>,
    /// Streams that ended before their reply and were taken up again.
    pub resumes: u64,
    /// POSTs that were repeated under the same key.
    pub repeated_posts: u64,
    /// Messages given up by an interrupt.
    pub unfinished: u64,
    /// Sessions that could not be deleted.
    pub sessions_left: u64,
    /// Of each message.
    pub measured: Measured,
    /// The same, over time.
    pub over_time: Vec<Moment>,
}

/// What it was allowed to do.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    conversations: u32,
    messages_per_second: f64,
    seconds: u64,
    max_messages: u64,
    max_tokens: u64,
    turns_per_session: u32,
}

/// Percentiles of what was measured; `null` where nothing was.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// POST to 202.
    pub accept_ms: Option<Percentiles>,
    /// POST to the stream's first byte.
    pub first_byte_ms: Option<Percentiles>,
    /// POST to the first text.
    pub first_token_ms: Option<Percentiles>,
    /// POST to the end of the reply.
    pub reply_ms: Option<Percentiles>,
    /// Of a reply. Here the small ones are the bad ones: 99 % are as fast as `p99` or faster, `worst` is the slowest.
    pub tokens_per_second: Option<Percentiles>,
}

/// How most of them were, and how the worst was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// The middle.
    pub p50: f64,
    /// Nine in ten are not worse.
    pub p90: f64,
    /// 19 in 20 are not worse.
    pub p95: f64,
    /// 99 in 100 are not worse.
    pub p99: f64,
    /// The worst of all.
    pub worst: f64,
}

/// A piece of the time.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// Its beginning, in seconds since that of the test.
    pub at: f64,
    /// Its length.
    pub seconds: f64,
    /// Messages begun.
    pub messages: u64,
    /// Replies that ended.
    pub replies: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Messages that failed.
    pub errors: u64,
    /// Calls that were turned away.
    pub turned_away: u64,
    /// Streams that were taken up again.
    pub resumes: u64,
    /// Of what was accepted.
    pub accept_ms: Option<Percentiles>,
    /// Of what got its first text.
    pub first_token_ms: Option<Percentiles>,
    /// Of what ended.
    pub reply_ms: Option<Percentiles>,
}

impl Report {
    pub(super) fn new(test: &LoadTest, url: &Url, began_at: i64, ended: String, early: bool, record: Record) -> Self {
        let Record { all, slots, slot, took, errors, turned_away, unfinished, left_behind } = record;
        let seconds = took.as_secs_f64().max(1e-6);
        let began_at = DateTime::from_timestamp_micros(began_at).unwrap_or_default();
        let moments = slots.iter().enumerate();
        let moments =
            moments.map(|(n, tally)| Moment::new(slot * u32::try_from(n).unwrap_or_default(), slot, took, tally));
        Self {
            url: url.to_string(),
            protocol: test.protocol.name(),
            began_at: began_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            seconds,
            asked: Asked {
                conversations: test.conversations,
                messages_per_second: test.rate,
                seconds: test.duration.as_secs(),
                max_messages: test.max_messages,
                max_tokens: test.max_tokens,
                turns_per_session: test.turns,
            },
            ended,
            stopped_early: early,
            messages: all.sent,
            replies: all.replies,
            replies_per_second: all.replies as f64 / seconds,
            tokens: all.tokens,
            tokens_per_second: all.tokens as f64 / seconds,
            errors,
            turned_away,
            resumes: all.resumes,
            repeated_posts: all.repeated,
            unfinished,
            sessions_left: left_behind,
            measured: Measured {
                accept_ms: Percentiles::of(all.of(Metric::Accept)),
                first_byte_ms: Percentiles::of(all.of(Metric::FirstByte)),
                first_token_ms: Percentiles::of(all.of(Metric::FirstToken)),
                reply_ms: Percentiles::of(all.of(Metric::Reply)),
                tokens_per_second: Percentiles::from_the_top(all.of(Metric::TokensPerSecond)),
            },
            over_time: moments.collect(),
        }
    }

    /// The table that people read.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "Load test of {} ({}), {}: {} messages in {:.1} s, at most {} conversations and {} messages/s; {}.\n\n",
            self.url,
            self.protocol,
            self.began_at,
            self.messages,
            self.seconds,
            self.asked.conversations,
            self.asked.messages_per_second,
            self.ended,
        );
        text.push_str("| of each message | p50 | p90 | p95 | p99 | worst | count |\n|---|---|---|---|---|---|---|\n");
        for (name, unit, percentiles) in [
            ("POST → accepted", "ms", self.measured.accept_ms),
            ("POST → first byte of the stream", "ms", self.measured.first_byte_ms),
            ("POST → first token", "ms", self.measured.first_token_ms),
            ("POST → whole reply", "ms", self.measured.reply_ms),
            ("speed of a reply", "tokens/s", self.measured.tokens_per_second),
        ] {
            let _ = match percentiles {
                Some(Percentiles { count, p50, p90, p95, p99, worst }) => {
                    let [p50, p90, p95, p99, worst] = [p50, p90, p95, p99, worst].map(number);
                    writeln!(text, "| {name}, {unit} | {p50} | {p90} | {p95} | {p99} | {worst} | {count} |")
                }
                None => writeln!(text, "| {name}, {unit} | – | – | – | – | – | 0 |"),
            };
        }
        text.push_str("\n| in all | |\n|---|---|\n");
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("whole replies", format!("{} ({}/s)", self.replies, number(self.replies_per_second)));
        row("their tokens", format!("{} ({}/s)", self.tokens, number(self.tokens_per_second)));
        row("streams taken up again", self.resumes.to_string());
        row("POSTs repeated", self.repeated_posts.to_string());
        for (kind, count) in &self.turned_away {
            row(&format!("turned away, made again: {kind}"), count.to_string());
        }
        for (kind, count) in &self.errors {
            row(&format!("**error**: {kind}"), count.to_string());
        }
        if self.errors.is_empty() {
            row("errors", "0".to_owned());
        }
        for (name, count) in
            [("given up by the interrupt", self.unfinished), ("sessions left behind", self.sessions_left)]
        {
            if count > 0 {
                row(name, count.to_string());
            }
        }
        text
    }
}

impl Percentiles {
    /// Of microseconds, as milliseconds.
    fn of(histogram: &Histogram) -> Option<Self> {
        Self::new(histogram, |part| histogram.percentile(part))
    }

    /// Of what is the better the more it is.
    fn from_the_top(histogram: &Histogram) -> Option<Self> {
        // Just below, so that the smallest rank that is left out is not the one that is meant.
        Self::new(histogram, |part| if part < 1.0 { histogram.percentile(1.0 - part) } else { histogram.least() })
    }

    fn new(histogram: &Histogram, at: impl Fn(f64) -> Option<u64>) -> Option<Self> {
        let at = |part| at(part).map(|value| value as f64 / 1e3);
        Some(Self {
            count: histogram.count(),
            p50: at(0.5)?,
            p90: at(0.9)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            worst: at(1.0)?,
        })
    }
}

impl Moment {
    fn new(at: Duration, length: Duration, end: Duration, tally: &Tally) -> Self {
        Self {
            at: at.as_secs_f64(),
            // The last one is not over.
            seconds: length.min(end.saturating_sub(at)).as_secs_f64(),
            messages: tally.sent,
            replies: tally.replies,
            tokens: tally.tokens,
            errors: tally.errors,
            turned_away: tally.turned_away,
            resumes: tally.resumes,
            accept_ms: Percentiles::of(tally.of(Metric::Accept)),
            first_token_ms: Percentiles::of(tally.of(Metric::FirstToken)),
            reply_ms: Percentiles::of(tally.of(Metric::Reply)),
        }
    }
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
