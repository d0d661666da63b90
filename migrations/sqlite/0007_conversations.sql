-- Conversations that stay good: summaries, branches, what a reply cost.

-- A task's details and a message's input beyond its text: JSON objects, kept as they were written.
ALTER TABLE turns ADD COLUMN details TEXT;
ALTER TABLE turns ADD COLUMN cost_micro_usd INTEGER;
ALTER TABLE tasks ADD COLUMN details TEXT;
ALTER TABLE tasks ADD COLUMN cost_micro_usd INTEGER;
ALTER TABLE messages ADD COLUMN input TEXT;

-- What was accepted in a session before this is to stop, also what no worker has heard of yet; and the task that wants it
-- so, whose message may be sent twice.
ALTER TABLE checkpoints ADD COLUMN interrupted_before INTEGER;
ALTER TABLE checkpoints ADD COLUMN interrupted_by TEXT;

-- What a message does while a reply runs, unless it says so itself.
ALTER TABLE sessions ADD COLUMN strategy TEXT CHECK (strategy IN ('enqueue', 'interrupt', 'reject'));
ALTER TABLE sessions ADD COLUMN strategy_rev TEXT;

-- What waits or runs, of a session; what a user's replies cost, by day.
CREATE INDEX tasks_waiting ON tasks (session_id) WHERE status = 'queued';
CREATE INDEX tasks_by_user ON tasks (user_id, finished_at);
-- What counts against a user's budget of today, also while the record is behind.
CREATE INDEX turns_by_user ON turns (user_id, finished_at) WHERE finished_at IS NOT NULL;

-- A turn that stands in for an earlier one: what was accepted from `from_at` on, and before `at`, is no longer part of the
-- conversation. Right in whatever order the events come. In milliseconds.
CREATE TABLE branches (
    task_id    TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    replaces   TEXT NOT NULL,
    from_at    INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

CREATE INDEX branches_by_session ON branches (session_id, from_at);

CREATE TABLE summaries (
    session_id    TEXT NOT NULL,
    version       INTEGER NOT NULL,
    user_id       TEXT NOT NULL,
    text          TEXT NOT NULL,
    through       TEXT NOT NULL,    -- the latest turn that it covers
    turns         INTEGER NOT NULL, -- how many it covers
    tokens        INTEGER NOT NULL,
    model         TEXT,
    input_tokens  INTEGER,
    output_tokens INTEGER,
    cached_tokens INTEGER,
    made_at       INTEGER NOT NULL,
    cost_micro_usd INTEGER,
    PRIMARY KEY (session_id, version)
) STRICT;

CREATE INDEX summaries_by_user ON summaries (user_id, made_at);

-- Deleting and erasing: what there is of a user, and which sessions are old. A session whose user was erased stays as its id
-- alone, of the user '' that nobody is.
CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_by_age ON sessions (created_at) WHERE deleted_at IS NULL;
CREATE INDEX turns_of_user ON turns (user_id, session_id);
CREATE INDEX checkpoints_of_user ON checkpoints (user_id, session_id);

-- Users who were erased, by the SHA-256 of their names: what they had sent before is not recorded any more when it comes late.
-- Kept for longer than any bus keeps messages.
CREATE TABLE erased_users (
    user_key  TEXT    PRIMARY KEY NOT NULL,
    erased_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
