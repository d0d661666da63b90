//! Reads messages: what the user said and what the model said, one of each per task. Where they stand is their task's to
//! say.

use futures_util::TryStreamExt as _;
use parlance_shared::{
    SessionId, UserId,
    message::{Message, Role},
    page::{Page, PagePosition, PageRequest},
    task::Timings,
};
use sqlx::PgConnection;

use super::{
    page_builder::PageBuilder,
    values::{id, status, usage},
};
use crate::text::{from_sql, to_sql};

/// Positions name microseconds.
pub(super) async fn list(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    page: &PageRequest,
) -> sqlx::Result<Page<Message>> {
    let (after_at, after_id) =
        page.from.as_ref().map_or((i64::MIN, "".into()), |position| (position.at, to_sql(&position.id)));
    let mut builder = PageBuilder::new(page.limit);
    let mut rows = sqlx::query!(
        "SELECT m.id, m.task_id, m.role, m.content, m.created_at, m.sorts_at, t.status, t.input_tokens, t.output_tokens,
             t.cached_tokens, t.accepted_at, t.started_at, t.first_token_at, t.finished_at
         FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
         WHERE m.session_id = $1 AND m.user_id = $2 AND (m.sorts_at, m.id) > ($3, $4)
         ORDER BY m.sorts_at, m.id LIMIT $5",
        session.to_string(),
        &*to_sql(user.as_str()),
        after_at,
        &*after_id,
        builder.rows_to_read()
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if builder.is_full() {
            return Ok(builder.finish_with_more());
        }
        let role = if row.role == Role::User.as_str() { Role::User } else { Role::Assistant };
        let timings = Timings::from_instants(row.accepted_at, row.started_at, row.first_token_at, row.finished_at);
        let at_reply = role == Role::Assistant;
        let message = Message {
            id: id(&row.id)?,
            session_id: session,
            task_id: id(&row.task_id)?,
            role,
            content: from_sql(row.content),
            status: status(&row.status)?,
            usage: at_reply.then(|| usage(row.input_tokens, row.output_tokens, row.cached_tokens)),
            timings: at_reply.then_some(timings),
            created_at: row.created_at,
        };
        let bytes = message.content.len();
        builder.push(message, bytes, PagePosition { at: row.sorts_at, id: row.id });
    }
    Ok(builder.finish())
}
