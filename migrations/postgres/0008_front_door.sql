-- Who may call, what operators did, and what OpenAI's clients need.

-- Keys that programs call with. Of a key itself only a keyed hash is kept.
CREATE TABLE api_keys (
    id           text        COLLATE "C" PRIMARY KEY,
    hash         bytea       NOT NULL UNIQUE,
    name         text        NOT NULL,
    user_id      text        COLLATE "C" NOT NULL, -- whose data it opens
    role         text        NOT NULL CHECK (role IN ('user', 'operator', 'admin')),
    scopes       text        NOT NULL, -- a JSON array of words
    webhook_url  text,                 -- told of the ends of what was asked with it
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    rotated_to   text        COLLATE "C", -- the key that stands in for it
    last_used_at timestamptz              -- to the minute or so
);

CREATE INDEX api_keys_of_user ON api_keys (user_id, id);

-- What operators and admins did.
CREATE TABLE audit_log (
    id     text        COLLATE "C" PRIMARY KEY, -- of the call, or of the command
    at     timestamptz NOT NULL,
    actor  text        NOT NULL, -- the user, or the login of a command's process
    role   text        NOT NULL,
    key_id text        COLLATE "C",
    client text,                 -- the address that called
    action text        NOT NULL, -- method and route, or the command
    target text,                 -- what it was done to
    status integer               -- of the answer
);

CREATE INDEX audit_log_by_time ON audit_log (at);

-- Replies that their owners no longer want to fetch as responses; the conversation keeps them.
CREATE TABLE hidden_responses (
    task_id   text        COLLATE "C" PRIMARY KEY,
    user_id   text        COLLATE "C" NOT NULL,
    hidden_at timestamptz NOT NULL
);

CREATE INDEX hidden_responses_of_user ON hidden_responses (user_id);

-- A service checks keys and notes their use; only `parlance keys`, with the owner's login, makes and revokes them.
GRANT SELECT ON api_keys TO parlance_runtime;
GRANT UPDATE (last_used_at) ON api_keys TO parlance_runtime;
GRANT SELECT, INSERT, DELETE ON audit_log TO parlance_runtime;
GRANT SELECT, INSERT, DELETE ON hidden_responses TO parlance_runtime;
