//! One message in, one delivery for each subscription.

use std::sync::Arc;

use cloudevents::{AttributesReader as _, Event};

use parlance_shared::port::{
    PortError,
    bus::{Published, Topic},
};

use super::{Inner, rejected, signals::Readied};

enum Stored {
    New(Readied),
    Before(String),
}

pub(super) async fn publish(
    inner: &Arc<Inner>,
    topic: Topic,
    ordering_key: String,
    event: &Event,
) -> Result<Published, PortError> {
    let json = serde_json::to_string(event).map_err(rejected)?;
    let id = event.id().to_owned();
    let bus = Arc::clone(inner);
    let to_wake = Arc::clone(inner);
    let stored = inner
        .database
        .write_then(
            async move |connection| {
                let now = bus.now_millis();
                let seq = sqlx::query_scalar!(
                    "INSERT INTO bus_messages (topic, event_id, ordering_key, event, published_at)
                     VALUES (?, ?, ?, ?, ?) ON CONFLICT (topic, event_id) DO NOTHING RETURNING seq",
                    topic.0,
                    id,
                    ordering_key,
                    json,
                    now
                )
                .fetch_optional(&mut *connection)
                .await?;
                let Some(seq) = seq else {
                    return sqlx::query_scalar!(
                        "SELECT event FROM bus_messages WHERE topic = ? AND event_id = ?",
                        topic.0,
                        id
                    )
                    .fetch_one(connection)
                    .await
                    .map(Stored::Before);
                };
                sqlx::query!(
                    "INSERT INTO bus_deliveries (subscription, ordering_key, seq, ready_at, head)
                     SELECT s.name, ?1, ?2, ?3, NOT EXISTS (
                         SELECT 1 FROM bus_deliveries d WHERE d.subscription = s.name AND d.ordering_key = ?1)
                     FROM bus_subscriptions s WHERE s.topic = ?4",
                    ordering_key,
                    seq,
                    now,
                    topic.0
                )
                .execute(connection)
                .await?;
                Ok(Stored::New(bus.readied(now, now)))
            },
            move |stored| {
                if let Stored::New(readied) = stored {
                    to_wake.each_consumer(|of, signals| {
                        if of == topic {
                            signals.announce(*readied);
                        }
                    });
                }
            },
        )
        .await?;
    match stored {
        Stored::New(_) => Ok(Published::New),
        Stored::Before(earlier) => {
            Ok(Published::Duplicate(Box::new(serde_json::from_str(&earlier).map_err(rejected)?)))
        }
    }
}
