//! How far consumers are behind.

use chrono::{DateTime, Utc};

use parlance_shared::port::PortError;

use super::SqliteBus;
use crate::database::port_error;

/// What a subscription has not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStats {
    /// The subscription.
    pub subscription: String,
    /// Messages waiting or on lease.
    pub outstanding: u64,
    /// When the oldest of them was published.
    pub oldest_published_at: Option<DateTime<Utc>>,
    /// Messages given up.
    pub dead_letters: u64,
}

impl SqliteBus {
    /// The state of all subscriptions, by name. Counts row by row: for people and scrapes, not for every message.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn stats(&self) -> Result<Vec<SubscriptionStats>, PortError> {
        let mut connection = self.inner.database.read().await?;
        let rows = sqlx::query!(
            r#"SELECT s.name, coalesce(d.outstanding, 0) AS "outstanding!: i64",
                      (SELECT published_at FROM bus_messages m WHERE m.seq = d.first) AS "oldest: i64",
                      (SELECT count(*) FROM bus_dead_letters l WHERE l.subscription = s.name) AS "dead_letters!: i64"
               FROM bus_subscriptions s
               LEFT JOIN (SELECT subscription, count(*) AS outstanding, min(seq) AS first
                          FROM bus_deliveries GROUP BY subscription) d ON d.subscription = s.name
               ORDER BY s.name"#
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(port_error)?;
        let stats = rows.into_iter().map(|row| SubscriptionStats {
            subscription: row.name,
            outstanding: row.outstanding.unsigned_abs(),
            oldest_published_at: row.oldest.and_then(DateTime::from_timestamp_millis),
            dead_letters: row.dead_letters.unsigned_abs(),
        });
        Ok(stats.collect())
    }
}
