//! What operators do: replay and seek. What they do to dead letters is in `dead_letters`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cloudevents::{AttributesReader as _, Event};
use sqlx::SqliteConnection;
use uuid::Uuid;

use parlance_shared::{
    UserId,
    port::{
        PortError,
        bus::{BusAdmin, DeadLetters, Subscription, Topic},
    },
    replay::Replay,
};

use super::{SqliteBus, dead_letters::SqliteDeadLetters, forget::forget_user, publish::publish_as, signals::Readied};

#[async_trait]
impl BusAdmin for SqliteBus {
    async fn dead_letters(&self, subscription: Subscription) -> Result<Box<dyn DeadLetters>, PortError> {
        Ok(Box::new(SqliteDeadLetters::new(&self.inner, subscription, None)))
    }

    /// The bus tells messages by the ids of their events: this one is kept as the event's id and the replay's, so that a
    /// replay whose answer was lost can be repeated without a second message.
    async fn replay(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<(), PortError> {
        let replay = Replay::of(&event).map_or_else(Uuid::now_v7, |replay| replay.id);
        let id = format!("{}#{replay}", event.id());
        publish_as(&self.inner, topic, ordering_key.to_owned(), &event, id).await.map(drop)
    }

    /// One transaction: it happens or it does not, and new messages queue up behind those it brings back.
    /// It takes back all leases: what is out comes again if it lies behind `to`, and its late answer changes nothing.
    /// Attempts count from 0 again. Other writes wait while it runs.
    async fn seek(&self, subscription: Subscription, to: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        let bus = Arc::clone(&self.inner);
        let signals = self.inner.signals(&subscription);
        let to = to.timestamp_millis();
        let sought = self.inner.database.write_then(
            async move |connection| {
                let now = bus.now_millis();
                let waiting = replace_deliveries(connection, &subscription, to, now).await?;
                Ok((waiting, bus.readied(now, now)))
            },
            move |(_, readied): &(u64, Readied)| signals.announce_seek(*readied),
        );
        Ok(Some(sought.await?.0))
    }

    async fn forget_user(&self, user: &UserId, until: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        forget_user(&self.inner, user, until.timestamp_millis()).await.map(Some)
    }
}

async fn replace_deliveries(
    connection: &mut SqliteConnection,
    subscription: &Subscription,
    to: i64,
    now: i64,
) -> sqlx::Result<u64> {
    sqlx::query!("DELETE FROM bus_deliveries WHERE subscription = ?", subscription.name)
        .execute(&mut *connection)
        .await?;
    // The plus keeps the planner from walking the whole topic: the time is the narrower of the two.
    let inserted = sqlx::query!(
        "INSERT INTO bus_deliveries (subscription, ordering_key, seq, ready_at, head)
         SELECT ?1, m.ordering_key, m.seq, ?2, row_number() OVER (PARTITION BY m.ordering_key ORDER BY m.seq) = 1
         FROM bus_messages m
         WHERE +m.topic = ?3 AND m.published_at >= ?4
           AND NOT EXISTS (SELECT 1 FROM bus_dead_letters l WHERE l.seq = m.seq AND l.subscription = ?1)",
        subscription.name,
        now,
        subscription.topic.0,
        to
    );
    Ok(inserted.execute(connection).await?.rows_affected())
}
