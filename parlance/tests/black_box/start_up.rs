//! What the process says when it can't start, and that it then leaves nothing behind.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use parlance_mock_llm::Script;
use tempfile::TempDir;

use crate::support::{Ended, Process, Server, World, eventually, run};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn start_in(folder: &Path) -> Ended {
    run(&[], &[("DATA_DIR", text(folder))]).await
}

#[tokio::test]
async fn every_wrong_setting_is_named_with_what_is_accepted_and_nothing_is_made() {
    let place = Place::new();
    let wrong = [
        ("PORT", "80800", "0 to 65535"),
        ("LOG_LEVEL", "loud=very", "error, warn, info, debug, trace"),
        ("ENVIRONMENT", "prod", "development or production"),
        ("TURN_MAX_ATTEMPTS", "0", "from 1 to 20"),
        ("LLM_IDLE_TIMEOUT", "30", "ms, s, m, h"),
        ("LLM_API_KEY", "sk-secret", "such as https://api.openai.com/v1"),
    ];
    let mut variables: Vec<(&str, &str)> = wrong.iter().map(|(name, value, _)| (*name, *value)).collect();
    let data = place.data();
    variables.push(("DATA_DIR", text(&data)));
    let ended = run(&[], &variables).await;
    let message = ended.refused(2);
    for (name, _, accepted) in wrong {
        let name = if name == "LLM_API_KEY" { "LLM_BASE_URL" } else { name };
        let line = message.lines().find(|line| line.starts_with(&format!("{name}: ")));
        let line = line.unwrap_or_else(|| panic!("{name} is not named: {message}"));
        assert!(line.contains("; accepted: ") && line.contains(accepted), "{line}");
    }
    assert!(!message.contains("sk-secret"), "{message}");
    assert!(!data.exists());
}

#[tokio::test]
async fn production_without_identities_is_refused() {
    let place = Place::new();
    let data = place.data();
    for host in [None, Some("0.0.0.0"), Some("::")] {
        let mut variables = vec![("ENVIRONMENT", "production"), ("DATA_DIR", text(&data))];
        variables.extend(host.map(|host| ("HOST", host)));
        let ended = run(&[], &variables).await;
        let message = ended.refused(2);
        assert!(message.contains("AUTH_API_KEYS: ") && message.contains("AUTH_OIDC"), "{message}");
        assert!(!data.exists());
    }
}

#[tokio::test]
async fn production_falls_back_to_nothing() {
    let place = Place::new();
    let data = place.data();
    let ended = run(&[], &[("ENVIRONMENT", "production"), ("HOST", "127.0.0.1"), ("DATA_DIR", text(&data))]).await;
    let message = ended.refused(2);
    for name in ["DATABASE_URL: ", "LLM_BASE_URL: ", "AUTH_API_KEYS: "] {
        assert!(message.lines().any(|line| line.starts_with(name)), "{name} is not named: {message}");
    }
    assert!(!data.exists());
}

#[tokio::test]
async fn an_unknown_command_is_refused_with_what_there_is() {
    let ended = run(&["serve"], &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(
        ended.stderr.contains("unrecognized subcommand 'serve'") && ended.stderr.contains("Usage: parlance"),
        "{ended:?}"
    );
    let help = run(&["--help"], &[]).await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("migrate"), "{help:?}");
}

#[tokio::test]
async fn a_port_in_use_is_one_sentence_and_no_data_folder() {
    let place = Place::new();
    let data = place.data();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = run(&[], &[("PORT", &address.port().to_string()), ("DATA_DIR", text(&data))]).await;
    let sentence = ended.failed_with_a_sentence();
    assert!(sentence.contains(&address.to_string()) && sentence.contains("set PORT to another"), "{sentence}");
    assert!(!data.exists());
}

