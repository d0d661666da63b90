//! What comes over the bus besides what the services send: everything again, later, in another order, and what is not ours.
//! A subscription of its own to each topic shows what there is to repeat.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use crate::{
    Fallible,
    cloud::{Emulator, PubSubMessage},
    crash::findings::Findings,
    random::Random,
};

/// Requests, and ends of tasks.
const TOPICS: [&str; 2] = ["parlance-requests", "parlance-replies"];
const PAUSE: Duration = Duration::from_millis(200);
/// The latest so many messages of a topic are remembered.
const REMEMBERED: usize = 20_000;
/// Half of the repeated messages are of the latest so many: their tasks are under way.
const LATEST: usize = 40;
/// Repeated at once.
const MOST: u64 = 12;
/// `not an event` and a structured event of a type that nobody knows.
const STRANGE: [&str; 2] = [
    "bm90IGFuIGV2ZW50",
    "eyJzcGVjdmVyc2lvbiI6IjEuMCIsImlkIjoiMSIsInNvdXJjZSI6Ii8vc3RyYW5nZXIiLCJ0eXBlIjoicGFydHkifQ==",
];

/// The name of our subscription to a topic.
pub(super) fn spy(topic: &str) -> String {
    format!("bench-{topic}")
}

/// What was on the bus.
pub(super) struct Deliveries {
    emulator: Emulator,
    seen: Arc<Mutex<Seen>>,
    findings: Arc<Findings>,
    reading: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// By topic, in the order of [`TOPICS`].
    messages: [Vec<PubSubMessage>; 2],
    /// Subjects of the ends of tasks.
    ended: HashSet<String>,
}

impl Deliveries {
    pub(super) async fn start(emulator: Emulator, findings: &Arc<Findings>) -> Fallible<Self> {
        for topic in TOPICS {
            emulator.subscribe(&spy(topic), topic).await?;
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let reading = tokio::spawn(read(emulator.clone(), Arc::clone(&seen)));
        Ok(Self { emulator, seen, findings: Arc::clone(findings), reading })
    }

    /// Sends messages again, in another order: with their key, and those of tasks that have ended also without it.
    pub(super) async fn duplicate(&mut self, random: &mut Random) {
        let topic = usize::from(random.chance(25));
        let mut chosen = Vec::new();
        {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let messages = &seen.messages[topic];
            for _ in 0..random.between(1, MOST) {
                let newest = messages.len().saturating_sub(1) as u64;
                let oldest = if random.chance(50) { newest.saturating_sub(LATEST as u64) } else { 0 };
                let Some(message) = messages.get(random.between(oldest, newest) as usize) else { return };
                let mut message = message.clone();
                let has_ended = subject(&message).is_some_and(|subject| seen.ended.contains(subject));
                if has_ended {
                    self.findings.count("messages repeated whose task had ended");
                    if random.chance(50) {
                        message.ordering_key.clear();
                        self.findings.count("messages repeated without their key");
                    }
                } else {
                    self.findings.count("messages repeated whose task was under way");
                }
                chosen.push(message);
            }
        }
        // A topic refuses messages with and without a key in one call.
        for message in chosen {
            self.publish(TOPICS[topic], message).await;
        }
    }

    /// Sends a message that is not ours.
    pub(super) async fn strange(&mut self, random: &mut Random) {
        let data = random.pick(&STRANGE).unwrap_or_default().to_owned();
        let ordering_key = if random.chance(50) { format!("stranger-{}", random.between(1, 9)) } else { String::new() };
        let topic = random.pick(&TOPICS).unwrap_or(TOPICS[0]);
        self.publish(topic, PubSubMessage { data, ordering_key, ..PubSubMessage::default() }).await;
        self.findings.count("messages of strangers");
    }

    /// A session that has been written to.
    pub(super) fn session(&self, random: &mut Random) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<&str> = seen.messages[0].iter().map(|message| message.ordering_key.as_str()).collect();
        let sessions: Vec<&str> = keys.into_iter().filter(|key| key.starts_with("ses_")).collect();
        random.pick(&sessions).map(str::to_owned)
    }

    /// Ends the reading.
    pub(super) async fn stop(mut self) {
        self.reading.abort();
        let _ = (&mut self.reading).await;
    }

    async fn publish(&self, topic: &str, message: PubSubMessage) {
        if self.emulator.publish(topic, &[message]).await.is_err() {
            self.findings.count("repeated messages that the emulator refused");
        }
    }
}

/// The task, as the event names it.
fn subject(message: &PubSubMessage) -> Option<&str> {
    let subject = message.attributes.iter().find(|(name, _)| name.ends_with("subject"));
    subject.map(|(_, value)| value.as_str())
}

async fn read(emulator: Emulator, seen: Arc<Mutex<Seen>>) {
    loop {
        for (number, topic) in TOPICS.into_iter().enumerate() {
            let Ok(messages) = emulator.take(&spy(topic)).await else { continue };
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if number == 1 {
                let subjects: Vec<String> = messages.iter().filter_map(subject).map(str::to_owned).collect();
                seen.ended.extend(subjects);
            }
            let remembered = &mut seen.messages[number];
            // What strangers sent is not sent again.
            remembered.extend(messages.into_iter().filter(|message| subject(message).is_some()));
            let too_many = remembered.len().saturating_sub(REMEMBERED);
            remembered.drain(..too_many);
        }
        sleep(PAUSE).await;
    }
}
