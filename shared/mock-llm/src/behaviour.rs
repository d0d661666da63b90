//! How one request is answered.

use std::time::Duration;

use bytes::Bytes;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 500.
    Http500,
    /// Answers 429, with `Retry-After` when the behaviour has one.
    Http429,
    /// Answers 401 and repeats the credentials it was given, as careless providers do.
    Http401,
    /// Answers 400.
    Http400,
    /// Answers 404: no such model.
    Http404,
    /// Answers 400 with the code `context_length_exceeded`.
    ContextTooLong,
    /// Answers 400 with the code `content_policy_violation`.
    ContentRefused,
    /// Resets the connection (RST) instead of answering.
    ResetBeforeFirstByte,
    /// Never answers.
    StallBeforeFirst,
    /// Sends the response head, then nothing.
    StallAfterHead,
    /// Breaks the connection after some tokens, without the end of the body.
    CutMidStream,
    /// Resets the connection (RST) after some tokens.
    ResetMidStream,
    /// Ends the body in good order after some tokens, but without a finish reason and `[DONE]`.
    EndMidStream,
    /// Falls silent after some tokens.
    StallMidStream,
    /// Falls silent after some tokens, except for SSE comments.
    CommentsMidStream,
    /// Sends an error event after some tokens.
    ErrorEventMidStream,
    /// Sends an error event of a rate limit after some tokens.
    RateLimitMidStream,
    /// Ends with the finish reason `content_filter` after some tokens.
    FilterMidStream,
    /// Sends an event that is no JSON after some tokens.
    Garbage,
    /// Finishes without a word.
    EmptyReply,
    /// Says 1 MiB: [`crate::expected_big_reply`].
    Big,
    /// Answers 400 to a request with images, and well to others.
    NoImages,
    /// Answers 400 to a request with tools, and well to others.
    NoTools,
}

impl Fault {
    /// All faults with the words that directives use.
    pub const ALL: [(&'static str, Self); 23] = [
        ("http_500", Self::Http500),
        ("http_429", Self::Http429),
        ("http_401", Self::Http401),
        ("http_400", Self::Http400),
        ("http_404", Self::Http404),
        ("context_too_long", Self::ContextTooLong),
        ("content_refused", Self::ContentRefused),
        ("reset_before_first_byte", Self::ResetBeforeFirstByte),
        ("stall_before_first", Self::StallBeforeFirst),
        ("stall_after_head", Self::StallAfterHead),
        ("cut_mid_stream", Self::CutMidStream),
        ("reset_mid_stream", Self::ResetMidStream),
        ("end_mid_stream", Self::EndMidStream),
        ("stall_mid_stream", Self::StallMidStream),
        ("comments_mid_stream", Self::CommentsMidStream),
        ("error_event_mid_stream", Self::ErrorEventMidStream),
        ("rate_limit_mid_stream", Self::RateLimitMidStream),
        ("filter_mid_stream", Self::FilterMidStream),
        ("garbage", Self::Garbage),
        ("empty_reply", Self::EmptyReply),
        ("big", Self::Big),
        ("no_images", Self::NoImages),
        ("no_tools", Self::NoTools),
    ];

    /// The fault that a directive's word means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, fault)| *fault)
    }

    /// The word that directives use.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, fault)| *fault == self).map_or("?", |(name, _)| name)
    }

    /// Whether some tokens come first.
    pub(crate) fn is_mid_stream(self) -> bool {
        matches!(
            self,
            Self::CutMidStream
                | Self::ResetMidStream
                | Self::EndMidStream
                | Self::StallMidStream
                | Self::CommentsMidStream
                | Self::ErrorEventMidStream
                | Self::RateLimitMidStream
                | Self::FilterMidStream
                | Self::Garbage
        )
    }
}

/// How one request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Length of the reply.
    pub tokens: u32,
    /// From the request to the first token.
    pub first_token_delay: Duration,
    /// Between tokens. With zero, many tokens share a write, each still an event of its own.
    pub token_delay: Duration,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// After how many tokens a fault in mid-stream happens; half of them when not said.
    pub after: Option<u32>,
    /// `Retry-After` of a 429 or 500, word for word.
    pub retry_after: Option<String>,
    /// The first token says how many messages the prompt had: `messages=3 `.
    pub echo_count: bool,
    /// The reply differs from request to request of the same text, so that a mix of attempts shows.
    pub vary: bool,
    /// Each token is a stamp instead of a word: when it was sent.
    pub stamp: bool,
    /// Tools that the reply calls after its text, each with its arguments. Not in answer to the results of tools.
    pub tool_calls: Vec<(String, String)>,
    /// The reply says what is known of this key from the prompt's `FACT key=value`.
    pub recall: Option<String>,
    /// The reply's text, instead of the mock's words.
    pub says: Option<String>,
    /// Sends this instead of all of the above.
    pub raw: Option<Raw>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            tokens: 20,
            first_token_delay: Duration::ZERO,
            token_delay: Duration::ZERO,
            fault: None,
            after: None,
            retry_after: None,
            echo_count: false,
            vary: false,
            stamp: false,
            tool_calls: Vec::new(),
            recall: None,
            says: None,
            raw: None,
        }
    }
}

impl Behaviour {
    /// A reply of so many tokens, without delay.
    pub fn tokens(tokens: u32) -> Self {
        Self { tokens, ..Self::default() }
    }

    /// A fault, with the default reply around it.
    pub fn fault(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// The same with a pause between tokens.
    #[must_use]
    pub fn with_token_delay(mut self, delay: Duration) -> Self {
        self.token_delay = delay;
        self
    }

    /// So many tokens come before the fault or the end.
    pub(crate) fn tokens_before_fault(&self) -> u32 {
        match self.fault {
            Some(fault) if fault.is_mid_stream() => self.after.unwrap_or(self.tokens / 2).min(self.tokens),
            _ => self.tokens,
        }
    }
}

/// A response given byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body; each frame is written on its own.
    pub frames: Vec<Bytes>,
    /// After the frames, keep the body open instead of ending it.
    pub stay_open: bool,
}

impl Raw {
    /// A 200 event stream of these frames.
    pub fn events<B: Into<Bytes>>(frames: impl IntoIterator<Item = B>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
            frames: frames.into_iter().map(Into::into).collect(),
            stay_open: false,
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            frames: vec![body.into()],
            stay_open: false,
        }
    }
}

impl From<Raw> for Behaviour {
    fn from(raw: Raw) -> Self {
        Self { raw: Some(raw), ..Self::default() }
    }
}