#[tokio::test]
async fn a_data_folder_that_can_not_be_written_is_one_sentence() {
    let place = Place::new();
    let file = place.0.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    for folder in [file.join("data"), file.clone(), "/proc/parlance-data".into(), "/dev/null/data".into()] {
        let ended = start_in(&folder).await;
        let sentence = ended.failed_with_a_sentence();
        assert!(sentence.contains(text(&folder)) && sentence.contains("DATA_DIR"), "{sentence}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "not a folder");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let world = World::new(Script::default());
    world.start().await.stop().await;
    let mut folder = world.folder().await;
    folder
        .execute(
            "INSERT INTO schema_migrations (version, description, installed_on, success, checksum, execution_time)
             VALUES (9999, 'from the future', CURRENT_TIMESTAMP, TRUE, x'00', 0)",
        )
        .await;
    let ended = Process::start(world.command()).end().await;
    let sentence = ended.failed_with_a_sentence();
    assert!(sentence.contains("schema version 9999") && sentence.contains("newer program"), "{sentence}");
    assert_eq!(folder.number("SELECT max(version) FROM schema_migrations").await, 9999);
}

#[tokio::test]
async fn a_broken_database_is_one_sentence() {
    for content in [&b"this is no database, however long the text of it may be. ".repeat(200)[..], &[0xff; 4096]] {
        let place = Place::new();
        std::fs::create_dir(place.data()).unwrap();
        std::fs::write(place.data().join("parlance.db"), content).unwrap();
        let ended = start_in(&place.data()).await;
        let sentence = ended.failed_with_a_sentence();
        assert!(sentence.contains(text(&place.data())) && sentence.contains("database"), "{sentence}");
        assert_eq!(std::fs::read(place.data().join("parlance.db")).unwrap(), content, "it was changed");
    }
}

#[tokio::test]
async fn a_database_with_its_schema_overwritten_is_one_sentence() {
    let world = World::new(Script::default());
    world.start().await.stop().await;
    let file = world.data_dir().join("parlance.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..4096].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let ended = Process::start(world.command()).end().await;
    let sentence = ended.failed_with_a_sentence();
    assert!(sentence.contains("database"), "{sentence}");
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let world = World::new(Script::default());
    let first = world.start().await;
    let ended = Process::start(world.command()).end().await;
    let sentence = ended.failed_with_a_sentence();
    assert!(sentence.contains("in use by another process") && sentence.contains("DATA_DIR"), "{sentence}");
    let accepted = first.say(None, "still there?").await;
    assert_eq!(first.ended(&accepted.task).await["status"], "completed");
    // A crash leaves no lock behind.
    first.kill();
    world.start().await.get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn it_says_where_it_listens_and_who_answers() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = &server.process.stdout.all()[0];
    let expected =
        format!("parlance listening on http://{} (LLM: mock-model at {})", server.address, world.mock.base_url());
    assert_eq!(*first, expected);
    let health = server.get("/health").await.expect(200);
    assert_eq!(health["provider"]["model"], "mock-model");
    assert_eq!(server.stop().await.stdout.lines().count(), 1);
}

/// A pager that was left, a closed terminal: nobody reads, and that is all that is wrong.
#[tokio::test]
async fn a_closed_standard_output_or_error_keeps_nobody_from_serving() {
    for environment in ["development", "production"] {
        let world = World::new(Script::default())
            .with("ENVIRONMENT", environment)
            .with("DB_TYPE", "sqlite")
            .with("HOST", "127.0.0.1")
            .with("AUTH_API_KEYS", "on");
        // Bound and let go: the port is free, and known.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = world.command();
        command.env("PORT", port.to_string()).env("LOG_LEVEL", "debug");
        let process = Process::start_unheard(command);
        let server = Server::at(process, ([127, 0, 0, 1], port).into());
        eventually("the server answers", async || {
            server
                .try_call(reqwest::Method::GET, "/health/ready", None)
                .await
                .ok()
                .filter(|answer| answer.status == 200)
        })
        .await;
        let key = world.key().await;
        let server = server.known_by(&key);
        let accepted = server.say(None, "anyone?").await;
        assert_eq!(server.ended(&accepted.task).await["status"], "completed");
        server.stop().await;
    }
}
