//! What is stored of a user, session by session, in pages that are bounded in rows and bytes.

use futures_util::TryStreamExt as _;
use parlance_shared::{
    UserId,
    event::Strategy,
    message::Role,
    port::users::{ExportPage, ExportPart, ExportPosition, Exported, UserCounts},
    task::{Reply, Task, TaskDetails, TaskError},
};
use sqlx::SqliteConnection;

use crate::{
    store::values::{id, metadata, status, time, timings, usage},
    turns::row,
};

const ROWS: i64 = 200;
/// Bounds what one page holds in memory, but for the rows that were read together.
const BYTES: usize = 2 << 20;
/// What a line has beside its texts, about.
const LINE: usize = 200;

pub(super) async fn count(connection: &mut SqliteConnection, user: &UserId) -> sqlx::Result<UserCounts> {
    let user = user.as_str();
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM sessions WHERE user_id = ?1) AS "sessions!: i64",
                  (SELECT count(*) FROM messages WHERE user_id = ?1 AND session_id IN
                      (SELECT id FROM sessions WHERE user_id = ?1)) AS "messages!: i64",
                  (SELECT count(*) FROM tasks WHERE user_id = ?1) AS "tasks!: i64",
                  (SELECT count(*) FROM summaries WHERE user_id = ?1 AND version > 0) AS "summaries!: i64",
                  (SELECT count(*) FROM branches WHERE user_id = ?1 AND session_id IN
                      (SELECT id FROM sessions WHERE user_id = ?1)) AS "branches!: i64",
                  (SELECT count(*) FROM turns WHERE user_id = ?1) AS "turns!: i64",
                  (SELECT count(*) FROM checkpoints WHERE user_id = ?1) AS "checkpoints!: i64",
                  (SELECT count(*) FROM api_keys WHERE user_id = ?1) AS "keys!: i64""#,
        user
    )
    .fetch_one(connection)
    .await?;
    let natural = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(UserCounts {
        sessions: natural(row.sessions),
        messages: natural(row.messages),
        tasks: natural(row.tasks),
        summaries: natural(row.summaries),
        branches: natural(row.branches),
        turns: natural(row.turns),
        checkpoints: natural(row.checkpoints),
        keys: natural(row.keys),
    })
}

pub(super) async fn page(
    connection: &mut SqliteConnection,
    user: &UserId,
    after: Option<&ExportPosition>,
) -> sqlx::Result<ExportPage> {
    let mut walk = Walk { connection, user: user.as_str(), lines: Vec::new(), bytes: 0 };
    let mut at = match after {
        Some(at) => at.clone(),
        None => {
            walk.user_line(user).await?;
            ExportPosition { session: String::new(), part: ExportPart::End, key: String::new() }
        }
    };
    while walk.bytes < BYTES && walk.lines.len() < ROWS as usize {
        at = match at.part {
            ExportPart::End => match walk.session_after(&at.session).await? {
                Some(session) => ExportPosition { session, part: ExportPart::Session, key: String::new() },
                None => return Ok(ExportPage { lines: walk.lines, next: None }),
            },
            part => match walk.part(part, &at.session, &at.key).await? {
                Some(key) => ExportPosition { key, ..at },
                None => ExportPosition { part: part.next(), key: String::new(), ..at },
            },
        };
    }
    Ok(ExportPage { lines: walk.lines, next: Some(at) })
}

struct Walk<'a> {
    connection: &'a mut SqliteConnection,
    user: &'a str,
    lines: Vec<Exported>,
    bytes: usize,
}

