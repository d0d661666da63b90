//! Reads messages: what the user said and what the model said, one of each per task. Where they stand is their task's to
//! say.

use futures_util::TryStreamExt as _;
use parlance_shared::{
    SessionId, UserId,
    content::TurnInput,
    message::{Message, Role},
    page::{Page, PagePosition, PageRequest},
    task::{TaskDetails, Timings},
};
use sqlx::PgConnection;

use super::{
    page_builder::PageBuilder,
    values::{id, status, usage},
};
use crate::text::{from_sql, to_sql};

/// Which messages are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branches {
    /// Those that no later turn stands in for.
    Current,
    /// All.
    All,
}

/// Positions name microseconds.
pub(super) async fn list(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    branches: Branches,
    page: &PageRequest,
) -> sqlx::Result<Page<Message>> {
    let (after_at, after_id) =
        page.from.as_ref().map_or((i64::MIN, "".into()), |position| (position.at, to_sql(&position.id)));
    let all = branches == Branches::All;
    let mut builder = PageBuilder::new(page.limit);
    let mut rows = sqlx::query!(
        r#"SELECT m.id, m.task_id, m.role, m.content, m.created_at, m.sorts_at, m.input, t.status, t.input_tokens,
               t.output_tokens, t.cached_tokens, t.accepted_at, t.started_at, t.first_token_at, t.finished_at, t.details,
               (SELECT b.task_id FROM branches AS b
                WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at
                ORDER BY b.at, b.task_id LIMIT 1) AS "superseded_by?"
           FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
           WHERE m.session_id = $1 AND m.user_id = $2 AND (m.sorts_at, m.id) > ($3, $4)
               AND ($6 OR NOT EXISTS (SELECT FROM branches AS b
                    WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at))
           ORDER BY m.sorts_at, m.id LIMIT $5"#,
        session.to_string(),
        &*to_sql(user.as_str()),
        after_at,
        &*after_id,
        builder.rows_to_read(),
        all
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if builder.is_full() {
            return Ok(builder.finish_with_more());
        }
        let role = if row.role == Role::User.as_str() { Role::User } else { Role::Assistant };
        let timings = Timings::from_instants(row.accepted_at, row.started_at, row.first_token_at, row.finished_at);
        let at_reply = role == Role::Assistant;
        let input = TurnInput::from_column(row.input.as_deref()).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let details = if at_reply { TaskDetails::from_column(row.details.as_deref()) } else { TaskDetails::default() };
        let superseded_by = row.superseded_by.as_deref().map(id).transpose()?;
        let bytes = row.content.len() + row.input.map_or(0, |input| input.len());
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
            parts: input.parts,
            tool_results: input.tool_results,
            tool_calls: details.tool_calls,
            superseded_by: all.then_some(superseded_by),
        };
        builder.push(message, bytes, PagePosition { at: row.sorts_at, id: row.id });
    }
    Ok(builder.finish())
}
