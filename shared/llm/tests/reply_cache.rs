//! Replies that are used again, and requests that several share: asked once, paid for once, and nobody waits for anybody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use parlance_llm::ReplyCache;
use parlance_shared::{
    Lifecycle, UserId,
    content::ToolCall,
    metrics::Metrics,
    port::llm::{
        Llm, LlmError, LlmErrorKind, LlmEvent, LlmStream, Prompt, PromptMessage, PromptRole, PromptScope, ProviderInfo,
    },
    settings::ReplyCacheSettings,
    task::Usage,
};
use tokio::sync::mpsc;

type Event = Result<LlmEvent, LlmError>;

/// Each request gives a test the end by which to answer it.
struct Scripted {
    asked: AtomicUsize,
    open: Arc<AtomicUsize>,
    requests: mpsc::UnboundedSender<mpsc::UnboundedSender<Event>>,
}

#[async_trait]
impl Llm for Scripted {
    fn describe(&self) -> ProviderInfo {
        ProviderInfo { provider: "scripted".to_owned(), model: "m".to_owned(), base_url: None }
    }

    async fn stream(&self, _: Prompt) -> Result<LlmStream, LlmError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (answer, mut events) = mpsc::unbounded_channel();
        self.requests.send(answer).unwrap();
        let open = Open::new(Arc::clone(&self.open));
        Ok(async_stream(open, move |cx| events.poll_recv(cx)))
    }
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn async_stream(
    open: Open,
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Event>> + Send + 'static,
) -> LlmStream {
    futures_util::stream::poll_fn(move |cx| {
        let _open = &open;
        poll(cx)
    })
    .boxed()
}

struct World {
    llm: Arc<dyn Llm>,
    scripted: Arc<Scripted>,
    requests: Mutex<mpsc::UnboundedReceiver<mpsc::UnboundedSender<Event>>>,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let scripted = Arc::new(Scripted { asked: AtomicUsize::new(0), open: Arc::default(), requests: sender });
        let metrics = Arc::new(Metrics::new());
        let settings = ReplyCacheSettings { keep: Duration::from_secs(60), bytes: 100_000 };
        let cache = ReplyCache::start(settings, &metrics, &Lifecycle::new());
        Self { llm: cache.over(scripted.clone()), scripted, requests: Mutex::new(requests), metrics }
    }

    fn asked(&self) -> usize {
        self.scripted.asked.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.scripted.open.load(Ordering::SeqCst)
    }

    /// The latest request that reached the provider.
    fn request(&self) -> mpsc::UnboundedSender<Event> {
        self.requests.lock().unwrap().try_recv().unwrap()
    }

    /// Begins to ask.
    fn ask(&self, user: &str) -> tokio::task::JoinHandle<Result<Vec<LlmEvent>, LlmError>> {
        let (llm, prompt) = (Arc::clone(&self.llm), prompt(user));
        #[allow(clippy::disallowed_methods, reason = "a test is its own tracker")]
        tokio::spawn(async move {
            let mut stream = llm.stream(prompt).await?;
            let mut events = Vec::new();
            while let Some(event) = stream.next().await {
                events.push(event?);
            }
            Ok(events)
        })
    }

    /// Asks and is answered at once.
    async fn answered(&self, user: &str, events: Vec<Event>) -> Result<Vec<LlmEvent>, LlmError> {
        let asked = self.ask(user);
        settle().await;
        let request = self.request();
        events.into_iter().for_each(|event| request.send(event).unwrap());
        drop(request);
        asked.await.unwrap()
    }
}

/// Lets all that can go on go on.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn prompt(user: &str) -> Prompt {
    let scope = PromptScope { user: UserId::new(user), template: "default".to_owned(), version: "1".to_owned() };
    let messages = vec![PromptMessage::text(PromptRole::User, "hello")];
    Prompt { messages, scope: Some(scope), ..Prompt::default() }
}

fn delta(text: &str) -> LlmEvent {
    LlmEvent::Delta(text.to_owned())
}

const USAGE: Usage = Usage { input_tokens: Some(9), output_tokens: Some(3), cached_tokens: Some(1) };
const NONE: Usage = Usage { input_tokens: Some(0), output_tokens: Some(0), cached_tokens: Some(0) };

fn finished(usage: Usage, reason: &str) -> LlmEvent {
    LlmEvent::Finished { model: Some("m-1".to_owned()), usage, finish_reason: Some(reason.to_owned()) }
}

