//! The reader's queries: segments by their number, the latest segments, turns with their stored text.

use std::collections::HashMap;

use parlance_shared::{TaskId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{live::Stored, overlap::assemble};
use crate::{
    text::from_sql,
    turns::row::{self, TurnRow},
};

/// Plans don't depend on what the statistics say of tables that fill and empty.
pub(super) const SESSION: [(&str, &str); 3] =
    [("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off")];

/// Most segments of a writer per query: bounds what one answer holds.
pub(super) const AT_ONCE: i64 = 64;
/// Most segments to begin with.
const LATEST: i64 = 2_000;

/// Segments of one writer to fetch: all after `after` up to `upto`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) writer: Uuid,
    pub(super) after: i64,
    pub(super) upto: i64,
}

/// A segment as it is stored.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) writer: Uuid,
    pub(super) flush_no: i64,
    pub(super) payload: Vec<u8>,
}

/// Fetches segments that lie in these two slots, which may be the same.
pub(super) async fn fetch(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    slots: (i16, i16),
) -> sqlx::Result<Vec<Fetched>> {
    let writers: Vec<Uuid> = wanted.iter().map(|wanted| wanted.writer).collect();
    let after: Vec<i64> = wanted.iter().map(|wanted| wanted.after).collect();
    let upto: Vec<i64> = wanted.iter().map(|wanted| wanted.upto).collect();
    sqlx::query_as!(
        Fetched,
        r#"SELECT segment.writer, segment.flush_no, segment.payload
           FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS wanted (writer, after, upto)
           CROSS JOIN LATERAL (
               SELECT * FROM reply_segments
               WHERE (slot = $4 OR slot = $5) AND reply_segments.writer = wanted.writer
                   AND flush_no > wanted.after AND flush_no <= wanted.upto
               ORDER BY flush_no
           ) AS segment"#,
        &writers,
        &after,
        &upto,
        slots.0,
        slots.1
    )
    .fetch_all(connection)
    .await
}

/// The segments of the last seconds, oldest first.
pub(super) async fn latest(connection: &mut PgConnection) -> sqlx::Result<Vec<Fetched>> {
    sqlx::query_as!(
        Fetched,
        r#"SELECT writer AS "writer!", flush_no AS "flush_no!", payload AS "payload!"
           FROM (
               SELECT * FROM reply_segments
               WHERE (slot = parlance_segment_slot(now()) OR slot = parlance_segment_slot(now() - interval '3 seconds'))
                   AND written_at > now() - interval '3 seconds'
               ORDER BY written_at DESC
               LIMIT $1
           ) AS latest
           ORDER BY written_at, flush_no"#,
        LATEST
    )
    .fetch_all(connection)
    .await
}

/// Turns by task; those that can't be read as errors of their own.
pub(super) type Loaded = HashMap<TaskId, sqlx::Result<Stored>>;

/// Turns as they are stored, those that run with their text.
pub(super) async fn load(connection: &mut PgConnection, tasks: &[TaskId]) -> sqlx::Result<Loaded> {
    let rows = row::load_all(connection, tasks).await?;
    let running = rows.iter().filter(|row| !row.has_ended() && row.attempt > 0);
    let mut texts = row::stored_texts(connection, running).await?;
    let turns = rows.into_iter().filter_map(|row| {
        let id = row.task_id.parse().ok()?;
        let text = texts.remove(&row.task_id).unwrap_or_default();
        Some((id, stored(id, row, text)))
    });
    Ok(turns.collect())
}

fn stored(id: TaskId, mut row: TurnRow, pieces: Vec<(u64, Vec<u8>)>) -> sqlx::Result<Stored> {
    let end = if row.has_ended() { Some(row.take_task(id)?) } else { None };
    Ok(Stored {
        text: end.as_ref().map_or_else(|| assemble(pieces), |task| task.log_text().into_owned()),
        end,
        attempt: row.attempt(),
        expired: row.reply_expired,
        erased: row.session_deleted,
        user: UserId::new(from_sql(row.user_id)),
        reset_reason: from_sql(row.reset_reason),
    })
}
