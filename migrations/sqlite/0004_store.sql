-- persist-worker's durable record of what was asked and answered. Written by idempotent upserts, read scoped by user.
CREATE TABLE users (
    id            TEXT    PRIMARY KEY NOT NULL,
    first_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A `…_rev` names the change that a field's value came from ("milliseconds.change id"): the greatest one wins.
CREATE TABLE sessions (
    id               TEXT    PRIMARY KEY NOT NULL,
    user_id          TEXT    NOT NULL,
    heading          TEXT,
    heading_rev      TEXT,
    instructions     TEXT,
    instructions_rev TEXT,
    metadata         TEXT,    -- a JSON object
    metadata_rev     TEXT,
    created_at       INTEGER NOT NULL, -- the earliest event that names the session
    updated_at       INTEGER NOT NULL, -- the latest
    deleted_at       INTEGER           -- a tombstone: nothing of the session comes back
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id, created_at, id) WHERE deleted_at IS NULL;

-- The task's status is the status of both its messages; they hold none of their own.
CREATE TABLE tasks (
    id               TEXT    PRIMARY KEY NOT NULL,
    user_id          TEXT    NOT NULL,
    session_id       TEXT    NOT NULL,
    message_id       TEXT,
    reply_message_id TEXT,
    status           TEXT    NOT NULL CHECK (status IN ('queued', 'completed', 'failed', 'cancelled')),
    attempt          INTEGER NOT NULL,
    requested_model  TEXT,
    fingerprint      TEXT,
    provider         TEXT,
    model            TEXT,
    input_tokens     INTEGER,
    output_tokens    INTEGER,
    cached_tokens    INTEGER,
    accepted_at      INTEGER, -- null while only the reply has been seen, and it did not say
    started_at       INTEGER,
    first_token_at   INTEGER,
    finished_at      INTEGER,
    error_code       TEXT,
    error_message    TEXT,
    error_retryable  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_by_session ON tasks (session_id);

-- One message of each side per task.
CREATE TABLE messages (
    task_id    TEXT    NOT NULL,
    role       TEXT    NOT NULL CHECK (role IN ('user', 'assistant')),
    id         TEXT    NOT NULL,
    session_id TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    content    TEXT    NOT NULL,
    metadata   TEXT,             -- the client's own, at a user's message
    created_at INTEGER NOT NULL,
    sorts_at   INTEGER NOT NULL, -- microseconds; a reply sorts after its message, whatever the clocks said
    PRIMARY KEY (task_id, role)
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_by_session ON messages (session_id, sorts_at, id);

-- Written and emptied by the readiness check, which thereby needs room: a full disk shows before a message is refused.
CREATE TABLE write_probe (
    only_row INTEGER PRIMARY KEY NOT NULL CHECK (only_row = 1),
    filler   BLOB    NOT NULL
) STRICT;
