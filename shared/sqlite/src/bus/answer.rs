//! What a consumer's answer does. Each matches the fencing token, so that the answer of a lost lease changes nothing.

use std::sync::Arc;

use sqlx::SqliteConnection;
use tracing::debug;

use parlance_shared::port::{
    PortError,
    bus::{Outcome, Reason, Subscription},
};

use super::{
    Inner,
    backoff::backoff,
    lease::SqliteLease,
    millis,
    signals::{Hold, Readied},
};

enum Answered {
    LeaseLost,
    /// What may be delivered by it.
    Kept(Option<Readied>),
}

pub(super) async fn answer(lease: &SqliteLease, outcome: Outcome) -> Result<(), PortError> {
    let bus = Arc::clone(&lease.bus);
    let signals = Arc::clone(&lease.signals);
    let subscription = lease.subscription;
    let hold = lease.hold.clone();
    let attempts = lease.attempts;
    let answered = lease
        .bus
        .database
        .write_then(
            async move |connection| {
                let now = bus.now_millis();
                match &outcome {
                    Outcome::Done => done(connection, &bus, &subscription, &hold, now).await,
                    Outcome::Fail(reason) => fail(connection, &bus, &subscription, &hold, reason, now).await,
                    Outcome::Retry { after, .. } => {
                        let wait = after.unwrap_or_else(|| backoff(&subscription, attempts, hold.seq));
                        let at = now.saturating_add(millis(wait));
                        again(connection, &bus, &subscription, &hold, at, 0, now).await
                    }
                    // Here the earlier one always comes first.
                    Outcome::Behind { after, .. } => {
                        again(connection, &bus, &subscription, &hold, now.saturating_add(millis(*after)), 1, now).await
                    }
                    Outcome::HandBack => again(connection, &bus, &subscription, &hold, now, 1, now).await,
                }
            },
            move |answered| {
                if let Answered::Kept(Some(readied)) = answered {
                    signals.announce(*readied);
                }
            },
        )
        .await?;
    if matches!(answered, Answered::LeaseLost) {
        debug!(bus.subscription = subscription.name, "answered after the lease was lost: nothing changes");
    }
    Ok(())
}

async fn done(
    connection: &mut SqliteConnection,
    bus: &Inner,
    subscription: &Subscription,
    hold: &Hold,
    now: i64,
) -> sqlx::Result<Answered> {
    match remove(connection, subscription, hold).await? {
        Some(removed) => next_of_key(connection, bus, subscription, hold, removed.followed, now).await,
        None => Ok(Answered::LeaseLost),
    }
}

async fn fail(
    connection: &mut SqliteConnection,
    bus: &Inner,
    subscription: &Subscription,
    hold: &Hold,
    reason: &Reason,
    now: i64,
) -> sqlx::Result<Answered> {
    let Some(removed) = remove(connection, subscription, hold).await? else { return Ok(Answered::LeaseLost) };
    sqlx::query!(
        "INSERT INTO bus_dead_letters (subscription, seq, reason_code, reason_message, attempts, dead_at, replay)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        subscription.name,
        hold.seq,
        reason.code,
        reason.message,
        removed.attempts,
        now,
        removed.replay
    )
    .execute(&mut *connection)
    .await?;
    next_of_key(connection, bus, subscription, hold, removed.followed, now).await
}

/// It keeps its place at the head of its key.
async fn again(
    connection: &mut SqliteConnection,
    bus: &Inner,
    subscription: &Subscription,
    hold: &Hold,
    at: i64,
    uncounted: i64,
    now: i64,
) -> sqlx::Result<Answered> {
    let updated = sqlx::query!(
        "UPDATE bus_deliveries SET lease = NULL, ready_at = ?, attempts = attempts - ?, unanswered = 0
         WHERE subscription = ? AND ordering_key = ? AND seq = ? AND lease = ?",
        at,
        uncounted,
        subscription.name,
        hold.ordering_key,
        hold.seq,
        hold.token
    )
    .execute(connection)
    .await?;
    Ok(match updated.rows_affected() {
        0 => Answered::LeaseLost,
        _ => Answered::Kept(Some(bus.readied(at, now))),
    })
}

struct Removed {
    attempts: i64,
    /// The mark of the redrive that delivered it.
    replay: Option<String>,
    /// Whether another message of its key waits.
    followed: bool,
}

async fn remove(
    connection: &mut SqliteConnection,
    subscription: &Subscription,
    hold: &Hold,
) -> sqlx::Result<Option<Removed>> {
    sqlx::query_as!(
        Removed,
        r#"DELETE FROM bus_deliveries WHERE subscription = ?1 AND ordering_key = ?2 AND seq = ?3 AND lease = ?4
           RETURNING attempts, replay, EXISTS (
               SELECT 1 FROM bus_deliveries n WHERE n.subscription = ?1 AND n.ordering_key = ?2 AND n.seq <> ?3
           ) AS "followed!: bool""#,
        subscription.name,
        hold.ordering_key,
        hold.seq,
        hold.token
    )
    .fetch_optional(connection)
    .await
}

/// The head is gone: the earliest of those that wait takes its place.
async fn next_of_key(
    connection: &mut SqliteConnection,
    bus: &Inner,
    subscription: &Subscription,
    hold: &Hold,
    followed: bool,
    now: i64,
) -> sqlx::Result<Answered> {
    if !followed {
        return Ok(Answered::Kept(None));
    }
    let ready_at = sqlx::query_scalar!(
        "UPDATE bus_deliveries SET head = 1 WHERE subscription = ?1 AND ordering_key = ?2 AND seq = (
             SELECT min(seq) FROM bus_deliveries WHERE subscription = ?1 AND ordering_key = ?2)
         RETURNING ready_at",
        subscription.name,
        hold.ordering_key
    )
    .fetch_optional(connection)
    .await?;
    Ok(Answered::Kept(ready_at.map(|at| bus.readied(at, now))))
}
