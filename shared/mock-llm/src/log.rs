//! What the mock was asked, and how each request ended.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::{memory::Purpose, reply_text::fnv1a};

/// Texts whose requests are counted; beyond, counting starts afresh.
const MAX_TEXTS: usize = 1_000_000;
const UNSET: i64 = -1;

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedMessage {
    /// Who speaks.
    pub role: String,
    /// The text.
    pub content: String,
    /// The parts of a message that is not plain text, as they came.
    #[serde(default)]
    pub parts: Vec<Value>,
    /// The calls of tools in it, as they came.
    #[serde(default)]
    pub tool_calls: Vec<Value>,
    /// The call that it answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
}

impl LoggedMessage {
    /// Plain text.
    pub fn text(role: &str, content: &str) -> Self {
        Self {
            role: role.to_owned(),
            content: content.to_owned(),
            parts: Vec::new(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// Whether it has an image.
    pub fn has_image(&self) -> bool {
        self.parts.iter().any(|part| part["type"] == "image_url")
    }
}

/// One request, as far as it has come. Instants are milliseconds since the mock's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Counts requests from 0.
    pub number: u64,
    /// The text of the last user message.
    pub last_user_text: String,
    /// Counts requests with this text from 0.
    pub attempt: u32,
    /// What it was for, when it was no turn.
    #[serde(default)]
    pub purpose: Option<Purpose>,
    /// How many messages the prompt had.
    pub message_count: usize,
    /// The whole prompt.
    pub messages: Vec<LoggedMessage>,
    /// The model asked for.
    pub model: Option<String>,
    /// Tools, as they came.
    #[serde(default)]
    pub tools: Option<Value>,
    /// Which of them, as it came.
    #[serde(default)]
    pub tool_choice: Option<Value>,
    /// The form of the reply, as it came.
    #[serde(default)]
    pub response_format: Option<Value>,
    /// The most tokens of the reply, by either name.
    #[serde(default)]
    pub max_tokens: Option<u64>,
    /// All other members, as they came: `temperature` and the like.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub parameters: serde_json::Map<String, Value>,
    /// The fault that was played.
    pub fault: Option<String>,
    /// When the request was complete.
    pub started_ms: i64,
    /// When the mock had sent all it wanted to.
    pub ended_ms: Option<i64>,
    /// When the client went away before that.
    pub disconnected_ms: Option<i64>,
    /// Tokens sent.
    pub tokens_sent: u32,
}

/// One line of the log, shared between the log and the response that fills it.
pub(crate) struct Entry {
    record: RequestRecord,
    ended_ms: AtomicI64,
    disconnected_ms: AtomicI64,
    tokens_sent: AtomicU32,
}

impl Entry {
    fn snapshot(&self) -> RequestRecord {
        let instant = |cell: &AtomicI64| Some(cell.load(Ordering::SeqCst)).filter(|ms| *ms != UNSET);
        RequestRecord {
            ended_ms: instant(&self.ended_ms),
            disconnected_ms: instant(&self.disconnected_ms),
            tokens_sent: self.tokens_sent.load(Ordering::SeqCst),
            ..self.record.clone()
        }
    }
}

/// The log of a mock.
pub(crate) struct Log {
    began: Instant,
    limit: usize,
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    next_number: u64,
    entries: VecDeque<Arc<Entry>>,
    seen: HashMap<u64, u32>,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { began: Instant::now(), limit, inner: Mutex::default(), changes: watch::Sender::new(0) }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.lock().entries.iter().map(|entry| entry.snapshot()).collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.lock().next_number
    }

    /// Counts the request among those with the same text.
    pub(crate) fn count(&self, last_user_text: &str) -> u32 {
        let mut inner = self.lock();
        if inner.seen.len() >= MAX_TEXTS {
            inner.seen.clear();
        }
        let seen = inner.seen.entry(fnv1a(last_user_text.as_bytes())).or_default();
        *seen += 1;
        *seen - 1
    }

    /// Notes that a request has begun; the guard notes how it ends.
    pub(crate) fn begin(self: &Arc<Self>, mut record: RequestRecord) -> Guard {
        let mut inner = self.lock();
        record.number = inner.next_number;
        record.started_ms = self.now_ms();
        inner.next_number += 1;
        let entry = Arc::new(Entry {
            record,
            ended_ms: AtomicI64::new(UNSET),
            disconnected_ms: AtomicI64::new(UNSET),
            tokens_sent: AtomicU32::new(0),
        });
        if self.limit > 0 {
            if inner.entries.len() >= self.limit {
                inner.entries.pop_front();
            }
            inner.entries.push_back(Arc::clone(&entry));
        }
        drop(inner);
        self.changed();
        Guard { log: Arc::clone(self), entry }
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by a response. Dropped before [`Guard::end`], the client has gone away.
pub(crate) struct Guard {
    log: Arc<Log>,
    entry: Arc<Entry>,
}

impl Guard {
    pub(crate) fn sent(&self, tokens: u32) {
        self.entry.tokens_sent.store(tokens, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.entry.ended_ms.store(self.log.now_ms(), Ordering::SeqCst);
        self.log.changed();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.entry.ended_ms.load(Ordering::SeqCst) == UNSET {
            self.entry.disconnected_ms.store(self.log.now_ms(), Ordering::SeqCst);
            self.log.changed();
        }
    }
}
