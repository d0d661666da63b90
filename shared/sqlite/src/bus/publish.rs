//! One message in, one delivery for each subscription.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::SeqCst},
};

use cloudevents::{AttributesReader as _, Event};

use parlance_shared::port::{
    PortError,
    bus::{Published, Topic},
};

use super::{
    Inner,
    hand_off::{self, Offer},
    rejected,
    signals::{Hold, Readied},
    take::Row,
};

enum Stored {
    New { seq: i64, now: i64, token: i64, readied: Readied, deliveries: Vec<NewDelivery> },
    Before(String),
}

struct NewDelivery {
    subscription: String,
    /// It may be delivered: no earlier message of its key waits.
    head: i64,
    /// It was put on lease for the consumer that has an offer, until then.
    leased_until: Option<i64>,
}

pub(super) async fn publish(
    inner: &Arc<Inner>,
    topic: Topic,
    ordering_key: String,
    event: &Event,
) -> Result<Published, PortError> {
    publish_as(inner, topic, ordering_key, event, event.id().to_owned()).await
}

/// Publishes an event that the bus knows under `id`, which is not always the event's own.
pub(super) async fn publish_as(
    inner: &Arc<Inner>,
    topic: Topic,
    ordering_key: String,
    event: &Event,
    id: String,
) -> Result<Published, PortError> {
    let json: Arc<str> = serde_json::to_string(event).map_err(rejected)?.into();
    let bus = Arc::clone(inner);
    let to_wake = Arc::clone(inner);
    let offers = Arc::new(Mutex::new(Offer::reserve_all(inner, topic)));
    let (terms_of, stored_json, key) = (Arc::clone(&offers), Arc::clone(&json), ordering_key.clone());
    let stored = inner
        .database
        .write_then(
            async move |connection| {
                let now = bus.now_millis();
                let json = &*stored_json;
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
                let token = bus.tokens.fetch_add(1, SeqCst) + 1;
                let terms = hand_off::terms(&terms_of.lock().unwrap_or_else(PoisonError::into_inner), now);
                let deliveries = sqlx::query_as!(
                    NewDelivery,
                    r#"INSERT INTO bus_deliveries
                           (subscription, ordering_key, seq, head, ready_at, lease, attempts, unanswered)
                       SELECT name, ?1, ?2, head,
                              CASE WHEN head AND until IS NOT NULL THEN until ELSE ?3 END,
                              CASE WHEN head AND until IS NOT NULL THEN ?4 END,
                              head AND until IS NOT NULL, head AND until IS NOT NULL
                       FROM (SELECT s.name,
                                    NOT EXISTS (SELECT 1 FROM bus_deliveries d
                                                WHERE d.subscription = s.name AND d.ordering_key = ?1) AS head,
                                    (SELECT value FROM json_each(?5) WHERE key = s.name) AS until
                             FROM bus_subscriptions s WHERE s.topic = ?6)
                       RETURNING subscription, head, CASE WHEN lease IS NOT NULL THEN ready_at END AS "leased_until: i64""#,
                    ordering_key,
                    seq,
                    now,
                    token,
                    terms,
                    topic.0
                )
                .fetch_all(connection)
                .await?;
                Ok(Stored::New { seq, now, token, readied: bus.readied(now, now), deliveries })
            },
            move |stored| {
                let Stored::New { seq, now, token, readied, deliveries } = stored else { return };
                let mut offers = mem::take(&mut *offers.lock().unwrap_or_else(PoisonError::into_inner));
                to_wake.each_consumer(|subscription, signals| {
                    let Some(delivery) = deliveries.iter().find(|new| new.subscription == subscription.name) else {
                        return;
                    };
                    let offer = offers.iter().position(|offer| offer.is_for(subscription.name));
                    match (delivery.leased_until, offer) {
                        (Some(leased_until), Some(offer)) => offers.swap_remove(offer).hand_over(Row {
                            hold: Hold { ordering_key: key.clone(), seq: *seq, token: *token },
                            event: Arc::clone(&json),
                            replay: None,
                            published_at: *now,
                            attempts: 1,
                            unanswered: 0,
                            leased_until,
                        }),
                        _ if delivery.head == 1 => signals.announce(*readied),
                        // It becomes ready with the answer to the one before it.
                        _ => {}
                    }
                });
            },
        )
        .await?;
    match stored {
        Stored::New { .. } => Ok(Published::New),
        Stored::Before(earlier) => {
            Ok(Published::Duplicate(Box::new(serde_json::from_str(&earlier).map_err(rejected)?)))
        }
    }
}
