-- persist-worker's durable record of what was asked and answered. Written by idempotent upserts, read scoped by user.
-- Ids and names compare byte by byte, whatever the database's collation: pages and revisions rely on that order.
-- Text that people or models wrote is stored as shared/postgres/src/text.rs says.
CREATE TABLE users (
    id            text        COLLATE "C" PRIMARY KEY,
    first_seen_at timestamptz NOT NULL
);

-- A `…_rev` names the change that a field's value came from ("milliseconds.change id"): the greatest one wins.
-- Rows change with each message; the free room keeps the changes out of the indexes.
CREATE TABLE sessions (
    id               text        COLLATE "C" PRIMARY KEY,
    user_id          text        COLLATE "C" NOT NULL,
    heading          text,
    heading_rev      text        COLLATE "C",
    instructions     text,
    instructions_rev text        COLLATE "C",
    metadata         json,                 -- an object, as the client wrote it
    metadata_rev     text        COLLATE "C",
    created_at       timestamptz NOT NULL, -- the earliest event that names the session
    updated_at       timestamptz NOT NULL, -- the latest
    deleted_at       timestamptz           -- a tombstone: nothing of the session comes back
) WITH (fillfactor = 80);

CREATE INDEX sessions_by_user ON sessions (user_id, created_at, id) WHERE deleted_at IS NULL;

-- The task's status is the status of both its messages; they hold none of their own.
CREATE TABLE tasks (
    id               text        COLLATE "C" PRIMARY KEY,
    user_id          text        COLLATE "C" NOT NULL,
    session_id       text        COLLATE "C" NOT NULL,
    message_id       text        COLLATE "C",
    reply_message_id text        COLLATE "C",
    status           text        NOT NULL CHECK (status IN ('queued', 'completed', 'failed', 'cancelled')),
    attempt          bigint      NOT NULL,
    requested_model  text,
    fingerprint      text,
    provider         text,
    model            text,
    input_tokens     bigint,
    output_tokens    bigint,
    cached_tokens    bigint,
    accepted_at      timestamptz, -- null while only the reply has been seen, and it did not say
    started_at       timestamptz,
    first_token_at   timestamptz,
    finished_at      timestamptz,
    error_code       text,
    error_message    text,
    error_retryable  boolean
) WITH (fillfactor = 60); -- each row is made when the message comes and filled when the reply does

CREATE INDEX tasks_by_session ON tasks (session_id);

-- One message of each side per task.
CREATE TABLE messages (
    task_id    text        COLLATE "C" NOT NULL,
    role       text        COLLATE "C" NOT NULL CHECK (role IN ('user', 'assistant')),
    id         text        COLLATE "C" NOT NULL,
    session_id text        COLLATE "C" NOT NULL,
    user_id    text        COLLATE "C" NOT NULL,
    content    text        NOT NULL,
    metadata   json,                 -- the client's own, at a user's message
    created_at timestamptz NOT NULL,
    sorts_at   bigint      NOT NULL, -- microseconds; a reply sorts after its message, whatever the clocks said
    PRIMARY KEY (task_id, role)
);

CREATE INDEX messages_by_session ON messages (session_id, sorts_at, id);
-- Operators ask for what was accepted within an hour, whoever sent it.
CREATE INDEX messages_by_time ON messages (sorts_at, id) WHERE role = 'user';

-- Written by the readiness check: a standby, or a server that has no room for its log, is not ready.
CREATE TABLE write_probe (
    only_row  integer     PRIMARY KEY CHECK (only_row = 1),
    probed_at timestamptz NOT NULL
) WITH (fillfactor = 10); -- one row that changes often: in place

GRANT SELECT, INSERT, UPDATE ON users, sessions, tasks, write_probe TO parlance_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON messages TO parlance_runtime;
