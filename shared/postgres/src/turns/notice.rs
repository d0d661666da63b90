//! Notices that a transaction sends with its commit.

use sqlx::PgConnection;

use crate::log::{Notice, TURNS_CHANNEL};

pub(crate) async fn send(connection: &mut PgConnection, notices: &[Notice]) -> sqlx::Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    let payloads: Vec<String> = notices.iter().map(Notice::to_string).collect();
    sqlx::query!(
        "SELECT count(pg_notify($1, notice)::text) FROM unnest($2::text[]) AS notice",
        TURNS_CHANNEL,
        &payloads
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}
