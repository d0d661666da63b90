//! What operators do: read, redrive and discard dead letters, and seek.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cloudevents::{AttributesWriter as _, Event};
use sqlx::SqliteConnection;

use parlance_shared::port::{
    PortError,
    bus::{BusAdmin, DeadLetter, Reason, Subscription},
};

use super::{SqliteBus, receive::count, signals::Readied};
use crate::database::port_error;

/// The longest list of dead letters.
const PAGE: u32 = 1000;

#[async_trait]
impl BusAdmin for SqliteBus {
    async fn dead_letters(
        &self,
        subscription: Subscription,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let limit = limit.min(PAGE);
        let mut connection = self.inner.database.read().await?;
        let rows = sqlx::query!(
            "SELECT d.id, d.reason_code, d.reason_message, d.attempts, d.dead_at,
                    m.event_id, m.event, m.ordering_key, m.published_at
             FROM bus_dead_letters d JOIN bus_messages m ON m.seq = d.seq
             WHERE d.subscription = ? AND d.id > ? ORDER BY d.id LIMIT ?",
            subscription.name,
            after,
            limit
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(port_error)?;
        let letters = rows.into_iter().map(|row| DeadLetter {
            id: row.id,
            subscription: subscription.name.to_owned(),
            event: read_or_describe(&row.event, &row.event_id),
            ordering_key: row.ordering_key,
            reason: Reason::new(row.reason_code, row.reason_message),
            attempts: count(row.attempts),
            published_at: DateTime::from_timestamp_millis(row.published_at).unwrap_or_default(),
            dead_at: DateTime::from_timestamp_millis(row.dead_at).unwrap_or_default(),
        });
        Ok(letters.collect())
    }

    /// It goes before the messages of its key that wait, but after one that is on lease.
    async fn redrive(&self, subscription: Subscription, id: i64) -> Result<bool, PortError> {
        let bus = Arc::clone(&self.inner);
        let signals = self.inner.signals(&subscription);
        let redriven = self.inner.database.write_then(
            async move |connection| {
                let letter = sqlx::query!(
                    r#"DELETE FROM bus_dead_letters WHERE id = ? AND subscription = ? RETURNING seq,
                       (SELECT ordering_key FROM bus_messages m WHERE m.seq = bus_dead_letters.seq) AS "ordering_key!: String""#,
                    id,
                    subscription.name
                )
                .fetch_optional(&mut *connection)
                .await?;
                let Some(letter) = letter else { return Ok(None) };
                let now = bus.now_millis();
                insert_in_order(connection, &subscription, &letter.ordering_key, letter.seq, now).await?;
                Ok(Some(bus.readied(now, now)))
            },
            move |redriven| {
                if let Some(readied) = redriven {
                    signals.announce(*readied);
                }
            },
        );
        Ok(redriven.await?.is_some())
    }

    async fn discard(&self, subscription: Subscription, id: i64) -> Result<bool, PortError> {
        let discarded = self.inner.database.write(async move |connection| {
            sqlx::query!("DELETE FROM bus_dead_letters WHERE id = ? AND subscription = ?", id, subscription.name)
                .execute(connection)
                .await
        });
        Ok(discarded.await?.rows_affected() > 0)
    }

    /// One transaction: it happens or it does not, and new messages queue up behind those it brings back.
    /// It takes back all leases: what is out comes again if it lies behind `to`, and its late answer changes nothing.
    /// Attempts count from 0 again. Other writes wait while it runs.
    async fn seek(&self, subscription: Subscription, to: DateTime<Utc>) -> Result<u64, PortError> {
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
        Ok(sought.await?.0)
    }
}

async fn insert_in_order(
    connection: &mut SqliteConnection,
    subscription: &Subscription,
    ordering_key: &str,
    seq: i64,
    now: i64,
) -> sqlx::Result<()> {
    let yields = sqlx::query!(
        "UPDATE bus_deliveries SET head = 0
         WHERE subscription = ? AND ordering_key = ? AND head = 1 AND lease IS NULL AND seq > ?",
        subscription.name,
        ordering_key,
        seq
    );
    yields.execute(&mut *connection).await?;
    let inserts = sqlx::query!(
        "INSERT INTO bus_deliveries (subscription, ordering_key, seq, ready_at, head)
         SELECT ?1, ?2, ?3, ?4, NOT EXISTS (
             SELECT 1 FROM bus_deliveries d WHERE d.subscription = ?1 AND d.ordering_key = ?2 AND d.head = 1)",
        subscription.name,
        ordering_key,
        seq,
        now
    );
    inserts.execute(connection).await.map(drop)
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

/// A stored event that can't be read is shown as what is known of it, so that its dead letter can be listed and discarded.
fn read_or_describe(json: &str, id: &str) -> Event {
    serde_json::from_str(json).unwrap_or_else(|_| {
        let mut event = Event::default();
        event.set_id(id);
        event.set_type("parlance.unreadable");
        event.set_data("text/plain", json);
        event
    })
}
