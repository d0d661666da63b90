//! Whether a turn that was to be the only one of its session came after another.
//!
//! The one that is claimed first is answered, in whatever order they were accepted. What was claimed by then, and that it
//! ended later, stays true: so redelivery finds the same.

use chrono::{DateTime, Utc};
use parlance_shared::{
    port::{PortError, turns::Claim},
    task::codes,
};

use super::SqliteTurns;
use crate::database::port_error;

pub(super) async fn is_too_many(
    turns: &SqliteTurns,
    claim: &Claim,
    looked_at: DateTime<Utc>,
) -> Result<bool, PortError> {
    let (task, session) = (claim.task_id.to_string(), claim.session_id.to_string());
    let looked_at = looked_at.timestamp_millis();
    let mut connection = turns.database.read().await?;
    // What an operator has had answered anew has no times of its own to judge by.
    let row = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT 1 FROM turns AS this JOIN turns AS other ON other.session_id = this.session_id
               WHERE this.task_id = ?1 AND this.session_id = ?2 AND other.task_id <> this.task_id
                   AND other.started_at <= this.started_at AND other.reopened_by IS NULL
                   AND other.error_code IS NOT ?4
                   AND (other.finished_at IS NULL OR other.finished_at > min(?3, this.started_at))
           ) AS "is_too_many!: bool""#,
        task,
        session,
        looked_at,
        codes::SESSION_BUSY
    );
    row.fetch_one(&mut *connection).await.map_err(port_error)
}