fn text(events: &[LlmEvent]) -> String {
    let said = |event: &LlmEvent| if let LlmEvent::Delta(text) = event { Some(text.clone()) } else { None };
    events.iter().filter_map(said).collect()
}

#[tokio::test]
async fn the_same_prompt_is_asked_once_and_used_again_without_tokens() {
    let world = World::new();
    let call = ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
    let events = [delta("one "), delta("two"), LlmEvent::ToolCall(call.clone()), finished(USAGE, "tool_calls")];
    let first = world.answered("alice", events.iter().cloned().map(Ok).collect()).await.unwrap();
    assert_eq!((text(&first), first.last()), ("one two".to_owned(), events.last()));
    let again = world.ask("alice").await.unwrap().unwrap();
    let whole = [delta("one two"), LlmEvent::ToolCall(call), finished(NONE, "tool_calls")];
    assert_eq!((world.asked(), again), (1, whole.to_vec()));
    let outcomes = ["miss", "hit", "joined"].map(|outcome| world.metrics.reply_cache_requests.get(outcome));
    assert_eq!(outcomes, [1, 1, 0]);
}

#[tokio::test]
async fn a_request_that_is_shared_is_counted_as_such() {
    let world = World::new();
    let (one, two) = (world.ask("alice"), world.ask("alice"));
    settle().await;
    let request = world.request();
    [delta("hi"), finished(USAGE, "stop")].into_iter().for_each(|event| request.send(Ok(event)).unwrap());
    assert!(one.await.unwrap().is_ok() && two.await.unwrap().is_ok());
    let outcomes = ["miss", "hit", "joined"].map(|outcome| world.metrics.reply_cache_requests.get(outcome));
    assert_eq!(outcomes, [1, 0, 1]);
}

#[tokio::test]
async fn another_users_prompt_and_one_without_a_scope_are_asked_anew() {
    let world = World::new();
    let reply = || vec![Ok(delta("hi")), Ok(finished(USAGE, "stop"))];
    world.answered("alice", reply()).await.unwrap();
    let bobs = world.answered("bob", reply()).await.unwrap();
    assert_eq!((world.asked(), bobs.last()), (2, Some(&finished(USAGE, "stop"))));
    drop(world.llm.stream(Prompt { scope: None, ..prompt("alice") }).await.unwrap());
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn only_whole_replies_are_used_again() {
    let world = World::new();
    let cut = LlmError::new(LlmErrorKind::StreamCut, "cut");
    let refused = LlmError::new(LlmErrorKind::RateLimited, "429");
    for (n, events) in [
        vec![Ok(delta("half")), Err(cut)],
        vec![Err(refused)],
        vec![Ok(delta("half"))],
        vec![Ok(delta("hal")), Ok(finished(USAGE, "length"))],
        vec![Ok(delta("ha")), Ok(finished(USAGE, "content_filter"))],
        vec![Ok(finished(USAGE, "stop"))],
    ]
    .into_iter()
    .enumerate()
    {
        let _end = world.answered("alice", events).await;
        assert_eq!(world.asked(), n + 1);
    }
    let events = vec![Ok(delta("all")), Ok(finished(USAGE, "stop"))];
    assert_eq!(text(&world.answered("alice", events).await.unwrap()), "all");
}

#[tokio::test]
async fn the_same_prompt_at_once_is_asked_once_and_paid_for_once() {
    let world = World::new();
    let asked: Vec<_> = (0..5).map(|_| world.ask("alice")).collect();
    settle().await;
    let request = world.request();
    request.send(Ok(delta("one "))).unwrap();
    settle().await;
    // Who comes in the middle gets the beginning, too.
    let late = world.ask("alice");
    settle().await;
    request.send(Ok(delta("two"))).unwrap();
    request.send(Ok(finished(USAGE, "stop"))).unwrap();
    let mut usages = Vec::new();
    for asked in asked.into_iter().chain([late]) {
        let events = asked.await.unwrap().unwrap();
        assert_eq!(text(&events), "one two");
        if let Some(LlmEvent::Finished { usage, .. }) = events.last() {
            usages.push(*usage);
        }
    }
    assert_eq!((world.asked(), usages.len()), (1, 6));
    assert_eq!(usages.iter().filter(|usage| **usage == USAGE).count(), 1);
    assert_eq!(usages.iter().filter(|usage| **usage == NONE).count(), 5);
}

#[tokio::test]
async fn an_error_is_everybodys_and_the_next_one_asks_again() {
    let world = World::new();
    let (one, two) = (world.ask("alice"), world.ask("alice"));
    settle().await;
    let error =
        LlmError { retry_after: Some(Duration::from_secs(3)), ..LlmError::new(LlmErrorKind::RateLimited, "429") };
    world.request().send(Err(error.clone())).unwrap();
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (Err(error.clone()), Err(error)));
    let again = world.answered("alice", vec![Ok(delta("hi")), Ok(finished(USAGE, "stop"))]).await.unwrap();
    assert_eq!((world.asked(), text(&again)), (2, "hi".to_owned()));
}

