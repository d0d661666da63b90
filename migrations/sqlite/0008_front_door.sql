-- Who may call, what operators did, and what OpenAI's clients need.

-- Keys that programs call with. Of a key itself only a keyed hash is kept.
CREATE TABLE api_keys (
    id           TEXT    PRIMARY KEY NOT NULL,
    hash         BLOB    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    user_id      TEXT    NOT NULL, -- whose data it opens
    role         TEXT    NOT NULL CHECK (role IN ('user', 'operator', 'admin')),
    scopes       TEXT    NOT NULL, -- a JSON array of words
    webhook_url  TEXT,             -- told of the ends of what was asked with it
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    rotated_to   TEXT,             -- the key that stands in for it
    last_used_at INTEGER           -- to the minute or so
) STRICT;

CREATE INDEX api_keys_of_user ON api_keys (user_id, id);

-- What operators and admins did.
CREATE TABLE audit_log (
    id        TEXT    PRIMARY KEY NOT NULL, -- of the call, or of the command
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL, -- the user, or the login of a command's process
    role      TEXT    NOT NULL,
    key_id    TEXT,
    client    TEXT,             -- the address that called
    action    TEXT    NOT NULL, -- method and route, or the command
    target    TEXT,             -- what it was done to
    status    INTEGER           -- of the answer
) STRICT;

CREATE INDEX audit_log_by_time ON audit_log (at);

-- Replies that their owners no longer want to fetch as responses; the conversation keeps them.
CREATE TABLE hidden_responses (
    task_id   TEXT    PRIMARY KEY NOT NULL,
    user_id   TEXT    NOT NULL,
    hidden_at INTEGER NOT NULL
) STRICT;

CREATE INDEX hidden_responses_of_user ON hidden_responses (user_id);
