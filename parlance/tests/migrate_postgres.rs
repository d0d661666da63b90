//! `parlance migrate …` on Postgres: what the operator reads.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![allow(clippy::print_stderr, reason = "says what was not run")]

use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

/// A database of the test's own, with an owner and a login for services.
struct Place {
    url: String,
    name: String,
    owner: String,
    service: String,
}

const SECRET: &str = "s3cret-word";

async fn place() -> Option<Place> {
    let Ok(server) = std::env::var("PARLANCE_TEST_POSTGRES_URL") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "PARLANCE_TEST_POSTGRES_URL is not set");
        eprintln!("not run: needs Postgres (cargo xtask services up)");
        return None;
    };
    let name = format!("t_{}", Uuid::now_v7().simple());
    let (owner, service) = (format!("{name}_owner"), format!("{name}_service"));
    let mut admin = PgConnection::connect(&server).await.unwrap();
    for statement in [
        format!("CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{SECRET}'"),
        format!("CREATE ROLE {service} LOGIN PASSWORD '{SECRET}'"),
        format!("CREATE DATABASE {name} OWNER {owner}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    let authority = server.split_once("://").unwrap().1.split('/').next().unwrap().rsplit('@').next().unwrap();
    Some(Place { url: format!("postgres://{owner}:{SECRET}@{authority}/{name}"), name, owner, service })
}

/// Runs `parlance migrate …` and gives the exit code, what it printed and what it complained about.
fn migrate(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance"));
    command.env_clear().arg("migrate").args(arguments).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{stdout}{stderr}");
    (output.status.code().unwrap(), stdout, stderr)
}

#[tokio::test]
async fn a_schema_is_made_looked_at_and_opened_for_a_service() {
    let Some(place) = place().await else { return };
    let url = [("DATABASE_URL", place.url.as_str())];
    let printed = |arguments: &[&str]| {
        let (code, stdout, stderr) = migrate(arguments, &url);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}: {stdout}");
        stdout
    };
    let status = printed(&["status"]);
    let all = status.lines().filter(|line| line.contains("  pending  ")).count();
    assert!(all >= 4 && status.ends_with(&format!("0 applied, {all} pending\n")), "{status}");
    assert!(status.contains("      1  pending               runtime role\n"), "{status}");
    let (code, _, stderr) = migrate(&["validate"], &url);
    assert_eq!(code, 1);
    assert!(stderr.contains("migration 1 is not applied; run `parlance migrate init`"), "{stderr}");
    let (code, _, stderr) = migrate(&["stats"], &url);
    assert_eq!((code, stderr.as_str()), (1, "parlance: the database has no schema yet; run `parlance migrate init`\n"));

    let init = printed(&["init"]);
    assert!(init.starts_with("created the schema; applied 1, ") && init.ends_with(" at version 8\n"), "{init}");
    assert_eq!(printed(&["init"]), "nothing to apply: the schema is at version 8\n");
    assert!(printed(&["status"]).ends_with(&format!("{all} applied, 0 pending\n")));
    assert!(printed(&["validate"]).starts_with("valid: "));
    let stats = printed(&["stats"]);
    let migrations = stats.lines().find(|line| line.starts_with("schema_migrations ")).unwrap();
    let cells: Vec<&str> = migrations.split_whitespace().collect();
    assert_eq!(cells[1], all.to_string(), "{stats}");
    assert!(cells[2].parse::<u64>().unwrap() >= 8192, "{stats}");
    assert!(stats.lines().last().unwrap().starts_with("database "), "{stats}");

    let (code, stdout, stderr) = migrate(&["grant", &place.service], &url);
    if code == 0 {
        assert_eq!(stdout, format!("{} may do what services do in database {}\n", place.service, place.name));
    } else {
        // From PostgreSQL 16 on, whoever did not make the role may not grant it.
        let remedy = format!("; as a user with CREATEROLE, run: GRANT parlance_runtime TO {}\n", place.service);
        assert!(stderr.contains(&place.owner) && stderr.ends_with(&remedy), "{stderr}");
    }
}

/// Cloud SQL calls accounts by their e-mail addresses.
#[tokio::test]
async fn several_services_are_let_in_at_once_whatever_they_are_called() {
    let Some(place) = place().await else { return };
    let accounts = ["ingest-api", "llm-worker"].map(|service| format!("{service}.{}@p-1.iam", place.name));
    let url = [("DATABASE_URL", place.url.as_str())];
    let (code, ..) = migrate(&["init"], &url);
    assert_eq!(code, 0);
    let mut admin = PgConnection::connect(&std::env::var("PARLANCE_TEST_POSTGRES_URL").unwrap()).await.unwrap();
    for statement in [
        format!("CREATE ROLE \"{}\" LOGIN", accounts[0]),
        format!("CREATE ROLE \"{}\" LOGIN", accounts[1]),
        // From PostgreSQL 16 on, the right to grant comes from whoever made the role.
        format!("GRANT parlance_runtime TO {} WITH ADMIN OPTION", place.owner),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    let grant = ["grant", &accounts[0], &accounts[1]];
    let said = accounts.clone().map(|it| format!("{it} may do what services do in database {}\n", place.name)).concat();
    assert_eq!(migrate(&grant, &url), (0, said.clone(), String::new()));
    let (code, _, stderr) = migrate(&["grant", &accounts[1], "nobody@p-1.iam"], &url);
    assert!(code == 1 && stderr.ends_with("the server has no role \"nobody@p-1.iam\"; create it first\n"), "{stderr}");
    let members: Vec<String> = sqlx::query_scalar(
        "SELECT member.rolname::text FROM pg_auth_members
         JOIN pg_roles AS member ON member.oid = member JOIN pg_roles AS role ON role.oid = roleid
         WHERE role.rolname = 'parlance_runtime' AND member.rolname = ANY($1) ORDER BY 1",
    )
    .bind(&accounts[..])
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert_eq!(members, accounts);
    for account in accounts {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP ROLE \"{account}\""))).execute(&mut admin).await.unwrap();
    }
}

#[tokio::test]
async fn what_can_not_be_done_is_a_sentence() {
    let Some(place) = place().await else { return };
    let url = ("DATABASE_URL", place.url.as_str());
    for (arguments, variables, code, sentence) in [
        (&["grant"][..], &[url][..], 2, "required"),
        (&["stats"], &[url], 1, "parlance: the database has no schema yet; run `parlance migrate init`\n"),
        (&["status", "nobody"], &[url], 1, "only `parlance migrate grant` takes a user"),
        (&["status"], &[url, ("DB_NAME", "no_such_database")], 1, "has no database \"no_such_database\" (DB_NAME)"),
        (&["init"], &[url, ("DB_PORT", "1")], 1, "can't be reached"),
        (&["grant", "nobody"], &[("DATA_DIR", "/nowhere")], 1, "is for Postgres"),
    ] {
        let ended = migrate(arguments, variables);
        assert!(ended.0 == code && ended.1.is_empty() && ended.2.contains(sentence), "{arguments:?}: {ended:?}");
    }
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(tables, 0, "looking made something");
}
