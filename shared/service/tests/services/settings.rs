//! A service that lacks what it needs says so and does not start. It never falls back to something embedded.

use std::net::TcpListener;

use tempfile::TempDir;

use crate::support::{Ended, Process, program};

const SERVICES: [&str; 3] = ["ingest-api", "llm-worker", "persist-worker"];
const ID_SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PASSWORD: &str = "s3cr3t-of-the-database";
const KEY: &str = "sk-s3cr3t-of-the-model";

/// Everything that any service needs in production. Nobody is there, which must not matter before the settings are good.
const WHOLE: [(&str, &str); 9] = [
    ("ENVIRONMENT", "production"),
    ("HOST", "127.0.0.1"),
    ("DATABASE_URL", "postgres://u:s3cr3t-of-the-database@127.0.0.1:1/d"),
    ("PUBSUB_PROJECT_ID", "some-project"),
    ("ID_SECRET", ID_SECRET),
    ("LLM_BASE_URL", "http://127.0.0.1:1/v1"),
    ("LLM_API_KEY", KEY),
    ("LLM_MODEL", "some-model"),
    ("AUTH_API_KEYS", "on"),
];

/// Runs it in an empty folder, which must stay empty.
async fn run(service: &str, variables: &[(&str, &str)]) -> Ended {
    let folder = TempDir::new().unwrap();
    let mut command = program(service);
    command.current_dir(&folder).envs(variables.iter().copied());
    let ended = Process::start(command).end().await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{service} made something");
    for secret in [ID_SECRET, PASSWORD, KEY] {
        assert!(!format!("{ended:?}").contains(secret), "{ended:?}");
    }
    ended
}

/// Checks that it told the person who started it, and gives what it said.
#[track_caller]
fn refused<'a>(service: &str, ended: &'a Ended, code: i32) -> &'a str {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{service}: {ended:?}");
    ended.stderr.strip_prefix(&format!("{service}: ")).unwrap_or_else(|| panic!("not our message: {ended:?}"))
}

/// The line about this variable.
#[track_caller]
fn line_of<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find(|line| line.starts_with(&format!("{name}: ")));
    let line = line.unwrap_or_else(|| panic!("{name} is not named: {message}"));
    assert!(line.contains("; accepted: "), "{line}");
    line
}

#[tokio::test]
async fn what_is_missing_is_named_in_development_and_in_production() {
    for service in SERVICES {
        for environment in ["development", "production"] {
            let mut needs = vec!["DATABASE_URL", "PUBSUB_PROJECT_ID"];
            match (service, environment) {
                ("ingest-api", "production") => needs.extend(["ID_SECRET", "AUTH_API_KEYS"]),
                ("ingest-api", _) => needs.push("ID_SECRET"),
                ("llm-worker", "production") => needs.push("LLM_BASE_URL"),
                _ => {}
            }
            for missing in needs {
                let given = WHOLE.into_iter().filter(|(name, _)| *name != missing);
                // A key or a model without a URL is a fault of its own.
                let given = given.filter(|(name, _)| missing != "LLM_BASE_URL" || !name.starts_with("LLM_"));
                let mut given: Vec<_> = given.collect();
                given[0] = ("ENVIRONMENT", environment);
                let ended = run(service, &given).await;
                let message = refused(service, &ended, 2);
                line_of(message, missing);
                let named = message.lines().filter(|line| line.contains("; accepted: ")).count();
                assert_eq!(named, 1, "only {missing} is missing: {message}");
            }
        }
    }
}

#[tokio::test]
async fn with_nothing_at_all_everything_is_named_at_once() {
    for service in SERVICES {
        let ended = run(service, &[]).await;
        let message = refused(service, &ended, 2);
        line_of(message, "DATABASE_URL");
        line_of(message, "PUBSUB_PROJECT_ID");
    }
}

#[tokio::test]
async fn the_embedded_database_and_the_emulator_are_refused() {
    for service in SERVICES {
        let mut embedded: Vec<_> = WHOLE.into_iter().filter(|(name, _)| *name != "DATABASE_URL").collect();
        embedded.push(("DB_TYPE", "sqlite"));
        line_of(refused(service, &run(service, &embedded).await, 2), "DATABASE_URL");
        let mut emulated = WHOLE.to_vec();
        emulated.push(("PUBSUB_EMULATOR_HOST", "127.0.0.1:1"));
        let ended = run(service, &emulated).await;
        assert!(line_of(refused(service, &ended, 2), "PUBSUB_EMULATOR_HOST").contains("production"));
    }
}

#[tokio::test]
async fn wrong_values_are_refused_without_being_repeated() {
    for (name, value) in [
        ("ID_SECRET", "s3cr3t-of-the-database"),
        ("DATABASE_URL", "mysql://u:s3cr3t-of-the-database@h/d"),
        ("DATABASE_URL", "postgres://u:s3cr3t-of-the-database@h:port/d"),
        ("PUBSUB_PROJECT_ID", "No Project"),
        ("PUBSUB_DELIVERY", "both"),
    ] {
        let given: Vec<_> = WHOLE.into_iter().filter(|(known, _)| *known != name).chain([(name, value)]).collect();
        line_of(refused("ingest-api", &run("ingest-api", &given).await, 2), name);
    }
    // Pushes are only believed with a token for somebody.
    for worker in &SERVICES[1..] {
        let push: Vec<_> = WHOLE.into_iter().chain([("PUBSUB_DELIVERY", "push")]).collect();
        line_of(refused(worker, &run(worker, &push).await, 2), "PUSH_AUDIENCE");
    }
}

#[tokio::test]
async fn users_are_not_let_in_from_elsewhere_and_a_port_in_use_is_one_sentence() {
    let unasked = WHOLE.into_iter().filter(|(name, _)| !["HOST", "AUTH_API_KEYS"].contains(name));
    let mut open: Vec<_> = unasked.chain([("HOST", "0.0.0.0")]).collect();
    line_of(refused("ingest-api", &run("ingest-api", &open).await, 2), "AUTH_API_KEYS");
    open[0] = ("ENVIRONMENT", "development");
    line_of(refused("ingest-api", &run("ingest-api", &open).await, 2), "HOST");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut variables = WHOLE.to_vec();
    variables[0] = ("ENVIRONMENT", "development");
    variables.extend([("PORT", port.as_str()), ("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")]);
    for service in SERVICES {
        let ended = run(service, &variables).await;
        let sentence = refused(service, &ended, 1);
        assert!(sentence.contains(&port) && sentence.contains("set PORT to another"), "{sentence}");
    }
}

#[tokio::test]
async fn health_is_the_only_argument_and_asks_who_runs_here() {
    for service in SERVICES {
        for (argument, code) in [("health", 1), ("heath", 2), ("--help", 2)] {
            let mut command = program(service);
            // Nobody listens there.
            command.envs(WHOLE).env("PORT", "1").arg(argument);
            let ended = Process::start(command).end().await;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{service} {argument}: {ended:?}");
            assert_eq!(ended.stderr.contains("accepted: nothing, or health"), code == 2, "{ended:?}");
        }
    }
}