#[tokio::test]
async fn when_the_first_one_goes_another_goes_on_and_when_all_go_so_does_the_request() {
    let world = World::new();
    // Gone before the first word, after it, and while others wait behind it.
    let first = world.ask("alice");
    settle().await;
    let (second, third) = (world.ask("alice"), world.ask("alice"));
    settle().await;
    first.abort();
    settle().await;
    let request = world.request();
    request.send(Ok(delta("one "))).unwrap();
    settle().await;
    second.abort();
    settle().await;
    request.send(Ok(delta("two"))).unwrap();
    settle().await;
    assert_eq!((world.asked(), world.open()), (1, 1));
    request.send(Ok(finished(USAGE, "stop"))).unwrap();
    let events = third.await.unwrap().unwrap();
    assert_eq!((text(&events), events.last()), ("one two".to_owned(), Some(&finished(USAGE, "stop"))));

    let (one, two) = (world.ask("bob"), world.ask("bob"));
    settle().await;
    let request = world.request();
    request.send(Ok(delta("half"))).unwrap();
    settle().await;
    assert_eq!(world.open(), 1);
    one.abort();
    two.abort();
    settle().await;
    assert_eq!(world.open(), 0, "nobody reads it");
    let events = world.answered("bob", vec![Ok(delta("new")), Ok(finished(USAGE, "stop"))]).await.unwrap();
    assert_eq!((world.asked(), text(&events)), (3, "new".to_owned()));
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    let world = World::new();
    let quick = world.ask("alice");
    settle().await;
    let request = world.request();
    request.send(Ok(delta("one "))).unwrap();
    let mut slow = world.llm.stream(prompt("alice")).await.unwrap();
    assert_eq!(slow.next().await, Some(Ok(delta("one "))));
    request.send(Ok(delta("two "))).unwrap();
    request.send(Ok(delta("three"))).unwrap();
    request.send(Ok(finished(USAGE, "stop"))).unwrap();
    assert_eq!(text(&quick.await.unwrap().unwrap()), "one two three");
    let rest: Vec<_> = slow.map(Result::unwrap).collect().await;
    assert_eq!(rest, [delta("two three"), finished(NONE, "stop")]);
}

/// A provider that panics costs those who wait for it this attempt, and nobody the next.
#[tokio::test]
async fn a_panic_is_not_for_ever() {
    struct Panicking(AtomicUsize);
    #[async_trait]
    impl Llm for Panicking {
        fn describe(&self) -> ProviderInfo {
            ProviderInfo { provider: "p".to_owned(), model: "m".to_owned(), base_url: None }
        }
        async fn stream(&self, _: Prompt) -> Result<LlmStream, LlmError> {
            let nth = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            assert!(nth > 0, "the first time");
            Ok(futures_util::stream::iter([Ok(delta("hi")), Ok(finished(USAGE, "stop"))]).boxed())
        }
    }
    let settings = ReplyCacheSettings { keep: Duration::from_secs(60), bytes: 100_000 };
    let cache = ReplyCache::start(settings, &Arc::new(Metrics::new()), &Lifecycle::new());
    let llm = cache.over(Arc::new(Panicking(AtomicUsize::new(0))));
    let ask = || {
        let llm = Arc::clone(&llm);
        #[allow(clippy::disallowed_methods, reason = "a test is its own tracker")]
        tokio::spawn(async move { llm.stream(prompt("alice")).await.map(drop) })
    };
    let (one, two) = (ask(), ask());
    assert!(one.await.unwrap_err().is_panic());
    assert_eq!(two.await.unwrap().unwrap_err().kind, LlmErrorKind::Unavailable);
    assert_eq!(ask().await.unwrap(), Ok(()));
}
