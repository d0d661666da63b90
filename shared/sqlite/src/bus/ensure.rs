//! Makes subscriptions, and takes back the leases of the process that had the folder before.

use parlance_shared::port::{PortError, bus::Subscription};

use super::{Inner, rejected};
use crate::database::port_error;

pub(super) async fn ensure(inner: &Inner, subscriptions: &[Subscription]) -> Result<(), PortError> {
    recover(inner).await?;
    let subscriptions = subscriptions.to_vec();
    let clock = inner.database.clock().clone();
    let conflict = inner
        .database
        .write(async move |connection| {
            let now = clock.now_millis();
            for subscription in &subscriptions {
                let topic = subscription.topic.0;
                let stored = sqlx::query_scalar!(
                    "INSERT INTO bus_subscriptions (name, topic, created_at) VALUES (?, ?, ?)
                     ON CONFLICT (name) DO UPDATE SET topic = topic RETURNING topic",
                    subscription.name,
                    topic,
                    now
                )
                .fetch_one(&mut *connection)
                .await?;
                if stored != topic {
                    return Ok(Some((subscription.name, stored)));
                }
            }
            Ok(None)
        })
        .await?;
    match conflict {
        Some((name, topic)) => Err(rejected(format_args!("the subscription {name} reads the topic {topic}"))),
        None => Ok(()),
    }
}

pub(super) async fn check_exists(inner: &Inner, subscription: &Subscription) -> Result<(), PortError> {
    recover(inner).await?;
    let mut connection = inner.database.read().await?;
    let topic = sqlx::query_scalar!("SELECT topic FROM bus_subscriptions WHERE name = ?", subscription.name)
        .fetch_optional(&mut *connection)
        .await
        .map_err(port_error)?;
    if topic.as_deref() == Some(subscription.topic.0) {
        return Ok(());
    }
    Err(rejected(format_args!("there is no subscription {} of the topic {}", subscription.name, subscription.topic.0)))
}

/// A lease found at the start is a dead process's: its message is ready again. Only heads are ever on lease.
async fn recover(inner: &Inner) -> Result<(), PortError> {
    let clock = inner.database.clock().clone();
    let take_back = || {
        inner.database.write(async move |connection| {
            let now = clock.now_millis();
            sqlx::query!(
                "UPDATE bus_deliveries SET lease = NULL, ready_at = ? WHERE head = 1 AND lease IS NOT NULL",
                now
            )
            .execute(connection)
            .await
            .map(drop)
        })
    };
    inner.recovered.get_or_try_init(take_back).await.map(drop)
}