impl Walk<'_> {
    fn push(&mut self, line: Exported, bytes: usize) {
        self.lines.push(line);
        self.bytes += bytes + LINE;
    }

    async fn user_line(&mut self, user: &UserId) -> sqlx::Result<()> {
        let seen = sqlx::query_scalar!("SELECT first_seen_at FROM users WHERE id = ?", self.user)
            .fetch_optional(&mut *self.connection)
            .await?;
        if let Some(at) = seen {
            self.push(Exported::User { id: user.clone(), first_seen_at: time(at)? }, 0);
        }
        Ok(())
    }

    async fn session_after(&mut self, session: &str) -> sqlx::Result<Option<String>> {
        sqlx::query_scalar!(
            r#"SELECT min(id) AS "id?: String" FROM (
                   SELECT min(id) AS id FROM sessions WHERE user_id = ?1 AND id > ?2
                   UNION ALL SELECT min(session_id) FROM checkpoints WHERE user_id = ?1 AND session_id > ?2
                   UNION ALL SELECT min(session_id) FROM turns WHERE user_id = ?1 AND session_id > ?2)"#,
            self.user,
            session
        )
        .fetch_one(&mut *self.connection)
        .await
    }

    /// Some of a part behind `key`; gives the last one's key if there may be more.
    async fn part(&mut self, part: ExportPart, session: &str, key: &str) -> sqlx::Result<Option<String>> {
        match part {
            ExportPart::Session => self.session(session).await.map(|()| None),
            ExportPart::Messages => self.messages(session, key).await,
            ExportPart::Tasks => self.tasks(session, key).await,
            ExportPart::Rest => self.rest(session).await.map(|()| None),
            ExportPart::Turns => self.turns(session, key).await,
            ExportPart::End => Ok(None),
        }
    }

    async fn session(&mut self, session: &str) -> sqlx::Result<()> {
        let row = sqlx::query!(
            "SELECT heading, instructions, metadata, strategy, created_at, updated_at, deleted_at
             FROM sessions WHERE id = ? AND user_id = ?",
            session,
            self.user
        )
        .fetch_optional(&mut *self.connection)
        .await?;
        if let Some(row) = row {
            let bytes = [&row.heading, &row.instructions, &row.metadata].into_iter().flatten().map(String::len).sum();
            let line = Exported::Session {
                id: id(session)?,
                heading: row.heading,
                instructions: row.instructions,
                metadata: metadata(row.metadata)?,
                strategy: row.strategy.as_deref().and_then(Strategy::from_word),
                created_at: time(row.created_at)?,
                updated_at: time(row.updated_at)?,
                deleted_at: row.deleted_at.map(time).transpose()?,
            };
            self.push(line, bytes);
        }
        let row = sqlx::query!(
            "SELECT version, checkpoint, saved_at FROM checkpoints WHERE session_id = ? AND user_id = ?",
            session,
            self.user
        )
        .fetch_optional(&mut *self.connection)
        .await?;
        if let Some(row) = row {
            let bytes = row.checkpoint.len();
            let line = Exported::Checkpoint {
                session_id: id(session)?,
                version: row.version,
                checkpoint: json(&row.checkpoint)?,
                saved_at: time(row.saved_at)?,
            };
            self.push(line, bytes);
        }
        Ok(())
    }

    async fn messages(&mut self, session: &str, key: &str) -> sqlx::Result<Option<String>> {
        let (sorts_at, after) = key.split_once(' ').unwrap_or_default();
        let sorts_at: i64 = sorts_at.parse().unwrap_or(i64::MIN);
        let mut rows = sqlx::query!(
            "SELECT id, task_id, role, content, metadata, input, created_at, sorts_at FROM messages
             WHERE session_id = ?1 AND user_id = ?2 AND (sorts_at, id) > (?3, ?4) ORDER BY sorts_at, id LIMIT ?5",
            session,
            self.user,
            sorts_at,
            after,
            ROWS
        )
        .fetch(&mut *self.connection);
        let (mut count, mut last) = (0, None);
        // A message may be large: no more of them are read than a page has room for.
        while self.bytes < BYTES
            && let Some(row) = rows.try_next().await?
        {
            count += 1;
            last = Some(format!("{} {}", row.sorts_at, row.id));
            let bytes = row.content.len() + row.input.as_ref().map_or(0, String::len);
            let line = Exported::Message {
                id: id(&row.id)?,
                session_id: id(session)?,
                task_id: id(&row.task_id)?,
                role: if row.role == Role::User.as_str() { Role::User } else { Role::Assistant },
                content: row.content,
                metadata: metadata(row.metadata)?,
                input: row.input.as_deref().map(json).transpose()?,
                created_at: time(row.created_at)?,
            };
            self.lines.push(line);
            self.bytes += bytes + LINE;
        }
        let more = count == ROWS || self.bytes >= BYTES;
        Ok(last.filter(|_| more))
    }

    async fn tasks(&mut self, session: &str, key: &str) -> sqlx::Result<Option<String>> {
        let rows = sqlx::query!(
            "SELECT id, message_id, reply_message_id, status, attempt, requested_model, fingerprint, provider, model,
                 input_tokens, output_tokens, cached_tokens, accepted_at, started_at, first_token_at, finished_at,
                 error_code, error_message, error_retryable, details,
                 (SELECT hidden_at FROM hidden_responses WHERE task_id = tasks.id) AS hidden_at
             FROM tasks WHERE session_id = ?1 AND user_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            session,
            self.user,
            key,
            ROWS
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let more = rows.len() as i64 == ROWS;
        let last = rows.last().map(|row| row.id.clone());
        for row in rows {
            let bytes = row.details.as_ref().map_or(0, String::len);
            let error = row.error_code.map(|code| TaskError {
                code,
                message: row.error_message.unwrap_or_default(),
                retryable: row.error_retryable == Some(1),
            });
            let task = Task {
                session_id: Some(id(session)?),
                message_id: row.message_id.as_deref().map(id).transpose()?,
                status: status(&row.status)?,
                attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
                reply: Reply {
                    message_id: row.reply_message_id.as_deref().map(id).transpose()?,
                    content: String::new(),
                },
                provider: row.provider,
                model: row.model,
                usage: usage(row.input_tokens, row.output_tokens, row.cached_tokens),
                timings: timings(row.accepted_at, row.started_at, row.first_token_at, row.finished_at)?,
                error,
                details: TaskDetails::from_column(row.details.as_deref()),
                ..Task::queued(id(&row.id)?)
            };
            let line = Exported::Task {
                requested_model: row.requested_model,
                fingerprint: row.fingerprint,
                hidden_at: row.hidden_at.map(time).transpose()?,
                task: Box::new(task),
            };
            self.push(line, bytes);
        }
        Ok(last.filter(|_| more))
    }

    /// Few of them in a session.
    async fn rest(&mut self, session: &str) -> sqlx::Result<()> {
        let summaries = sqlx::query!(
            "SELECT version, text, through, turns, model, input_tokens, output_tokens, cached_tokens, made_at
             FROM summaries WHERE session_id = ? AND user_id = ? AND version > 0 ORDER BY version",
            session,
            self.user
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for row in summaries {
            let bytes = row.text.len();
            let line = Exported::Summary {
                session_id: id(session)?,
                version: row.version,
                text: row.text,
                through: row.through,
                turns: row.turns,
                model: row.model,
                usage: usage(row.input_tokens, row.output_tokens, row.cached_tokens),
                made_at: time(row.made_at)?,
            };
            self.push(line, bytes);
        }
        let branches = sqlx::query!(
            "SELECT task_id, replaces, from_at, at FROM branches WHERE session_id = ? AND user_id = ? ORDER BY at, task_id",
            session,
            self.user
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for row in branches {
            let line = Exported::Branch {
                task_id: id(&row.task_id)?,
                session_id: id(session)?,
                replaces: id(&row.replaces)?,
                from_at: time(row.from_at)?,
                at: time(row.at)?,
            };
            self.push(line, 0);
        }
        Ok(())
    }

    async fn turns(&mut self, session: &str, key: &str) -> sqlx::Result<Option<String>> {
        let ids = sqlx::query_scalar!(
            "SELECT task_id FROM turns WHERE session_id = ?1 AND user_id = ?2 AND task_id > ?3 ORDER BY task_id LIMIT ?4",
            session,
            self.user,
            key,
            ROWS
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let full = ids.len() as i64 == ROWS;
        let (mut last, mut left) = (None, ids.len());
        for key in ids {
            if self.bytes >= BYTES {
                break;
            }
            left -= 1;
            let task = id(&key)?;
            last = Some(key);
            let Some(row) = row::load(&mut *self.connection, task).await? else { continue };
            let mut shown = row.task(task)?;
            if !row.has_ended() {
                shown.set_log_text(&row::stored_text(&mut *self.connection, task, row.attempt).await?);
            }
            let bytes = shown.reply.content.len();
            self.push(Exported::Turn { fingerprint: row.fingerprint, task: Box::new(shown) }, bytes);
        }
        Ok(last.filter(|_| left > 0 || full))
    }
}

fn json(text: &str) -> sqlx::Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
