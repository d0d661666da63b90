//! Whether a turn that was to be the only one of its session came after another.
//!
//! The one that is claimed first is answered, in whatever order they were accepted. What was claimed by then, and that it
//! ended later, stays true: so redelivery finds the same. All times are the database's.

use chrono::{DateTime, Utc};
use parlance_shared::{
    port::{PortError, turns::Claim},
    task::codes,
};
use sqlx::PgConnection;

use super::PostgresTurns;

pub(super) async fn is_too_many(
    turns: &PostgresTurns,
    claim: &Claim,
    looked_at: DateTime<Utc>,
) -> Result<bool, PortError> {
    let asked = (claim, looked_at);
    turns.database.run(&asked, |connection, (claim, looked_at)| Box::pin(look(connection, claim, *looked_at))).await
}

async fn look(connection: &mut PgConnection, claim: &Claim, looked_at: DateTime<Utc>) -> sqlx::Result<bool> {
    // What an operator has had answered anew has no times of its own to judge by.
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM turns AS this JOIN turns AS other ON other.session_id = this.session_id
               WHERE this.task_id = $1 AND this.session_id = $2 AND other.task_id <> this.task_id
                   AND other.started_at <= this.started_at AND other.reopened_by = '{}'
                   AND other.error_code IS DISTINCT FROM $4
                   AND (other.finished_at IS NULL OR other.finished_at > least($3, this.started_at))
           ) AS "is_too_many!""#,
        claim.task_id.to_string(),
        claim.session_id.to_string(),
        looked_at,
        codes::SESSION_BUSY
    )
    .fetch_one(connection)
    .await
}
