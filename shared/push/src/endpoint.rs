//! The push endpoint: whose a message is, and how many are worked on at once.

use std::sync::Arc;

use parlance_shared::{Clock, Lifecycle, consume::Processor, port::bus::DeadLetterSink};
use tokio::sync::Semaphore;

use crate::{
    formats::PushedMessage,
    oidc::Verification,
    problem::{Code, Problem},
    worker_http::{Limits, Push, WorkerHttp},
};

/// What takes pushes.
pub(crate) struct PushEndpoint {
    pub(crate) verification: Verification,
    pub(crate) dead_letters: Arc<dyn DeadLetterSink>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) lifecycle: Lifecycle,
    /// Bounds the bodies that are in memory: no more than there are messages to work on.
    pub(crate) bodies: Arc<Semaphore>,
    targets: Vec<Target>,
}

/// A subscription that this worker reads.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) processor: Arc<Processor>,
    /// Bounds the messages worked on.
    pub(crate) slots: Arc<Semaphore>,
}

impl PushEndpoint {
    pub(crate) fn new(push: Push, worker: &WorkerHttp, lifecycle: Lifecycle) -> Self {
        let targets: Vec<_> = push
            .processors
            .into_iter()
            .map(|processor| {
                let slots = Arc::new(Semaphore::new(processor.options.concurrency.min(Semaphore::MAX_PERMITS)));
                Target { processor, slots }
            })
            .collect();
        let all = targets.iter().map(|target| target.slots.available_permits()).fold(0, usize::saturating_add);
        Self {
            verification: push.verification,
            dead_letters: push.dead_letters,
            clock: worker.clock.clone(),
            limits: worker.limits,
            lifecycle,
            bodies: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            targets,
        }
    }

    /// By the subscription's name; by the topic where the subscription was made, and named, by Eventarc.
    pub(crate) fn target_of(&self, message: &PushedMessage) -> Result<&Target, Problem> {
        let by_name = message.subscription.as_deref().and_then(|path| {
            let name = last_segment(path);
            self.targets.iter().find(|target| target.processor.subscription.name == name)
        });
        let by_topic = || {
            let name = last_segment(message.topic.as_deref()?);
            self.targets.iter().find(|target| target.processor.subscription.topic.0 == name)
        };
        by_name.or_else(by_topic).ok_or_else(|| {
            let names: Vec<_> = self.targets.iter().map(|target| target.processor.subscription.name).collect();
            let detail = format!("This worker reads the subscriptions {}.", names.join(", "));
            let cause = format!("subscription {:?}, topic {:?}", message.subscription, message.topic);
            Problem::with_field(message.subscription_field, Code::UnknownSubscription, detail).caused_by(cause)
        })
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
