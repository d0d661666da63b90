//! What every bus must keep. An adapter implements [`BusHarness`] and calls [`bus_conformance!`](crate::bus_conformance).

pub mod consumers;
pub mod dead_letters;
pub mod leases;
pub mod ordering;
pub mod publishing;
pub mod random;
pub mod replay;
pub mod seek;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use cloudevents::{AttributesReader as _, Event, EventBuilder as _, EventBuilderV10};
use uuid::Uuid;

use parlance_shared::{
    port::bus::{Bus, BusAdmin, DeadLetter, DeadLetters, Deliveries, Delivery, Outcome, Reason, Subscription, Topic},
    replay::Replay,
};

/// A bus that nobody else uses, under a test's control.
pub trait BusHarness: Send {
    /// The bus.
    fn bus(&self) -> Arc<dyn Bus>;

    /// Its operator's side.
    fn admin(&self) -> Arc<dyn BusAdmin>;

    /// The time that the bus stamps messages with.
    fn now(&self) -> DateTime<Utc>;

    /// Lets time go by, for leases and waits too.
    fn pass(&mut self, time: Duration) -> impl Future<Output = ()>;

    /// As after `kill -9` and a new start: from here on [`BusHarness::bus`] is another process's, and what the test still
    /// holds of the old one has no effect on it, by being dropped neither.
    fn restart(&mut self) -> impl Future<Output = ()>;

    /// Whether publishing an event again is noticed.
    fn knows_duplicates(&self) -> bool {
        true
    }

    /// Whether time stands still but for [`BusHarness::pass`]. If not, `pass` sleeps, and waits are measured.
    fn moves_time(&self) -> bool {
        true
    }

    /// What [`BusHarness::pass`] takes for so long a time, where time can't be moved.
    fn takes(&self, time: Duration) -> Duration {
        time
    }

    /// Whether a message's attempts and its wait are still known after it was handed back, or its consumer died.
    fn remembers_attempts(&self) -> bool {
        true
    }

    /// Whether a redriven message comes before those of its key that wait; otherwise it comes behind them.
    fn keeps_place_of_redriven(&self) -> bool {
        true
    }

    /// Whether a subscription can be set to a time.
    fn seeks(&self) -> bool {
        true
    }

    /// Whether dead letters are listed from the oldest on.
    fn orders_dead_letters(&self) -> bool {
        true
    }

    /// Checks what must hold inside, between any two steps.
    fn check(&mut self) -> impl Future<Output = ()> {
        async {}
    }
}

/// Makes a test of each part of the suite; `$harness` is awaited for a new [`BusHarness`] each time. `if` it gives an
/// `Option`, the tests pass without one: whoever makes it says why.
#[macro_export]
macro_rules! bus_conformance {
    (if $harness:expr) => {
        $crate::bus_conformance! { $harness;
            publishing: a_message_survives_a_restart
            publishing: every_subscription_gets_every_message
            publishing: a_new_subscription_gets_what_is_published_from_then_on
            publishing: an_event_published_again_is_the_same_message
            publishing: a_publish_wakes_a_waiting_consumer
            consumers: an_unknown_subscription_is_refused
            consumers: next_is_cancel_safe
            consumers: a_consumer_that_leaves_gives_back_what_it_fetched
            consumers: a_consumer_that_leaves_while_it_fetches_loses_nothing
            consumers: no_more_than_max_outstanding_are_out
            consumers: two_consumers_share_without_double_delivery
            consumers: a_slow_consumer_does_not_block_another_subscription
            ordering: one_message_of_a_key_is_out
            ordering: a_retried_message_keeps_its_place
            ordering: a_message_that_always_fails_does_not_block_other_keys
            random: order_holds_under_random_answers_and_crashes
            leases: a_dropped_delivery_comes_again_at_once
            leases: an_expired_lease_is_lost
            leases: an_extended_lease_is_kept
            leases: a_retry_waits_longer_each_time
            leases: each_wait_ends_in_its_own_time
            leases: a_retry_waits_as_long_as_asked
            leases: deliveries_without_an_answer_are_counted_over_restarts
            leases: a_message_handed_back_comes_at_once_and_uncounted
            dead_letters: a_failed_message_is_kept_with_its_reason
            dead_letters: they_are_listed_in_pages
            dead_letters: a_redriven_message_comes_before_those_that_wait
            dead_letters: a_redriven_message_waits_for_the_one_that_is_out
            dead_letters: a_redriven_message_is_its_subscriptions_alone
            dead_letters: a_discarded_message_is_gone
            replay: a_replayed_event_goes_to_every_subscription
            replay: a_replayed_event_survives_a_restart
            seek: back_delivers_again
            seek: forward_counts_as_done
            seek: leaves_dead_letters_alone
            seek: is_one_subscriptions_own
        }
    };
    ($harness:expr) => {
        $crate::bus_conformance! { if async { Some($harness.await) } }
    };
    ($harness:expr; $($module:ident: $name:ident)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some(harness) = $harness.await {
                    $crate::bus::$module::$name(harness).await;
                }
            }
        )+
    };
}

/// How long a delivery that must come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait to see that nothing comes, where nothing else can show it.
const QUIET: Duration = Duration::from_millis(100);

