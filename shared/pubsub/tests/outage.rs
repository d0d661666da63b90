//! Pub/Sub is away, or hangs: publishing says so in time, and works again when it is back. Consumers go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parlance_pubsub::PubSubOptions;
use parlance_shared::port::bus::{Bus as _, Outcome};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use support::{MAIN, Process, TOPIC, emulator, event, next_is, project, publish, settle};

/// Ingest's clients wait no longer.
const IN_TIME: Duration = Duration::from_secs(5);

/// Between a bus and the emulator.
struct Proxy {
    address: String,
    cut: watch::Sender<bool>,
    hangs: Arc<AtomicBool>,
}

impl Proxy {
    async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, was_cut) = watch::channel(false);
        let hangs = Arc::new(AtomicBool::new(false));
        let hanging = Arc::clone(&hangs);
        tokio::spawn(async move {
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let (to, mut was_cut, hanging) = (to.clone(), was_cut.clone(), Arc::clone(&hanging));
                if *was_cut.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(&to).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut there) => return,
                        _ = was_cut.wait_for(|cut| *cut) => {}
                    }
                    if hanging.load(Ordering::SeqCst) {
                        // The other end is gone and nobody said so.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, cut, hangs }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_fails_in_time_and_works_when_the_bus_is_back() {
    let Some(host) = emulator() else { return };
    let proxy = Proxy::start(host).await;
    let process = Process::start(PubSubOptions::new(project(), Some(proxy.address.clone()))).await;
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 4).await.unwrap();
    publish(&process.bus, "a", "a1").await;
    settle(next_is(&mut consumer, "a1").await, Outcome::Done).await;
    for hangs in [false, true] {
        proxy.hangs.store(hangs, Ordering::SeqCst);
        proxy.cut.send_replace(true);
        let begun = Instant::now();
        // Also of the same key at the same time: nobody waits for another's retries.
        let (one, two, other) = tokio::join!(
            process.bus.publish(TOPIC, "a", event("lost-1")),
            process.bus.publish(TOPIC, "a", event("lost-2")),
            process.bus.publish(TOPIC, "b", event("lost-3")),
        );
        for lost in [one, two, other] {
            let error = lost.unwrap_err();
            assert!(error.is_transient(), "{error}");
        }
        assert!(begun.elapsed() < IN_TIME, "hangs: {hangs}: {:?}", begun.elapsed());
        proxy.cut.send_replace(false);
        proxy.hangs.store(false, Ordering::SeqCst);
        let begun = Instant::now();
        while process.bus.publish(TOPIC, "a", event("back")).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_goes_on_when_its_connection_was_cut() {
    let Some(host) = emulator() else { return };
    let proxy = Proxy::start(host.clone()).await;
    let project = project();
    let process = Process::start(PubSubOptions::new(&project, Some(proxy.address.clone()))).await;
    let publisher = Process::on_emulator(&project).await.unwrap();
    publisher.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 4).await.unwrap();
    publish(&publisher.bus, "a", "a1").await;
    let held = next_is(&mut consumer, "a1").await;
    proxy.cut.send_replace(true);
    tokio::time::sleep(Duration::from_millis(200)).await;
    publish(&publisher.bus, "b", "b1").await;
    proxy.cut.send_replace(false);
    settle(next_is(&mut consumer, "b1").await, Outcome::Done).await;
    settle(held, Outcome::Done).await;
    publish(&publisher.bus, "a", "a2").await;
    settle(next_is(&mut consumer, "a2").await, Outcome::Done).await;
}
