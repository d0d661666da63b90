//! One piece of work in a trace, from its start to where it is dropped.
//!
//! Not `tracing`'s spans through a bridge: ids must be there when nothing is exported, contexts come in events and go out in
//! them, and a span that nobody asked for must cost nothing.

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use super::{Sampler, TraceContext, current, scope};
use crate::Clock;

/// Where the process sends its spans: one place, set once by the program before anything is done.
static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    sampler: Sampler,
    sink: Box<dyn SpanSink>,
}

/// Takes spans that have ended. Called wherever a span ends: it must not wait.
pub trait SpanSink: Send + Sync {
    /// Takes one, or drops it.
    fn take(&self, span: FinishedSpan);
}

/// From now on, spans of traces that the sampler chooses are recorded. False if that was said before.
pub fn export_to(sampler: Sampler, sink: Box<dyn SpanSink>) -> bool {
    EXPORT.set(Export { sampler, sink }).is_ok()
}

/// On which side of a call the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within the process.
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Works on a message.
    Consumer,
}

/// What is said of a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
    /// Some words.
    List(Vec<String>),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Vec<String>> for Value {
    fn from(words: Vec<String>) -> Self {
        Self::List(words)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Another place that has to do with a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(pub TraceContext);

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct FinishedSpan {
    /// Its own place.
    pub context: TraceContext,
    /// What it is part of; none at the root.
    pub parent: Option<TraceContext>,
    /// The parent is another process' or task's.
    pub parent_is_remote: bool,
    /// Its name: of few values.
    pub name: Cow<'static, str>,
    /// Its side.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What is said of it. Ids, names and numbers; never what somebody wrote.
    pub attributes: Vec<(&'static str, Value)>,
    /// What else it has to do with.
    pub links: Vec<Link>,
    /// Moments within it.
    pub moments: Vec<(&'static str, SystemTime)>,
    /// The code of what went wrong.
    pub error: Option<Cow<'static, str>>,
}

/// A piece of work. Dropped, it has ended.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    recording: Option<Box<Recording>>,
}

#[derive(Debug)]
struct Recording {
    began: Instant,
    span: FinishedSpan,
}

impl Span {
    /// What comes from outside: under its own context, which may be none, or not valid.
    pub fn enter(came: Option<TraceContext>, kind: Kind, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        let Some(export) = EXPORT.get() else {
            return Self { context: came.unwrap_or_else(|| TraceContext::root(false)), recording: None };
        };
        let is_new = came.is_none();
        let context = came.unwrap_or_else(|| TraceContext::root(true));
        let sampled = export.sampler.judge(&context, !is_new);
        if !sampled {
            return Self { context: context.with_sampled(false), recording: None };
        }
        match is_new {
            true => Self::record(context, None, false, kind, name()),
            false => {
                let parent = context.with_sampled(true);
                Self::record(parent.child(true), Some(parent), true, kind, name())
            }
        }
    }

    /// The same for what nobody wants to see.
    pub fn unrecorded(came: Option<TraceContext>) -> Self {
        let context = came.unwrap_or_else(|| TraceContext::root(false));
        Self { context: context.with_sampled(false), recording: None }
    }

    /// A part of what is under way. Outside of all traces it is not recorded.
    pub fn start(kind: Kind, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        let Some(parent) = current() else {
            return Self { context: TraceContext::root(false), recording: None };
        };
        if EXPORT.get().is_none() || !parent.is_sampled() {
            return Self { context: parent, recording: None };
        }
        Self::record(parent.child(true), Some(parent), false, kind, name())
    }

    fn record(
        context: TraceContext,
        parent: Option<TraceContext>,
        parent_is_remote: bool,
        kind: Kind,
        name: Cow<'static, str>,
    ) -> Self {
        let span = FinishedSpan {
            context: context.clone(),
            parent,
            parent_is_remote,
            name,
            kind,
            start: now(),
            took: Duration::ZERO,
            attributes: Vec::with_capacity(12),
            links: Vec::new(),
            moments: Vec::new(),
            error: None,
        };
        Self { context, recording: Some(Box::new(Recording { began: Instant::now(), span })) }
    }

    /// Where it is: for what it calls, and for what is said about it.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Runs `work` as a part of it.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        scope(self.context.clone(), work)
    }

    /// Says something of it. `value` is asked for only if it is recorded.
    pub fn set<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(recording) = &mut self.recording {
            recording.span.attributes.push((key, value().into()));
        }
    }

    /// Ties it to another place.
    pub fn link(&mut self, to: &TraceContext) {
        if let Some(recording) = &mut self.recording {
            recording.span.links.push(Link(to.clone()));
        }
    }

    /// A moment within it.
    pub fn moment_at(&mut self, name: &'static str, at: impl FnOnce() -> SystemTime) {
        if let Some(recording) = &mut self.recording {
            recording.span.moments.push((name, at()));
        }
    }

    /// It went wrong, with this code.
    pub fn fail(&mut self, code: impl FnOnce() -> Cow<'static, str>) {
        if let Some(recording) = &mut self.recording {
            recording.span.error = Some(code());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(recording) = self.recording.take() else { return };
        let Recording { began, mut span } = *recording;
        span.took = began.elapsed();
        if let Some(export) = EXPORT.get() {
            export.sink.take(span);
        }
    }
}

fn now() -> SystemTime {
    Clock::system().now_precise().into()
}