const TOPIC: Topic = Topic("conformance-topic");

const MAIN: Subscription = Subscription {
    name: "conformance-main",
    topic: TOPIC,
    lease: Duration::from_secs(10),
    retry_min: Duration::from_secs(1),
    retry_max: Duration::from_secs(8),
    max_unanswered: 5,
};

const OTHER: Subscription = Subscription { name: "conformance-other", ..MAIN };

type Consumer = Box<dyn Deliveries>;

fn event(id: &str) -> Event {
    EventBuilderV10::new()
        .id(id)
        .ty("parlance.conformance.v1")
        .source("//parlance/conformance")
        .subject(id)
        .data("application/json", serde_json::json!({ "id": id, "text": "Grüße, \u{1F30D}\0 \"quoted\"" }))
        .build()
        .expect("an event")
}

async fn publish<H: BusHarness>(harness: &H, key: &str, id: &str) {
    harness.bus().publish(TOPIC, key, event(id)).await.expect("a publish");
}

async fn consumer<H: BusHarness>(harness: &H, subscription: Subscription) -> Consumer {
    harness.bus().subscribe(subscription, 16).await.expect("a consumer")
}

/// A consumer of [`MAIN`] on a bus that has just this subscription.
async fn main_consumer<H: BusHarness>(harness: &H) -> Consumer {
    harness.bus().ensure(&[MAIN]).await.expect("a subscription");
    consumer(harness, MAIN).await
}

async fn next(consumer: &mut Consumer) -> Delivery {
    tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a delivery must come").expect("a delivery")
}

/// The next one, which must be this.
async fn next_is(consumer: &mut Consumer, id: &str) -> Delivery {
    let delivery = next(consumer).await;
    assert_eq!(delivery.received.event.id(), id);
    delivery
}

/// The next ones, which must be these; keys may come in any order.
async fn next_are<const N: usize>(consumer: &mut Consumer, ids: [&str; N]) -> [Delivery; N] {
    let mut deliveries = Vec::new();
    for _ in 0..N {
        deliveries.push(next(consumer).await);
    }
    ids.map(|id| {
        let place = deliveries.iter().position(|delivery| delivery.received.event.id() == id);
        deliveries.swap_remove(place.unwrap_or_else(|| panic!("{id} must come")))
    })
}

async fn next_done(consumer: &mut Consumer, id: &str) {
    done(next_is(consumer, id).await).await;
}

async fn done(delivery: Delivery) {
    settle(delivery, Outcome::Done).await;
}

async fn settle(delivery: Delivery, outcome: Outcome) {
    delivery.lease.settle(outcome).await.expect("an answer");
}

fn retry(after: Option<Duration>) -> Outcome {
    Outcome::Retry { after, reason: Reason::new("later", "Not now.") }
}

fn fail() -> Outcome {
    Outcome::Fail(Reason::new("broken", "It can't work."))
}

/// Nothing but what is published now comes.
async fn nothing_waits<H: BusHarness>(harness: &H, consumer: &mut Consumer) {
    let sentinel = format!("sentinel-{}", Uuid::new_v4());
    publish(harness, &sentinel, &sentinel).await;
    next_done(consumer, &sentinel).await;
}

/// All dead letters of a subscription, and the look that may hold them.
async fn look<H: BusHarness>(harness: &H, subscription: Subscription) -> (Box<dyn DeadLetters>, Vec<DeadLetter>) {
    let mut pass = harness.admin().dead_letters(subscription).await.expect("a look");
    let mut letters = Vec::new();
    loop {
        let page = pass.next_page().await.expect("a page");
        if page.is_empty() {
            return (pass, letters);
        }
        letters.extend(page);
    }
}

async fn no_letters<H: BusHarness>(harness: &H, subscription: Subscription) {
    let (_pass, letters) = look(harness, subscription).await;
    assert!(letters.is_empty(), "{letters:?}");
}

/// An operator's mark; a new one each time.
fn replay() -> Replay {
    let at = DateTime::from_timestamp(1_790_000_000, 0).expect("a time");
    Replay { id: Uuid::now_v7(), by: "operator@conformance".into(), at, reopens: false }
}

/// The message comes, and not before the wait that began at `since` is nearly over.
async fn next_after<H: BusHarness>(
    harness: &mut H,
    consumer: &mut Consumer,
    id: &str,
    since: Instant,
    wait: Duration,
) -> Delivery {
    if harness.moves_time() {
        nothing_waits(harness, consumer).await;
        harness.pass(wait.mul_f64(0.8)).await;
        nothing_waits(harness, consumer).await;
        harness.pass(wait.mul_f64(0.3)).await;
        return next_is(consumer, id).await;
    }
    let delivery = next_is(consumer, id).await;
    assert!(since.elapsed() >= harness.takes(wait).mul_f64(0.8), "{id} came after {:?}", since.elapsed());
    delivery
}

async fn stays_quiet(consumer: &mut Consumer) {
    if let Ok(delivery) = tokio::time::timeout(QUIET, consumer.next()).await {
        panic!("{:?} came", delivery.expect("a delivery").received.event.id());
    }
}
