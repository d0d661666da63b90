-- Conversations that stay good: summaries, branches, what a reply cost, who may be asked.

-- A task's details and a message's input beyond its text: JSON objects, kept as they were written.
ALTER TABLE turns ADD COLUMN details text, ADD COLUMN cost_micro_usd bigint;
ALTER TABLE tasks ADD COLUMN details text, ADD COLUMN cost_micro_usd bigint;
ALTER TABLE messages ADD COLUMN input text;

-- What was accepted in a session before this is to stop, also what no worker has heard of yet; and the task that wants it
-- so, whose message may be sent twice.
ALTER TABLE checkpoints ADD COLUMN interrupted_before timestamptz, ADD COLUMN interrupted_by text COLLATE "C";

-- What a message does while a reply runs, unless it says so itself.
ALTER TABLE sessions ADD COLUMN strategy text CHECK (strategy IN ('enqueue', 'interrupt', 'reject')),
                     ADD COLUMN strategy_rev text COLLATE "C";

-- What waits or runs, of a session; what a user's replies cost, by day.
CREATE INDEX tasks_waiting ON tasks (session_id) WHERE status = 'queued';
CREATE INDEX tasks_by_user ON tasks (user_id, finished_at);
-- What counts against a user's budget of today, also while the record is behind.
CREATE INDEX turns_by_user ON turns (user_id, finished_at) WHERE finished_at IS NOT NULL;

-- A turn that stands in for an earlier one: what was accepted from `from_at` on, and before `at`, is no longer part of the
-- conversation. Right in whatever order the events come.
CREATE TABLE branches (
    task_id    text        COLLATE "C" PRIMARY KEY,
    session_id text        COLLATE "C" NOT NULL,
    user_id    text        COLLATE "C" NOT NULL,
    replaces   text        COLLATE "C" NOT NULL,
    from_at    timestamptz NOT NULL,
    at         timestamptz NOT NULL
);

CREATE INDEX branches_by_session ON branches (session_id, from_at);

CREATE TABLE summaries (
    session_id    text        COLLATE "C" NOT NULL,
    version       bigint      NOT NULL,
    user_id       text        COLLATE "C" NOT NULL,
    text          text        NOT NULL,
    through       text        COLLATE "C" NOT NULL, -- the latest turn that it covers
    turns         bigint      NOT NULL,             -- how many it covers
    tokens        bigint      NOT NULL,
    model         text,
    input_tokens  bigint,
    output_tokens bigint,
    cached_tokens bigint,
    made_at       timestamptz NOT NULL,
    cost_micro_usd bigint,
    PRIMARY KEY (session_id, version)
);

CREATE INDEX summaries_by_user ON summaries (user_id, made_at);

-- Providers that are not asked for a while, as one worker found out for all. Nothing here outlives an outage.
CREATE TABLE provider_circuits (
    provider   text        COLLATE "C" PRIMARY KEY,
    failures   bigint      NOT NULL,
    open_until timestamptz,
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON branches, summaries, provider_circuits TO parlance_runtime;

-- Deleting and erasing: what there is of a user, and which sessions are old. A session whose user was erased stays as its id
-- alone, of the user '' that nobody is.
CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_by_age ON sessions (created_at) WHERE deleted_at IS NULL;
CREATE INDEX turns_of_user ON turns (user_id, session_id);
CREATE INDEX checkpoints_of_user ON checkpoints (user_id, session_id);

-- Users who were erased, by the SHA-256 of their names: what they had sent before is not recorded any more when it comes late.
-- Kept for longer than any bus keeps messages.
CREATE TABLE erased_users (
    user_key  text        COLLATE "C" PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON erased_users TO parlance_runtime;
GRANT DELETE ON users, tasks, reply_segments TO parlance_runtime;
