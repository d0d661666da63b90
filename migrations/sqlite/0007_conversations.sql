-- Conversations that stay good: summaries, branches, what a reply cost.

-- A task's details and a message's input beyond its text: JSON objects, kept as they were written.
ALTER TABLE turns ADD COLUMN details TEXT;
ALTER TABLE tasks ADD COLUMN details TEXT;
ALTER TABLE tasks ADD COLUMN cost_micro_usd INTEGER;
ALTER TABLE messages ADD COLUMN input TEXT;

-- What was accepted in a session before this is to stop, also what no worker has heard of yet.
ALTER TABLE checkpoints ADD COLUMN interrupted_before INTEGER;

-- What a message does while a reply runs, unless it says so itself.
ALTER TABLE sessions ADD COLUMN strategy TEXT CHECK (strategy IN ('enqueue', 'interrupt', 'reject'));
ALTER TABLE sessions ADD COLUMN strategy_rev TEXT;

-- What waits or runs, of a session; what a user's replies cost, by day.
CREATE INDEX tasks_waiting ON tasks (session_id) WHERE status = 'queued';
CREATE INDEX tasks_by_user ON tasks (user_id, finished_at);

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
    PRIMARY KEY (session_id, version)
) STRICT;
