-- llm-worker's own state: who works on which task, how it ended, what a session's next turn starts from.
-- Leases run by the database's clock, whatever the workers' clocks say.
-- Rows change with each heartbeat; the free room keeps the changes out of the indexes.
CREATE TABLE turns (
    task_id             text        COLLATE "C" PRIMARY KEY,
    user_id             text        COLLATE "C" NOT NULL,
    session_id          text        COLLATE "C",           -- null while only a cancel is known
    message_id          text        COLLATE "C",
    reply_message_id    text        COLLATE "C",
    status              text        NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    attempt             bigint      NOT NULL,
    attempt_at          timestamptz,                       -- when the latest attempt began
    reset_reason        text        NOT NULL DEFAULT '',   -- why the attempt before the latest was given up
    lost_attempts       bigint      NOT NULL DEFAULT 0,
    failed_attempts     bigint      NOT NULL DEFAULT 0,
    worker              text        COLLATE "C",           -- who holds it; null when handed back or ended
    leased_until        timestamptz,
    cancel_requested_at timestamptz,
    session_deleted     boolean     NOT NULL DEFAULT false,
    fingerprint         text,
    reply               text,                              -- the end's text; null before the end and once expired
    reply_expired       boolean     NOT NULL DEFAULT false,
    provider            text,
    model               text,
    input_tokens        bigint,
    output_tokens       bigint,
    cached_tokens       bigint,
    accepted_at         timestamptz,
    started_at          timestamptz,
    first_token_at      timestamptz,
    finished_at         timestamptz,
    error_code          text,
    error_message       text,
    error_retryable     boolean
) WITH (fillfactor = 50);

CREATE INDEX turns_by_session ON turns (session_id);
CREATE INDEX turns_by_finish ON turns (finished_at) WHERE NOT reply_expired;

CREATE TABLE checkpoints (
    session_id text        COLLATE "C" PRIMARY KEY,
    user_id    text        COLLATE "C" NOT NULL,
    version    bigint      NOT NULL,
    checkpoint text        NOT NULL, -- JSON; its escapes are kept as they were written
    deleted    boolean     NOT NULL DEFAULT false,
    saved_at   timestamptz NOT NULL
) WITH (fillfactor = 70);

-- The reply log. Its two tables are rings of partitions that exist from the start: rows go to the partition of the time
-- they are written at, and partitions whose time is long over are emptied by parlance_expire_log(). No row is ever
-- vacuumed away, and no DDL is needed while the services run.

-- What one worker had to say at one flush, for all its replies; the format is in shared/postgres/src/log/segment.rs.
-- For live delivery only, so unlogged: after a crash of the database the workers write whole texts to reply_log.
CREATE TABLE reply_segments (
    slot       smallint    NOT NULL, -- of ten minutes
    writer     uuid        NOT NULL, -- one connection of one worker
    flush_no   bigint      NOT NULL, -- from 1, counted by the writer
    written_at timestamptz NOT NULL,
    payload    bytea       NOT NULL
) PARTITION BY LIST (slot);

-- Compressing what is read once, milliseconds later, is work for nothing.
ALTER TABLE reply_segments ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX reply_segments_by_flush ON reply_segments (writer, flush_no);
CREATE INDEX reply_segments_by_time ON reply_segments (written_at);

-- Text of attempts, about a second's worth per row, for resume. Rows may overlap: what counts is the text from `start` on
-- that the rows before did not have.
CREATE TABLE reply_log (
    slot    smallint NOT NULL, -- of an hour
    task_id text     COLLATE "C" NOT NULL,
    attempt bigint   NOT NULL,
    start   bigint   NOT NULL, -- bytes of the attempt's text before this row
    text    bytea    NOT NULL  -- UTF-8; bytes, since Postgres' text can't hold everything that a model may say
) PARTITION BY LIST (slot);

ALTER TABLE reply_log ALTER COLUMN text SET STORAGE EXTERNAL;
CREATE INDEX reply_log_by_attempt ON reply_log (task_id, attempt);

