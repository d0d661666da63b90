//! Takes back what was said in a deleted session, and all that an erased user has sent.
//!
//! The events of a deleted session stay, so that those which wait are answered and duplicates are known, but without what was
//! said in them; the session's dead letters go. They are found by their ids, which begin with the session's or a task's, and
//! need no index of their own.

use std::sync::Arc;

use parlance_shared::{UserId, port::PortError};
use sqlx::SqliteConnection;

use super::{Inner, signals::Readied};

/// Messages looked at in one transaction: bounds how long other writes wait.
const BATCH: i64 = 2000;

/// Within the caller's transaction.
pub(crate) async fn forget_session(connection: &mut SqliteConnection, session: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM bus_dead_letters
         WHERE seq IN (SELECT l.seq FROM bus_dead_letters AS l JOIN bus_messages AS m ON m.seq = l.seq
                       WHERE m.ordering_key = ?)",
        session
    )
    .execute(&mut *connection)
    .await?;
    // What is set must be there, or an event could not be read any more; what may be absent is removed.
    sqlx::query!(
        "UPDATE bus_messages
         SET event = json_remove(
             json_replace(event, '$.data.content', '', '$.data.heading', '', '$.data.instructions', '',
                 '$.data.task.reply.content', '', '$.data.summary.text', ''),
             '$.data.model', '$.data.metadata', '$.data.input', '$.data.fingerprint', '$.data.task.error', '$.data.task.tool_calls', '$.data.task.prompt', '$.data.task.attempts')
         WHERE seq IN (
             WITH ids (id) AS (
                 SELECT ?1 UNION SELECT task_id FROM turns WHERE session_id = ?1
                 UNION SELECT id FROM tasks WHERE session_id = ?1)
             SELECT m.seq FROM ids CROSS JOIN (SELECT DISTINCT topic FROM bus_subscriptions) AS t
             CROSS JOIN bus_messages AS m
             WHERE m.topic = t.topic AND m.event_id > ids.id AND m.event_id < ids.id || '~'
             UNION
             SELECT d.seq FROM bus_subscriptions AS s CROSS JOIN bus_deliveries AS d
             WHERE d.subscription = s.name AND d.ordering_key = ?1)",
        session
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// All of a user's that was published until then, and what is left of their erased sessions.
pub(super) async fn forget_user(bus: &Arc<Inner>, user: &UserId, until: i64) -> Result<u64, PortError> {
    let (mut forgotten, mut from) = (0, i64::MIN);
    loop {
        let (user, in_job, to_wake) = (user.clone(), Arc::clone(bus), Arc::clone(bus));
        let job = async move |connection: &mut SqliteConnection| {
            let batch = forget_batch(connection, user.as_str(), until, from).await?;
            let now = in_job.now_millis();
            Ok((batch, in_job.readied(now, now)))
        };
        let wake = move |(_, readied): &(_, Readied)| to_wake.each_consumer(|_, signals| signals.announce(*readied));
        let ((in_batch, last), _) = bus.database.write_then(job, wake).await?;
        forgotten += in_batch;
        match last {
            Some(last) => from = last,
            None => return Ok(forgotten),
        }
    }
}

/// One batch behind `from`; gives where it ended unless it was the last.
async fn forget_batch(
    connection: &mut SqliteConnection,
    user: &str,
    until: i64,
    from: i64,
) -> sqlx::Result<(u64, Option<i64>)> {
    let last =
        sqlx::query_scalar!("SELECT seq FROM bus_messages WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?", from, BATCH)
            .fetch_optional(&mut *connection)
            .await?;
    let to = last.unwrap_or(i64::MAX);
    let theirs = sqlx::query!(
        r#"SELECT seq, ordering_key FROM bus_messages AS m
           WHERE seq > ?1 AND seq <= ?2 AND json_extract(event, '$.data.user_id') = ?3
               AND (published_at <= ?4
                   OR EXISTS (SELECT 1 FROM sessions AS s WHERE s.id = m.ordering_key AND s.user_id = ''))"#,
        from,
        to,
        user,
        until
    )
    .fetch_all(&mut *connection)
    .await?;
    for message in &theirs {
        sqlx::query!(
            "DELETE FROM bus_deliveries
             WHERE subscription IN (SELECT name FROM bus_subscriptions) AND ordering_key = ? AND seq = ?",
            message.ordering_key,
            message.seq
        )
        .execute(&mut *connection)
        .await?;
        // It may have been the head that others wait for.
        sqlx::query!(
            "UPDATE bus_deliveries SET head = 1
             WHERE subscription IN (SELECT name FROM bus_subscriptions) AND ordering_key = ?1 AND head = 0
                 AND seq = (SELECT min(d.seq) FROM bus_deliveries AS d
                            WHERE d.subscription = bus_deliveries.subscription AND d.ordering_key = ?1)",
            message.ordering_key
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!("DELETE FROM bus_dead_letters WHERE seq = ?", message.seq).execute(&mut *connection).await?;
        sqlx::query!("DELETE FROM bus_messages WHERE seq = ?", message.seq).execute(&mut *connection).await?;
    }
    Ok((u64::try_from(theirs.len()).unwrap_or_default(), last))
}
