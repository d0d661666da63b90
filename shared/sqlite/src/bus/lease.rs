//! The hold on a delivery.

use std::sync::Arc;

use async_trait::async_trait;

use parlance_shared::port::{
    PortError,
    bus::{Lease, Outcome, Subscription},
};

use super::{
    Inner, answer, millis,
    receive::Slot,
    signals::{Dropped, Hold, Signals},
};

pub(super) struct SqliteLease {
    pub(super) bus: Arc<Inner>,
    pub(super) subscription: Subscription,
    pub(super) signals: Arc<Signals>,
    pub(super) hold: Hold,
    pub(super) attempts: i64,
    delivered: bool,
    answered: bool,
    /// Held for its drop: the last field, so that the slot is free only after the message was given back.
    _slot: Slot,
}

impl SqliteLease {
    pub(super) fn new(
        bus: &Arc<Inner>,
        subscription: Subscription,
        signals: &Arc<Signals>,
        hold: Hold,
        attempts: i64,
        slot: Slot,
    ) -> Self {
        let (bus, signals) = (Arc::clone(bus), Arc::clone(signals));
        Self { bus, subscription, signals, hold, attempts, delivered: false, answered: false, _slot: slot }
    }

    /// Call when a consumer gets it.
    pub(super) fn deliver(&mut self) {
        self.delivered = true;
    }

    pub(super) fn ordering_key(&self) -> &str {
        &self.hold.ordering_key
    }
}

#[async_trait]
impl Lease for SqliteLease {
    async fn extend(&mut self) -> Result<(), PortError> {
        let clock = self.bus.database.clock().clone();
        let hold = self.hold.clone();
        let (name, lease) = (self.subscription.name, millis(self.subscription.lease));
        let extended = self
            .bus
            .database
            .write(async move |connection| {
                let until = clock.now_millis().saturating_add(lease);
                sqlx::query!(
                    "UPDATE bus_deliveries SET ready_at = ?
                     WHERE subscription = ? AND ordering_key = ? AND seq = ? AND lease = ?",
                    until,
                    name,
                    hold.ordering_key,
                    hold.seq,
                    hold.token
                )
                .execute(connection)
                .await
            })
            .await?;
        if extended.rows_affected() == 0 {
            return Err(PortError::Rejected { what: "the lease", cause: "it is lost".into() });
        }
        Ok(())
    }

    /// If the lease was lost, nothing changes and the answer is `Ok`: the message comes, or came, again.
    async fn settle(mut self: Box<Self>, outcome: Outcome) -> Result<(), PortError> {
        answer::answer(&self, outcome).await?;
        self.answered = true;
        Ok(())
    }
}

impl Drop for SqliteLease {
    fn drop(&mut self) {
        if !self.answered {
            let dropped = Dropped { hold: self.hold.clone(), was_delivered: self.delivered };
            self.signals.drop_unanswered(dropped);
        }
    }
}