DO $$
BEGIN
    FOR slot IN 0..5 LOOP
        EXECUTE format(
            'CREATE UNLOGGED TABLE reply_segments_%s PARTITION OF reply_segments FOR VALUES IN (%s)
             WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)', slot, slot);
    END LOOP;
    FOR slot IN 0..31 LOOP
        EXECUTE format(
            'CREATE TABLE reply_log_%s PARTITION OF reply_log FOR VALUES IN (%s)
             WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)', slot, slot);
    END LOOP;
END
$$;

CREATE FUNCTION parlance_segment_slot(at timestamptz) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (floor(extract(epoch FROM at) / 600)::bigint % 6)::smallint;

CREATE FUNCTION parlance_log_slot(at timestamptz) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (floor(extract(epoch FROM at) / 3600)::bigint % 32)::smallint;

-- The stored text of an attempt, or of all attempts, that began at `since` or later, in pieces and in no order.
-- Each hour's rows are looked for in their partition alone; the plan is made anew for each call and never reads a
-- partition through, however old the statistics are.
CREATE FUNCTION parlance_stored_text(task text, only_attempt bigint, since timestamptz)
    RETURNS TABLE (attempt bigint, start bigint, text bytea)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off
AS $$
DECLARE
    -- A clock that is set back a little must not hide what was written before.
    last_hour  bigint := floor(extract(epoch FROM clock_timestamp() + interval '1 minute') / 3600);
    first_hour bigint := floor(extract(epoch FROM since - interval '1 minute') / 3600);
    condition  text := CASE WHEN only_attempt IS NULL THEN '' ELSE ' AND attempt = $2' END;
BEGIN
    FOR hour IN greatest(least(first_hour, last_hour), last_hour - 27)..last_hour LOOP
        RETURN QUERY EXECUTE
            format('SELECT attempt, start, text FROM reply_log WHERE slot = %s AND task_id = $1', hour % 32) || condition
            USING task, only_attempt;
    END LOOP;
END
$$;

-- Empties partitions whose time is long over; gives their number. The services' role can't truncate, it may only call
-- this. By the database's clock alone, and never a partition that a clock set back or forth by a few minutes could bring
-- into use: of the six of ten minutes the present one and both neighbours stay, of the 32 of an hour the present one,
-- the next, and the 26 before, which is longer than a reply can take.
-- One caller at a time; a partition that somebody uses is left for the next call, so nobody waits for this.
DO $outer$
BEGIN
    EXECUTE replace($create$
CREATE FUNCTION parlance_expire_log() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '50ms'
AS $$
DECLARE
    present   timestamptz := clock_timestamp();
    ten_min   bigint := floor(extract(epoch FROM present) / 600);
    hour      bigint := floor(extract(epoch FROM present) / 3600);
    names     text[] := '{}';
    name      text;
    truncated integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('parlance_expire_log', 0)) THEN
        RETURN 0;
    END IF;
    FOR ahead IN 2..4 LOOP
        names := names || format('@schema@.reply_segments_%s', (ten_min + ahead) % 6);
    END LOOP;
    FOR ahead IN 2..5 LOOP
        names := names || format('@schema@.reply_log_%s', (hour + ahead) % 32);
    END LOOP;
    FOREACH name IN ARRAY names LOOP
        CONTINUE WHEN pg_relation_size(name::regclass) = 0;
        BEGIN
            EXECUTE 'TRUNCATE ONLY ' || name;
            truncated := truncated + 1;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END LOOP;
    RETURN truncated;
END
$$
    $create$, '@schema@', quote_ident(current_schema()));
END
$outer$;

REVOKE EXECUTE ON FUNCTION parlance_expire_log() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION parlance_expire_log() TO parlance_runtime;
GRANT SELECT, INSERT, UPDATE ON turns, checkpoints TO parlance_runtime;
GRANT SELECT, INSERT ON reply_segments TO parlance_runtime;
GRANT SELECT, INSERT, DELETE ON reply_log TO parlance_runtime;
