//! What operators do: look through the dead letters, and seek.
//!
//! Pub/Sub has no way to list messages, only to receive them: a look holds, on lease, what it was handed, and gives it
//! back when it ends. Two looks at a time share the letters.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::{
    model::Message,
    subscriber::{MessageStream, ShutdownBehavior, handler::Handler},
};
use google_cloud_wkt::Timestamp;
use parlance_shared::{
    port::{
        PortError,
        bus::{DeadLetter, DeadLetters, Subscription},
    },
    replay::Replay,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::warn;

use crate::{
    Inner, bounded,
    clients::ADMIN,
    dead_letters,
    error::{code_of, port_error, rejected},
    names::dead_letters_of,
    receive::UNTIL_A_STREAM_IS_CLOSED,
};

/// One look holds no more: memory is bounded by it, and so is what other looks can't see meanwhile.
pub const MAX_LETTERS: usize = 10_000;
const MAX_BYTES: i64 = 512 << 20;
const PAGE: usize = 1_000;
/// Nothing new for so long: that was all.
const QUIET: Duration = Duration::from_secs(2);
/// A connection and its first letter may take so long.
const FIRST: Duration = Duration::from_secs(4);
/// A look may take so long between two calls, before its letters come into others' hands.
const MAX_LEASE: Duration = Duration::from_secs(24 * 3600);
const ACK_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn seek(bus: &Arc<Inner>, subscription: &Subscription, to: DateTime<Utc>) -> Result<(), PortError> {
    let name = bus.names.subscription(subscription.name);
    let nanos = i32::try_from(to.timestamp_subsec_nanos()).unwrap_or_default();
    let time = Timestamp::clamp(to.timestamp(), nanos);
    let seeking = async {
        let client = bus.clients.subscriptions().await?;
        match client.seek().set_subscription(&name).set_time(time).send().await {
            Ok(_) => Ok(()),
            Err(error) if bus.is_emulator() && !is_transient(&error) => {
                Err(rejected(format!("the emulator can't seek to a time ({})", describe(&error))))
            }
            Err(error) => Err(port_error(&format!("seeking {name}"), &error)),
        }
    };
    bounded("seeking", ADMIN, seeking).await
}

fn is_transient(error: &google_cloud_gax::error::Error) -> bool {
    error.status().is_none() || code_of(error) == Some(Code::Unavailable)
}

fn describe(error: &google_cloud_gax::error::Error) -> String {
    error.status().map(|status| status.message.clone()).unwrap_or_default()
}

/// One look through the letters of a subscription.
pub(crate) struct Pass {
    bus: Arc<Inner>,
    subscription: Subscription,
    /// All that is to be given back, when the look ends.
    holds: Option<Holds>,
    give_back: Option<oneshot::Sender<Holds>>,
    seen: usize,
    ended: bool,
}

struct Holds {
    arriving: mpsc::Receiver<Arrived>,
    /// By the id of the letter: what it was, until it is redriven or discarded.
    held: HashMap<String, (Message, Handler)>,
}

type Arrived = Result<(Message, Handler), PortError>;

impl Pass {
    pub(crate) async fn begin(bus: &Arc<Inner>, subscription: Subscription) -> Result<Self, PortError> {
        let name = bus.names.subscription(&dead_letters_of(subscription.name));
        let subscriber = bounded("looking for dead letters", ADMIN, bus.clients.subscriber()).await?;
        let _on_the_bus_runtime = bus.runtime.enter();
        let stream = subscriber
            .subscribe(name)
            .set_max_lease(MAX_LEASE)
            .set_max_lease_extension(ACK_DEADLINE)
            .set_max_outstanding_messages(i64::try_from(MAX_LETTERS).unwrap_or(i64::MAX))
            .set_max_outstanding_bytes(MAX_BYTES)
            .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
            .build();
        let (arrived, arriving) = mpsc::channel(PAGE);
        let (give_back, given_back) = oneshot::channel();
        bus.lifecycle.spawn(read(stream, arrived, given_back, subscription.name));
        let holds = Some(Holds { arriving, held: HashMap::new() });
        Ok(Self { bus: Arc::clone(bus), subscription, holds, give_back: Some(give_back), seen: 0, ended: false })
    }

    async fn arrival(&mut self) -> Option<Arrived> {
        self.holds.as_mut()?.arriving.recv().await
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let (Some(holds), Some(give_back)) = (self.holds.take(), self.give_back.take()) {
            let _gone_with_its_runtime = give_back.send(holds);
        }
    }
}

/// Ends when the look does. Then the stream is closed, and what the look holds is given back.
async fn read(
    mut stream: MessageStream,
    arrived: mpsc::Sender<Arrived>,
    mut given_back: oneshot::Receiver<Holds>,
    subscription: &'static str,
) {
    let reading = async {
        while let Some(next) = stream.next().await {
            let next = next.map_err(|error| port_error(&format!("reading the dead letters of {subscription}"), &error));
            if arrived.send(next).await.is_err() {
                break;
            }
        }
    };
    let holds = tokio::select! {
        biased;
        holds = &mut given_back => holds,
        () = reading => (&mut given_back).await,
    };
    let mut late = Vec::new();
    while let Some(Some(Ok(letter))) = stream.next().now_or_never() {
        late.push(letter);
    }
    let ended = stream.shutdown_token();
    drop(stream);
    tokio::time::sleep(UNTIL_A_STREAM_IS_CLOSED).await;
    drop((holds, late));
    if tokio::time::timeout(ADMIN, ended.shutdown()).await.is_err() {
        warn!(bus.subscription = subscription, "some answers about dead letters may be lost");
    }
}

#[async_trait]
impl DeadLetters for Pass {
    async fn next_page(&mut self) -> Result<Vec<DeadLetter>, PortError> {
        let mut page = Vec::new();
        let first = Instant::now() + FIRST;
        while !self.ended && page.len() < PAGE {
            let patience = if self.seen == 0 { first } else { Instant::now() + QUIET };
            let Ok(arrived) = tokio::time::timeout_at(patience, self.arrival()).await else {
                self.ended = true;
                break;
            };
            let Some(arrived) = arrived else { break };
            let (letter, handler) = arrived?;
            let Some(holds) = &mut self.holds else { break };
            if let Some((_, held)) = holds.held.get_mut(&letter.message_id) {
                // It was delivered again: the later hold is the good one.
                *held = handler;
                continue;
            }
            page.push(dead_letters::read(&self.subscription, &letter));
            holds.held.insert(letter.message_id.clone(), (letter, handler));
            self.seen += 1;
            if self.seen >= MAX_LETTERS {
                warn!(
                    bus.subscription = self.subscription.name,
                    letters = MAX_LETTERS,
                    "there may be more dead letters than one look can hold: look again when these are dealt with"
                );
                self.ended = true;
            }
        }
        page.sort_by_key(|letter| letter.dead_at);
        Ok(page)
    }

    /// Published first, acknowledged then: killed between, it is delivered and still a letter.
    async fn redrive(&mut self, id: &str, replay: &Replay) -> Result<bool, PortError> {
        let held = self.holds.as_ref().and_then(|holds| holds.held.get(id));
        let Some((letter, _)) = held else { return Ok(false) };
        let message = dead_letters::redriven(&self.subscription, letter, replay)?;
        self.bus.publishing.publish(&self.bus.names.topic(self.subscription.topic.0), message).await?;
        self.discard(id).await
    }

    async fn discard(&mut self, id: &str) -> Result<bool, PortError> {
        let held = self.holds.as_mut().and_then(|holds| holds.held.remove(id));
        let Some((_, handler)) = held else { return Ok(false) };
        handler.ack();
        Ok(true)
    }
}
