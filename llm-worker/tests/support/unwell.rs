//! Ports that fail as the test says, in front of the real ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloudevents::Event;
use parlance_shared::{
    SessionId, TaskId, UserId,
    port::{
        PortError,
        bus::{Bus, Deliveries, Published, Subscription, Topic},
        turns::{
            CancelOutcome, Claim, ClaimError, ClaimOutcome, TurnEnd, TurnRequest, TurnView, Turns, VersionedCheckpoint,
            WorkerId,
        },
    },
    task::Task,
};

pub fn busy() -> PortError {
    PortError::Unavailable { what: "port", cause: "as the test wants it".into() }
}

pub fn refused() -> PortError {
    PortError::Rejected { what: "port", cause: "as the test wants it".into() }
}

pub fn panicking() -> PortError {
    panic!("as the test wants it")
}

/// So many failures, then none.
struct Failures {
    left: AtomicU32,
    error: fn() -> PortError,
}

impl Failures {
    fn new(left: u32, error: fn() -> PortError) -> Self {
        Self { left: left.into(), error }
    }

    fn next(&self) -> Result<(), PortError> {
        let fails = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err((self.error)()) } else { Ok(()) }
    }
}

/// A bus whose first publications fail.
pub struct UnwellBus {
    bus: Arc<dyn Bus>,
    failures: Failures,
}

impl UnwellBus {
    pub fn new(bus: Arc<dyn Bus>, failures: u32, error: fn() -> PortError) -> Arc<Self> {
        Arc::new(Self { bus, failures: Failures::new(failures, error) })
    }
}

#[async_trait]
impl Bus for UnwellBus {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        self.bus.ensure(subscriptions).await
    }
    async fn publish(&self, topic: Topic, key: &str, event: Event) -> Result<Published, PortError> {
        self.failures.next()?;
        self.bus.publish(topic, key, event).await
    }
    async fn subscribe(&self, subscription: Subscription, max: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.bus.subscribe(subscription, max).await
    }
}

/// Turns whose first ends can't be stored.
pub struct UnwellTurns {
    turns: Arc<dyn Turns>,
    failures: Failures,
}

impl UnwellTurns {
    pub fn new(turns: Arc<dyn Turns>, failures: u32, error: fn() -> PortError) -> Arc<Self> {
        Arc::new(Self { turns, failures: Failures::new(failures, error) })
    }
}

#[async_trait]
impl Turns for UnwellTurns {
    async fn finish(
        &self,
        claim: &Claim,
        end: TurnEnd,
        checkpoint: Option<VersionedCheckpoint>,
    ) -> Result<Task, ClaimError> {
        self.failures.next()?;
        self.turns.finish(claim, end, checkpoint).await
    }
    async fn claim(
        &self,
        request: &TurnRequest,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<ClaimOutcome, PortError> {
        self.turns.claim(request, worker, lease).await
    }
    async fn next_attempt(&self, claim: &Claim, reason: &str) -> Result<Claim, ClaimError> {
        self.turns.next_attempt(claim, reason).await
    }
    async fn heartbeat(&self, claims: &[Claim], lease: Duration) -> Result<(), PortError> {
        self.turns.heartbeat(claims, lease).await
    }
    async fn release(&self, claim: &Claim) -> Result<(), PortError> {
        self.turns.release(claim).await
    }
    async fn request_cancel(&self, user: &UserId, task: TaskId) -> Result<CancelOutcome, PortError> {
        self.turns.request_cancel(user, task).await
    }
    async fn delete_session(&self, user: &UserId, session: SessionId) -> Result<(), PortError> {
        self.turns.delete_session(user, session).await
    }
    async fn checkpoint(&self, user: &UserId, session: SessionId) -> Result<VersionedCheckpoint, PortError> {
        self.turns.checkpoint(user, session).await
    }
    async fn save_checkpoint(
        &self,
        user: &UserId,
        session: SessionId,
        checkpoint: VersionedCheckpoint,
    ) -> Result<(), ClaimError> {
        self.turns.save_checkpoint(user, session, checkpoint).await
    }
    async fn task(&self, user: &UserId, task: TaskId) -> Result<Option<TurnView>, PortError> {
        self.turns.task(user, task).await
    }
    async fn active(&self) -> Result<u64, PortError> {
        self.turns.active().await
    }
}
