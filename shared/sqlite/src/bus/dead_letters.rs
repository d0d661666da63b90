//! Dead letters, page by page: read, redriven, discarded.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use cloudevents::{AttributesWriter as _, Event};
use futures_util::TryStreamExt as _;
use sqlx::SqliteConnection;

use parlance_shared::{
    port::{
        PortError,
        bus::{DeadLetter, DeadLetters, Reason, Subscription},
    },
    replay::Replay,
};

use super::{Inner, SqliteBus, receive::count, rejected};
use crate::database::port_error;

const PAGE: i64 = 500;
/// Bounds what one page holds in memory, but for its last letter: each has a whole message.
const PAGE_BYTES: usize = 4 << 20;

/// A look through the dead letters of a subscription, oldest first.
pub struct SqliteDeadLetters {
    bus: Arc<Inner>,
    subscription: Subscription,
    /// The last one seen.
    after: i64,
}

impl SqliteBus {
    /// Like [`parlance_shared::port::bus::BusAdmin::dead_letters`], from behind a letter that was seen before. Ids grow,
    /// so that a look can be taken up again by whoever knows where it ended.
    pub fn dead_letters_after(&self, subscription: Subscription, after: Option<&str>) -> SqliteDeadLetters {
        SqliteDeadLetters::new(&self.inner, subscription, after)
    }
}

impl SqliteDeadLetters {
    pub(super) fn new(bus: &Arc<Inner>, subscription: Subscription, after: Option<&str>) -> Self {
        let after = after.and_then(|id| id.parse().ok()).unwrap_or(0);
        Self { bus: Arc::clone(bus), subscription, after }
    }
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    async fn next_page(&mut self) -> Result<Vec<DeadLetter>, PortError> {
        let mut connection = self.bus.database.read().await?;
        let mut rows = sqlx::query!(
            "SELECT d.id, d.reason_code, d.reason_message, d.attempts, d.dead_at, d.replay,
                    m.event_id, m.event, m.ordering_key, m.published_at
             FROM bus_dead_letters d JOIN bus_messages m ON m.seq = d.seq
             WHERE d.subscription = ? AND d.id > ? ORDER BY d.id LIMIT ?",
            self.subscription.name,
            self.after,
            PAGE
        )
        .fetch(&mut *connection);
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES
            && let Some(row) = rows.try_next().await.map_err(port_error)?
        {
            bytes += row.event.len();
            self.after = row.id;
            letters.push(DeadLetter {
                id: row.id.to_string(),
                subscription: self.subscription.name.to_owned(),
                event: read_or_describe(&row.event, row.replay.as_deref(), &row.event_id),
                ordering_key: row.ordering_key,
                reason: Reason::new(row.reason_code, row.reason_message),
                attempts: count(row.attempts),
                published_at: DateTime::from_timestamp_millis(row.published_at).unwrap_or_default(),
                dead_at: DateTime::from_timestamp_millis(row.dead_at).unwrap_or_default(),
            });
        }
        Ok(letters)
    }

    /// It goes before the messages of its key that wait, but after one that is on lease.
    async fn redrive(&mut self, id: &str, replay: &Replay) -> Result<bool, PortError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(false) };
        let bus = Arc::clone(&self.bus);
        let signals = self.bus.signals(&self.subscription);
        let (subscription, replay) = (self.subscription, serde_json::to_string(replay).map_err(rejected)?);
        let redriven = self.bus.database.write_then(
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
                insert_in_order(connection, &subscription, &letter.ordering_key, letter.seq, now, &replay).await?;
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

    async fn discard(&mut self, id: &str) -> Result<bool, PortError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(false) };
        let subscription = self.subscription;
        let discarded = self.bus.database.write(async move |connection| {
            sqlx::query!("DELETE FROM bus_dead_letters WHERE id = ? AND subscription = ?", id, subscription.name)
                .execute(connection)
                .await
        });
        Ok(discarded.await?.rows_affected() > 0)
    }
}

async fn insert_in_order(
    connection: &mut SqliteConnection,
    subscription: &Subscription,
    ordering_key: &str,
    seq: i64,
    now: i64,
    replay: &str,
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
        "INSERT INTO bus_deliveries (subscription, ordering_key, seq, ready_at, replay, head)
         SELECT ?1, ?2, ?3, ?4, ?5, NOT EXISTS (
             SELECT 1 FROM bus_deliveries d WHERE d.subscription = ?1 AND d.ordering_key = ?2 AND d.head = 1)",
        subscription.name,
        ordering_key,
        seq,
        now,
        replay
    );
    inserts.execute(connection).await.map(drop)
}

/// A stored event that can't be read is shown as what is known of it, so that its dead letter can be listed and discarded.
fn read_or_describe(json: &str, replay: Option<&str>, id: &str) -> Event {
    read_event(json, replay).unwrap_or_else(|_| {
        let mut event = Event::default();
        event.set_id(id);
        event.set_type("parlance.unreadable");
        event.set_data("text/plain", json);
        event
    })
}

/// A stored event with the mark of the redrive that delivers it.
pub(super) fn read_event(json: &str, replay: Option<&str>) -> serde_json::Result<Event> {
    let mut event: Event = serde_json::from_str(json)?;
    if let Some(replay) = replay {
        serde_json::from_str::<Replay>(replay)?.mark(&mut event);
    }
    Ok(event)
}
