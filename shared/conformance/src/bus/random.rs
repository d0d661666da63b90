//! A bus under random publishes, answers, drops, waits, seeks and crashes, beside a model of what must come.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use cloudevents::AttributesReader as _;

use parlance_shared::port::bus::{Delivery, Outcome, Subscription};

use fastrand::Rng;

use super::{BusHarness, Consumer, MAIN, consumer, fail, next, publish, retry, settle};

/// No lease ends by itself here: the model would have to guess.
const PATIENT: Subscription = Subscription { lease: Duration::from_secs(600), ..MAIN };
const KEYS: usize = 5;
const STEPS: usize = 150;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Of every key, messages come in order, one at a time, and none is lost, whatever happens to them.
pub async fn order_holds_under_random_answers_and_crashes<H: BusHarness>(mut harness: H) {
    harness.bus().ensure(&[PATIENT]).await.unwrap();
    for seed in 1..=if harness.moves_time() { 6 } else { 1 } {
        let consumer = consumer(&harness, PATIENT).await;
        let mut run = Run {
            seed,
            moves_time: harness.moves_time(),
            random: Rng::with_seed(seed),
            consumer,
            published: 0,
            keys: BTreeMap::new(),
            past: Vec::new(),
        };
        for _ in 0..STEPS {
            run.step(&mut harness).await;
            harness.check().await;
        }
        run.finish(&mut harness).await;
    }
}

struct Run {
    seed: u64,
    moves_time: bool,
    random: Rng,
    consumer: Consumer,
    published: u32,
    keys: BTreeMap<String, Key>,
    /// Deliveries of processes that crashed.
    past: Vec<Delivery>,
}

#[derive(Default)]
struct Key {
    /// Not done, the earliest first.
    waiting: VecDeque<String>,
    out: Option<Delivery>,
    /// Answered with a retry; no time has passed since.
    backing_off: bool,
}

impl Key {
    fn is_ready(&self) -> bool {
        self.out.is_none() && !self.backing_off && !self.waiting.is_empty()
    }
}

impl Run {
    async fn step<H: BusHarness>(&mut self, harness: &mut H) {
        match self.random.usize(..20) {
            0..=6 => {
                self.published += 1;
                let (key, id) = (format!("{}-{}", self.seed, self.random.usize(..KEYS)), self.published);
                let id = format!("{key}-{id}");
                publish(harness, &key, &id).await;
                self.keys.entry(key).or_default().waiting.push_back(id);
            }
            7..=12 if self.keys.values().any(Key::is_ready) => self.receive().await,
            13..=17 => self.answer_one().await,
            18 => {
                harness.pass(RETRY_AFTER).await;
                self.keys.values_mut().for_each(|key| key.backing_off = false);
            }
            19 if self.random.usize(..3) == 0 => self.crash(harness).await,
            _ => {}
        }
    }

    async fn receive(&mut self) {
        let delivery = next(&mut self.consumer).await;
        let key = self.keys.get_mut(&delivery.received.ordering_key).expect("a key of this run");
        assert!(key.out.is_none(), "two of {} are out (seed {})", delivery.received.ordering_key, self.seed);
        // Where time goes by as it will, the wait may be over.
        assert!(
            !(key.backing_off && self.moves_time),
            "{} came too early (seed {})",
            delivery.received.event.id(),
            self.seed
        );
        assert_eq!(Some(delivery.received.event.id()), key.waiting.front().map(String::as_str), "seed {}", self.seed);
        key.backing_off = false;
        key.out = Some(delivery);
    }

    async fn answer_one(&mut self) {
        let out = self.keys.values_mut().filter(|key| key.out.is_some()).count();
        if out == 0 {
            return;
        }
        let chosen = self.random.usize(..out);
        let key = self.keys.values_mut().filter(|key| key.out.is_some()).nth(chosen).expect("it is there");
        let delivery = key.out.take().expect("it is out");
        match self.random.usize(..8) {
            0..=3 => {
                key.waiting.pop_front();
                settle(delivery, Outcome::Done).await;
            }
            4 => {
                key.waiting.pop_front();
                settle(delivery, fail()).await;
            }
            5 => {
                key.backing_off = true;
                settle(delivery, retry(Some(RETRY_AFTER))).await;
            }
            6 => settle(delivery, Outcome::HandBack).await,
            _ => drop(delivery),
        }
    }

    async fn crash<H: BusHarness>(&mut self, harness: &mut H) {
        harness.restart().await;
        self.past.extend(self.keys.values_mut().filter_map(|key| key.out.take()));
        harness.bus().ensure(&[PATIENT]).await.unwrap();
        self.consumer = consumer(harness, PATIENT).await;
        // What the dead process answers now changes nothing; nor whether it fails.
        if let Some(delivery) = self.past.pop() {
            drop(delivery.lease.settle(Outcome::Done).await);
        }
    }

    async fn finish<H: BusHarness>(mut self, harness: &mut H) {
        harness.pass(RETRY_AFTER).await;
        for key in self.keys.values_mut() {
            key.backing_off = false;
            key.out = None;
        }
        while self.keys.values().any(|key| !key.waiting.is_empty()) {
            self.receive().await;
            for key in self.keys.values_mut() {
                if let Some(delivery) = key.out.take() {
                    key.waiting.pop_front();
                    settle(delivery, Outcome::Done).await;
                }
            }
        }
        harness.check().await;
        super::nothing_waits(harness, &mut self.consumer).await;
    }
}
