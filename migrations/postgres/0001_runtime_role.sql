-- The services' own role. The owner of the schema migrates it; logins of services are members of this role
-- (`parlance migrate grant USER`) and can do what each migration grants by name, no more: no DDL, no TRUNCATE.
-- Roles belong to the server, not to one of its databases: another database may have made it, even at this moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parlance_runtime') THEN
        CREATE ROLE parlance_runtime NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role parlance_runtime is missing, and % may not make it', current_user
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'as a user with CREATEROLE, run: CREATE ROLE parlance_runtime NOLOGIN';
END
$$;

-- Up to PostgreSQL 14, everyone may create tables in it. (Only a warning where another user owns the schema.)
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO parlance_runtime;

-- Services check at start that the schema is not older than they are. The table is made by whoever applies this file.
DO $$
BEGIN
    IF to_regclass('schema_migrations') IS NOT NULL THEN
        GRANT SELECT (version, success) ON schema_migrations TO parlance_runtime;
    END IF;
END
$$;
