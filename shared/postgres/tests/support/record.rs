//! The record as it is stored.

use super::{TestDatabase, connect};

/// Every row of the record.
pub async fn dump(database: &TestDatabase) -> Vec<String> {
    let mut connection = connect(&database.admin).await;
    sqlx::query_scalar(
        "SELECT row::text FROM (
             SELECT to_json(t) AS row FROM users AS t UNION ALL SELECT to_json(t) FROM sessions AS t
             UNION ALL SELECT to_json(t) FROM tasks AS t UNION ALL SELECT to_json(t) FROM messages AS t
         ) AS rows ORDER BY row::text COLLATE \"C\"",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}
