//! Takes what is ready, as one writer job.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use parlance_shared::port::{PortError, bus::Subscription};

use super::{
    Inner, millis,
    signals::{Dropped, Hold, Signals},
};

/// Bounds what a consumer has fetched but not handed out.
const BATCH: usize = 32;

/// A message on lease, not handed out yet.
pub(super) struct Row {
    pub(super) hold: Hold,
    pub(super) event: Arc<str>,
    /// The mark of the operator's redrive that delivers it, JSON.
    pub(super) replay: Option<String>,
    pub(super) published_at: i64,
    pub(super) attempts: i64,
    /// Before this delivery.
    pub(super) unanswered: i64,
    pub(super) leased_until: i64,
}

/// What a job took. Dropped after the commit, it gives back what is still in it, so that nothing is lost if the taker
/// goes away while the job runs.
pub(super) struct Taken {
    rows: Vec<Row>,
    /// The count of seeks it belongs to.
    pub(super) seeks: u64,
    signals: Arc<Signals>,
    committed: AtomicBool,
}

impl Taken {
    pub(super) fn into_rows(mut self) -> Vec<Row> {
        mem::take(&mut self.rows)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.committed.load(SeqCst) {
            for Row { hold, .. } in self.rows.drain(..) {
                self.signals.drop_unanswered(Dropped { hold, was_delivered: false });
            }
        }
    }
}

/// Starts to take at most `limit` messages. `look_ahead` reads anew when the next lease or wait ends.
pub(super) fn take(
    inner: &Arc<Inner>,
    subscription: Subscription,
    signals: &Arc<Signals>,
    limit: usize,
    look_ahead: bool,
) -> BoxFuture<'static, Result<Taken, PortError>> {
    let limit = limit.min(BATCH);
    let bus = Arc::clone(inner);
    let database = inner.database.clone();
    let job_signals = Arc::clone(signals);
    let signals = Arc::clone(signals);
    let mut given_back = signals.dropped_unanswered();
    given_back.truncate(BATCH);
    Box::pin(async move {
        let dropped = given_back.clone();
        let taken = database
            .write_then(
                async move |connection| {
                    give_back(connection, &bus, &subscription, &dropped).await?;
                    let seen = bus.seen();
                    let rows = lease_ready(connection, &bus, &subscription, limit).await?;
                    let earliest = match look_ahead || bus.is_set_back() {
                        true => Some(earliest_end(connection, &subscription).await?),
                        false => None,
                    };
                    let taken = Taken {
                        rows,
                        seeks: job_signals.seeks(),
                        signals: Arc::clone(&job_signals),
                        committed: AtomicBool::new(false),
                    };
                    Ok((taken, seen, earliest))
                },
                move |(taken, seen, earliest)| {
                    taken.committed.store(true, SeqCst);
                    signals.gave_back(&given_back);
                    if taken.rows.len() < limit {
                        signals.took_all(*seen);
                    }
                    if let Some(earliest) = earliest {
                        signals.set_due(*earliest);
                    }
                    if let Some(row) = taken.rows.first() {
                        signals.leased_until(row.leased_until);
                    }
                },
            )
            .await?;
        Ok(taken.0)
    })
}

async fn lease_ready(
    connection: &mut SqliteConnection,
    bus: &Inner,
    subscription: &Subscription,
    limit: usize,
) -> sqlx::Result<Vec<Row>> {
    let now = bus.now_millis();
    let leased_until = now.saturating_add(millis(subscription.lease));
    let token = bus.tokens.fetch_add(1, SeqCst) + 1;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        r#"UPDATE bus_deliveries
           SET lease = ?1, ready_at = ?2, attempts = attempts + 1, unanswered = unanswered + 1
           WHERE (subscription, ordering_key, seq) IN (
               SELECT subscription, ordering_key, seq FROM bus_deliveries
               WHERE subscription = ?3 AND head = 1 AND ready_at <= ?4 ORDER BY ready_at, seq LIMIT ?5)
           RETURNING ordering_key, seq, attempts, unanswered, replay,
               (SELECT event FROM bus_messages m WHERE m.seq = bus_deliveries.seq) AS "event!: String",
               (SELECT published_at FROM bus_messages m WHERE m.seq = bus_deliveries.seq) AS "published_at!: i64""#,
        token,
        leased_until,
        subscription.name,
        now,
        limit
    )
    .fetch_all(connection)
    .await?;
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|row| Row {
            hold: Hold { ordering_key: row.ordering_key, seq: row.seq, token },
            event: row.event.into(),
            replay: row.replay,
            published_at: row.published_at,
            attempts: row.attempts,
            unanswered: row.unanswered - 1,
            leased_until,
        })
        .collect();
    // RETURNING promises no order.
    rows.sort_unstable_by_key(|row| row.hold.seq);
    Ok(rows)
}

/// Of leases and waits alike; every head that waits for nothing was taken or will be looked for again.
async fn earliest_end(connection: &mut SqliteConnection, subscription: &Subscription) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"SELECT min(ready_at) AS "ready_at: i64" FROM bus_deliveries WHERE subscription = ? AND head = 1"#,
        subscription.name
    )
    .fetch_one(connection)
    .await
}

async fn give_back(
    connection: &mut SqliteConnection,
    bus: &Inner,
    subscription: &Subscription,
    dropped: &[Dropped],
) -> sqlx::Result<()> {
    let now = bus.now_millis();
    for Dropped { hold, was_delivered } in dropped {
        sqlx::query!(
            "UPDATE bus_deliveries SET lease = NULL, ready_at = ?1,
                 attempts = attempts - (NOT ?2), unanswered = unanswered - (NOT ?2)
             WHERE subscription = ?3 AND ordering_key = ?4 AND seq = ?5 AND lease = ?6",
            now,
            was_delivered,
            subscription.name,
            hold.ordering_key,
            hold.seq,
            hold.token
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
