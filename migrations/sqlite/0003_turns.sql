-- llm-worker's own state: who works on which task, how it ended, what a session's next turn starts from.
CREATE TABLE turns (
    task_id             TEXT    PRIMARY KEY NOT NULL,
    user_id             TEXT    NOT NULL,
    session_id          TEXT,             -- null while only a cancel is known
    message_id          TEXT,
    reply_message_id    TEXT,
    status              TEXT    NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    attempt             INTEGER NOT NULL,
    reset_reason        TEXT    NOT NULL DEFAULT '', -- why the attempt before the latest was given up
    lost_attempts       INTEGER NOT NULL DEFAULT 0,
    failed_attempts     INTEGER NOT NULL DEFAULT 0,
    worker              TEXT,             -- who holds it; null when handed back or ended
    epoch               TEXT,             -- the opening of the data folder in which it was claimed
    leased_until        INTEGER,
    cancel_requested_at INTEGER,
    session_deleted     INTEGER NOT NULL DEFAULT 0,
    fingerprint         TEXT,
    reply               TEXT,             -- the end's text; null before the end and once expired
    reply_expired       INTEGER NOT NULL DEFAULT 0,
    provider            TEXT,
    model               TEXT,
    input_tokens        INTEGER,
    output_tokens       INTEGER,
    cached_tokens       INTEGER,
    accepted_at         INTEGER,
    started_at          INTEGER,
    first_token_at      INTEGER,
    finished_at         INTEGER,
    error_code          TEXT,
    error_message       TEXT,
    error_retryable     INTEGER
) STRICT;

CREATE INDEX turns_by_session ON turns (session_id);
CREATE INDEX turns_by_finish ON turns (finished_at) WHERE reply_expired = 0;

-- Text of running attempts, about a second's worth per row; gone when the task ends.
CREATE TABLE reply_log (
    task_id TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    start   INTEGER NOT NULL, -- bytes of the attempt's text before this row
    text    TEXT    NOT NULL,
    PRIMARY KEY (task_id, attempt, start)
) STRICT;

CREATE TABLE checkpoints (
    session_id TEXT    PRIMARY KEY NOT NULL,
    user_id    TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    checkpoint TEXT    NOT NULL, -- JSON
    deleted    INTEGER NOT NULL DEFAULT 0,
    saved_at   INTEGER NOT NULL
) STRICT;
