-- The embedded bus: topics as one table of messages, and for each subscription one row per message that is not yet done.
CREATE TABLE bus_subscriptions (
    name       TEXT    PRIMARY KEY NOT NULL,
    topic      TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Kept for the retention, and for as long as a delivery or a dead letter refers to it.
CREATE TABLE bus_messages (
    seq          INTEGER PRIMARY KEY NOT NULL, -- in order of publication
    topic        TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    ordering_key TEXT    NOT NULL,
    event        TEXT    NOT NULL,             -- the CloudEvent, JSON
    published_at INTEGER NOT NULL,
    UNIQUE (topic, event_id)
) STRICT;

CREATE INDEX bus_messages_by_age ON bus_messages (published_at);

-- A message that a subscription has not done yet; the row goes with the answer.
-- Of each (subscription, ordering_key) one row is the head: the only one that may be delivered. So the next deliveries are
-- found in the index of heads, however many messages wait behind them.
CREATE TABLE bus_deliveries (
    subscription TEXT    NOT NULL,
    ordering_key TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    head         INTEGER NOT NULL CHECK (head IN (0, 1)),
    ready_at     INTEGER NOT NULL, -- not before this; while on lease: the lease's end
    lease        INTEGER,          -- the fencing token of whoever holds it
    attempts     INTEGER NOT NULL DEFAULT 0,
    unanswered   INTEGER NOT NULL DEFAULT 0, -- latest deliveries in a row without an answer, the running one included
    PRIMARY KEY (subscription, ordering_key, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX bus_deliveries_heads ON bus_deliveries (subscription, ready_at, seq) WHERE head = 1;

CREATE TABLE bus_dead_letters (
    id             INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    subscription   TEXT    NOT NULL,
    seq            INTEGER NOT NULL,
    reason_code    TEXT    NOT NULL,
    reason_message TEXT    NOT NULL,
    attempts       INTEGER NOT NULL,
    dead_at        INTEGER NOT NULL,
    UNIQUE (seq, subscription)
) STRICT;

CREATE INDEX bus_dead_letters_by_subscription ON bus_dead_letters (subscription, id);
