//! Two instances of a service on one subscription, under load; one is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use cloudevents::AttributesReader as _;
use parlance_shared::port::bus::{Bus as _, Delivery, Outcome, Reason};

use support::{MAIN, Process, letters, project, publish};

const KEYS: usize = 40;
const PER_KEY: usize = 12;
const MESSAGES: usize = KEYS * PER_KEY;

/// What was done, in order, by key; and by whom.
#[derive(Default)]
struct Log {
    done: Mutex<BTreeMap<String, Vec<usize>>>,
    by: Mutex<BTreeSet<usize>>,
    out: Mutex<BTreeSet<String>>,
}

impl Log {
    fn count(&self) -> usize {
        self.done.lock().unwrap().values().map(|numbers| numbers.iter().collect::<BTreeSet<_>>().len()).sum()
    }
}

/// Works on what comes until it is killed.
async fn work(process: &Process, who: usize, seed: u64, log: Arc<Log>) {
    let mut consumer = process.bus.subscribe(MAIN, 16).await.unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    tokio::spawn(async move {
        while let Ok(delivery) = consumer.next().await {
            let (takes, roll) = (Duration::from_millis(random.u64(..8)), random.u8(..10));
            tokio::spawn(one(delivery, who, takes, roll, Arc::clone(&log)));
        }
    });
}

async fn one(delivery: Delivery, who: usize, takes: Duration, roll: u8, log: Arc<Log>) {
    let Delivery { received, lease } = delivery;
    let (key, number) = (received.ordering_key.clone(), received.event.id().parse::<usize>().unwrap());
    assert!(log.out.lock().unwrap().insert(format!("{who} {key}")), "two of {key} are out at {who}");
    tokio::time::sleep(takes).await;
    log.out.lock().unwrap().remove(&format!("{who} {key}"));
    let outcome = match roll {
        0..=5 => Outcome::Done,
        6 => Outcome::Fail(Reason::new("broken", "")),
        7 | 8 => Outcome::Retry { after: Some(Duration::from_millis(20)), reason: Reason::new("later", "") },
        _ => return drop(lease),
    };
    if roll <= 6 {
        log.done.lock().unwrap().entry(key).or_default().push(number);
        log.by.lock().unwrap().insert(who);
    }
    let _killed_meanwhile = lease.settle(outcome).await;
}

async fn wait_for_all(log: &Log) {
    let all = async {
        while log.count() < MESSAGES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), all).await.unwrap_or_else(|_| panic!("{} came", log.count()));
}

async fn publish_all(process: &Process) {
    for number in 0..PER_KEY {
        for key in 0..KEYS {
            publish(&process.bus, &format!("key-{key}"), &number.to_string()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_is_worked_on_in_order_whatever_the_answers() {
    let project = project();
    let Some(one) = Process::on_emulator(&project).await else { return };
    let two = Process::on_emulator(&project).await.unwrap();
    one.bus.ensure(&[MAIN]).await.unwrap();
    let log = Arc::new(Log::default());
    work(&one, 1, 1, Arc::clone(&log)).await;
    work(&two, 2, 2, Arc::clone(&log)).await;
    publish_all(&one).await;
    wait_for_all(&log).await;
    for (key, numbers) in &*log.done.lock().unwrap() {
        assert_eq!(*numbers, (0..PER_KEY).collect::<Vec<_>>(), "{key}");
    }
    assert_eq!(*log.by.lock().unwrap(), BTreeSet::from([1, 2]), "both worked");
    let (_pass, found) = letters(&one.bus).await;
    assert!(!found.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_instance_held_is_done_by_the_other() {
    let project = project();
    let Some(publisher) = Process::on_emulator(&project).await else { return };
    publisher.bus.ensure(&[MAIN]).await.unwrap();
    let (stays, dies) = (Process::on_emulator(&project).await.unwrap(), Process::on_emulator(&project).await.unwrap());
    let log = Arc::new(Log::default());
    work(&stays, 1, 1, Arc::clone(&log)).await;
    // What the dead one did counts for nothing: its answers may be lost.
    let dead = Arc::new(Log::default());
    work(&dies, 2, 2, Arc::clone(&dead)).await;
    let killing = async {
        while dead.count() < 40 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        dies.kill();
    };
    tokio::join!(publish_all(&publisher), killing);
    let union = || {
        let (log, dead) = (log.done.lock().unwrap(), dead.done.lock().unwrap());
        let all = log.iter().chain(dead.iter());
        all.flat_map(|(key, numbers)| numbers.iter().map(move |number| (key.clone(), *number)))
            .collect::<BTreeSet<_>>()
            .len()
    };
    let all = async {
        while union() < MESSAGES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap_or_else(|_| panic!("{} came", union()));
}
