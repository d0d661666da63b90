//! What can go wrong with a message, by kinds few enough to count.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;

/// Why a message got no whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody answers at that address.
    NoConnection,
    /// A connection broke, and going on did not help.
    Cut,
    /// Nothing came in time: `202`, or `reply`.
    Timeout(&'static str),
    /// Another status than the one that was hoped for.
    Status(Refusal),
    /// The task ended otherwise, by this code.
    Failed(String),
    /// What came is not what this API says.
    BadAnswer(&'static str),
    /// The text that was streamed is not the text of the reply.
    WrongText,
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) retry_after: Option<Duration>,
}

impl Trouble {
    /// Its kind, under which it is counted.
    pub(super) fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::NoConnection => "no connection".into(),
            Self::Cut => "cut".into(),
            Self::Timeout(what) => format!("timeout: {what}").into(),
            Self::Status(refusal) => refusal.kind().into(),
            Self::Failed(code) => format!("task failed: {code}").into(),
            Self::BadAnswer(what) => format!("bad answer: {what}").into(),
            Self::WrongText => "wrong text".into(),
        }
    }

    /// Whether every other message will meet it as well.
    pub(super) fn is_for_all(&self) -> bool {
        matches!(self, Self::Status(refusal) if matches!(refusal.status, 401 | 403))
    }
}

impl Refusal {
    pub(super) fn kind(&self) -> String {
        format!("{} {}", self.status, self.code)
    }

    /// From an answer's parts. Both problem+json and OpenAI's errors have a code.
    pub(super) fn read(status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            code: Option<String>,
            error: Option<Inner>,
        }
        #[derive(Deserialize)]
        struct Inner {
            code: Option<String>,
        }
        let body: Option<Body> = serde_json::from_slice(body).ok();
        let code = body.and_then(|body| body.code.or(body.error.and_then(|error| error.code)));
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Self { status, code: word(code.as_deref().unwrap_or("without a code")), retry_after }
    }

    /// Whether it says: not now.
    pub(super) fn is_turned_away(&self) -> bool {
        matches!(self.status, 429 | 503)
    }
}

/// What others say, made short and harmless enough to be shown.
pub(super) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    let plain: String = text.chars().take(48).filter(|c| is_plain(*c)).collect();
    if plain.is_empty() { "?".to_owned() } else { plain }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() { Self::NoConnection } else { Self::Cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_both_languages_and_from_strangers() {
        let native = Refusal::read(429, Some("7"), br#"{"code":"rate_limited","title":"x"}"#);
        assert_eq!((native.kind().as_str(), native.retry_after), ("429 rate_limited", Some(Duration::from_secs(7))));
        assert!(native.is_turned_away());
        let openai = Refusal::read(401, None, br#"{"error":{"code":"unauthenticated","message":"x"}}"#);
        assert_eq!(openai.kind(), "401 unauthenticated");
        assert!(Trouble::Status(openai).is_for_all());
        let proxy = Refusal::read(502, Some("soon"), b"<html>");
        assert_eq!((proxy.kind().as_str(), proxy.retry_after), ("502 without a code", None));
        assert_eq!(word("<script>alert(1)\n</script>"), "scriptalert1script");
        assert_eq!(word("\u{1b}["), "?");
    }
}
