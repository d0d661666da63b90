use LlmErrorKind::*;

use super::*;
use crate::{
    circuits::LocalCircuits,
    port::{
        circuits::{CircuitPolicy, Circuits},
        llm::{Llm, LlmStream, Prompt, ProviderInfo},
    },
    providers::Midstream,
};

struct Named(&'static str);

#[async_trait::async_trait]
impl Llm for Named {
    fn describe(&self) -> ProviderInfo {
        ProviderInfo { provider: self.0.to_owned(), model: self.0.to_owned(), base_url: None }
    }

    async fn stream(&self, _: Prompt) -> Result<LlmStream, LlmError> {
        Err(LlmError::new(Unreachable, "nobody"))
    }
}

const POLICY: CircuitPolicy = CircuitPolicy { failures: 2, open_for: Duration::from_secs(30) };

fn providers(names: &[&'static str]) -> (Arc<LocalCircuits>, Arc<Providers>) {
    let circuits = Arc::new(LocalCircuits::new(POLICY));
    let mut all = names.iter().map(|name| Arc::new(Named(name)) as Arc<dyn Llm>);
    let primary = all.next().unwrap();
    (circuits.clone(), Arc::new(Providers::new(primary, all.collect(), circuits, Midstream::Restart)))
}

fn failed(kind: LlmErrorKind) -> Failed {
    Failed { kind: Some(kind), retry_after: None, said_something: false }
}

async fn asked(route: &mut Route) -> String {
    route.ask().await.info().provider.clone()
}

const FIRST: Onward = Onward::Now { is_first_time: true };
const LATER: Onward = Onward::Later { at_least: Duration::ZERO };

#[tokio::test]
async fn what_another_may_do_better_goes_on_at_once_and_begins_anew_after_the_last() {
    for kind in [Unreachable, RateLimited, FirstTokenTimeout, Stalled, StreamCut] {
        let (_, providers) = providers(&["a", "b", "c"]);
        let mut route = Route::new(providers);
        for name in ["a", "b"] {
            assert_eq!(asked(&mut route).await, name);
            assert_eq!(route.failed(&failed(kind)).await, FIRST, "{kind:?}");
        }
        assert_eq!(asked(&mut route).await, "c");
        assert_eq!(route.failed(&failed(kind)).await, LATER);
        assert_eq!(asked(&mut route).await, "a");
        assert_eq!(route.failed(&failed(kind)).await, Onward::Now { is_first_time: false });
    }
}

#[tokio::test]
async fn a_fault_that_may_be_over_is_tried_once_more_unless_something_was_said() {
    let (_, providers) = providers(&["a", "b"]);
    let mut route = Route::new(Arc::clone(&providers));
    assert_eq!(asked(&mut route).await, "a");
    assert_eq!(route.failed(&failed(EmptyReply)).await, LATER);
    assert_eq!(asked(&mut route).await, "a");
    assert_eq!(route.failed(&failed(EmptyReply)).await, FIRST);
    assert_eq!(asked(&mut route).await, "b");

    let mut route = Route::new(providers);
    assert_eq!(asked(&mut route).await, "a");
    assert_eq!(route.failed(&Failed { said_something: true, ..failed(Unavailable) }).await, FIRST);
}

#[tokio::test]
async fn what_the_conversation_is_the_cause_of_goes_nowhere_and_who_cannot_answer_is_left_out() {
    let (_, providers) = providers(&["a", "b"]);
    for kind in [ContentRefused, ContextTooLong, Rejected, ReplyTooLong] {
        let mut route = Route::new(Arc::clone(&providers));
        route.ask().await;
        assert_eq!(route.failed(&failed(kind)).await, Onward::Nowhere, "{kind:?}");
    }
    let mut route = Route::new(Arc::clone(&providers));
    route.ask().await;
    assert_eq!(route.failed(&failed(ImagesNotSupported)).await, FIRST);
    assert_eq!(asked(&mut route).await, "b");
    assert_eq!(route.failed(&failed(Stalled)).await, LATER);
    assert_eq!(asked(&mut route).await, "b", "a can't");
    assert_eq!(route.failed(&failed(UnknownModel)).await, Onward::Nowhere);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_time_is_given_it() {
    let (_, providers) = providers(&["a", "b"]);
    let mut route = Route::new(providers);
    let limited = |seconds| Failed { retry_after: Some(Duration::from_secs(seconds)), ..failed(RateLimited) };
    route.ask().await;
    assert_eq!(route.failed(&limited(20)).await, FIRST);
    route.ask().await;
    assert_eq!(route.failed(&limited(7)).await, Onward::Later { at_least: Duration::from_secs(7) });
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(asked(&mut route).await, "b", "a's time is not over");
}

#[tokio::test(start_paused = true)]
async fn open_circuits_are_passed_over_and_one_probe_closes_them() {
    let (circuits, providers) = providers(&["a", "b"]);
    for _ in 0..POLICY.failures {
        let mut route = Route::new(Arc::clone(&providers));
        assert_eq!(asked(&mut route).await, "a");
        route.failed(&failed(Unreachable)).await;
    }
    assert_eq!(asked(&mut Route::new(Arc::clone(&providers))).await, "b");
    tokio::time::advance(POLICY.open_for).await;
    let mut probe = Route::new(Arc::clone(&providers));
    assert_eq!(asked(&mut probe).await, "a");
    assert_eq!(asked(&mut Route::new(Arc::clone(&providers))).await, "b", "one probe");
    probe.answered();
    assert_eq!(asked(&mut Route::new(Arc::clone(&providers))).await, "a");

    for name in ["a", "b"] {
        (0..POLICY.failures).for_each(|_| circuits.failed(&format!("{name} ")));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let mut route = Route::new(providers);
    assert_eq!(asked(&mut route).await, "a", "all are open: the one that is due first");
    assert_eq!(route.failed(&failed(Unreachable)).await, LATER, "and b is not asked at once");
}
