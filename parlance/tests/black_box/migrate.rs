//! `parlance migrate …`, on folders of every kind.

use std::path::Path;

use parlance_mock_llm::Script;

use crate::support::{Ended, Folder, Process, World, run};

const ALL: usize = 8;

async fn migrate(action: &str, folder: &Path) -> Ended {
    run(&["migrate", action], &[("DATA_DIR", folder.to_str().unwrap())]).await
}

/// Checks that it worked, and gives what it printed.
#[track_caller]
fn printed(ended: Ended) -> String {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout
}

async fn made(folder: &Path) {
    printed(migrate("init", folder).await);
}

#[tokio::test]
async fn a_missing_folder_is_only_made_by_init() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let status = printed(migrate("status", &folder).await);
    assert_eq!(status.lines().filter(|line| line.contains("  pending  ")).count(), ALL, "{status}");
    assert!(status.ends_with(&format!("0 applied, {ALL} pending\n")), "{status}");
    let validate = migrate("validate", &folder).await;
    assert!(validate.refused(1).contains("migration 1 is not applied; run `parlance migrate init`"), "{validate:?}");
    let stats = migrate("stats", &folder).await;
    assert!(stats.failed_with_a_sentence().contains("there is no database in"), "{stats:?}");
    assert!(!folder.exists(), "looking made it");

    let init = printed(migrate("init", &folder).await);
    assert_eq!(init, "created the database; applied 1, 2, 3, 4, 5, 6, 7, 8: the schema is at version 8\n");
    assert_eq!(printed(migrate("init", &folder).await), "nothing to apply: the schema is at version 8\n");
    let status = printed(migrate("status", &folder).await);
    assert!(status.ends_with(&format!("{ALL} applied, 0 pending\n")), "{status}");
    assert!(printed(migrate("validate", &folder).await).starts_with("valid"));
    let stats = printed(migrate("stats", &folder).await);
    let migrations = stats.lines().find(|line| line.starts_with("schema_migrations ")).unwrap();
    assert_eq!(migrations.split_whitespace().nth(1), Some("8"), "{stats}");
}

#[tokio::test]
async fn a_folder_behind_is_brought_up_to_date_and_keeps_what_it_has() {
    let place = tempfile::tempdir().unwrap();
    made(place.path()).await;
    let mut folder = Folder::open(place.path()).await;
    let secret = folder.number("SELECT sum(length(id_secret)) FROM instance").await;
    // As if a program that knew less had made it.
    for table in [
        "users",
        "sessions",
        "tasks",
        "messages",
        "write_probe",
        "branches",
        "summaries",
        "erased_users",
        "api_keys",
        "audit_log",
        "hidden_responses",
    ] {
        folder.execute(&format!("DROP TABLE {table}")).await;
    }
    for (table, column) in [("turns", "reopened_by"), ("bus_deliveries", "replay"), ("bus_dead_letters", "replay")] {
        folder.execute(&format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
    }
    for index in ["turns_unfinished", "turns_by_user", "turns_of_user", "checkpoints_of_user"] {
        folder.execute(&format!("DROP INDEX {index}")).await;
    }
    for column in [
        "turns DROP COLUMN details",
        "turns DROP COLUMN cost_micro_usd",
        "checkpoints DROP COLUMN interrupted_before",
        "checkpoints DROP COLUMN interrupted_by",
    ] {
        folder.execute(&format!("ALTER TABLE {column}")).await;
    }
    folder.execute("DELETE FROM schema_migrations WHERE version >= 4").await;
    assert!(printed(migrate("status", place.path()).await).ends_with("3 applied, 5 pending\n"));
    assert_eq!(printed(migrate("init", place.path()).await), "applied 4, 5, 6, 7, 8: the schema is at version 8\n");
    assert_eq!(folder.number("SELECT sum(length(id_secret)) FROM instance").await, secret);
    printed(migrate("validate", place.path()).await);
}

#[tokio::test]
async fn a_migration_that_is_not_the_applied_one_is_named() {
    let world = World::new(Script::default());
    made(&world.data_dir()).await;
    world.folder().await.execute("UPDATE schema_migrations SET checksum = x'00' WHERE version = 2").await;
    let drift = "migration 2 differs from the one that was applied to this database";
    for action in ["validate", "init"] {
        let ended = migrate(action, &world.data_dir()).await;
        assert_eq!(ended.failed_with_a_sentence(), drift, "{action}");
    }
    assert_eq!(Process::start(world.command()).end().await.failed_with_a_sentence(), drift);
    assert!(printed(migrate("status", &world.data_dir()).await).ends_with(&format!("{ALL} applied, 0 pending\n")));
    printed(migrate("stats", &world.data_dir()).await);
}

#[tokio::test]
async fn a_newer_database_can_be_looked_at_and_is_not_touched() {
    let place = tempfile::tempdir().unwrap();
    made(place.path()).await;
    let mut folder = Folder::open(place.path()).await;
    folder
        .execute(
            "INSERT INTO schema_migrations (version, description, installed_on, success, checksum, execution_time)
             VALUES (77, 'from the future', CURRENT_TIMESTAMP, TRUE, x'00', 0)",
        )
        .await;
    let status = printed(migrate("status", place.path()).await);
    assert!(status.lines().any(|line| line.contains("77") && line.ends_with("from the future")), "{status}");
    for action in ["validate", "init"] {
        let ended = migrate(action, place.path()).await;
        let sentence = ended.failed_with_a_sentence();
        assert!(sentence.contains("schema version 77, this program knows up to 8"), "{action}: {sentence}");
    }
    printed(migrate("stats", place.path()).await);
    assert_eq!(folder.number("SELECT count(*) FROM schema_migrations").await, i64::try_from(ALL + 1).unwrap());
}

#[tokio::test]
async fn damage_is_found_by_validate() {
    let world = World::new(Script::default());
    let server = world.start().await;
    for n in 0..20 {
        server.say(None, &format!("{n} {}", "much to say ".repeat(500))).await;
    }
    server.stop().await;
    let file = world.data_dir().join("parlance.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 64].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let ended = migrate("validate", &world.data_dir()).await;
    let told = ended.refused(1);
    assert!(told.contains("the database is damaged") || told.contains("malformed"), "{told}");
}

#[tokio::test]
async fn what_is_no_database_is_said_to_be_none() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("parlance.db"), "nothing of the kind ".repeat(1000)).unwrap();
    for action in ["status", "validate", "stats", "init"] {
        let ended = migrate(action, place.path()).await;
        let sentence = ended.failed_with_a_sentence();
        assert!(sentence.contains("not a database"), "{action}: {sentence}");
    }
    let file = place.path().join("parlance.db");
    for action in ["status", "validate", "stats", "init"] {
        let ended = migrate(action, &file).await;
        let sentence = ended.failed_with_a_sentence();
        assert!(sentence.contains("data folder") && sentence.contains("parlance.db"), "{action}: {sentence}");
    }
}

#[tokio::test]
async fn looking_works_beside_a_running_server_and_init_is_refused() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let accepted = server.say(None, "counted").await;
    server.ended(&accepted.task).await;
    assert!(printed(migrate("status", &world.data_dir()).await).ends_with(&format!("{ALL} applied, 0 pending\n")));
    printed(migrate("validate", &world.data_dir()).await);
    let stats = printed(migrate("stats", &world.data_dir()).await);
    let turns = stats.lines().find(|line| line.starts_with("turns ")).unwrap();
    assert_eq!(turns.split_whitespace().nth(1), Some("1"), "{stats}");
    let init = migrate("init", &world.data_dir()).await;
    assert!(init.failed_with_a_sentence().contains("in use by another process"), "{init:?}");
    // The server noticed nothing.
    let next = server.say(Some(&accepted.session), "goes on").await;
    assert_eq!(server.ended(&next.task).await["status"], "completed");
    server.stop().await;
    printed(migrate("validate", &world.data_dir()).await);
}

#[tokio::test]
async fn an_action_that_is_none_is_refused_with_those_there_are() {
    for arguments in [&["migrate"][..], &["migrate", "down"]] {
        let ended = run(arguments, &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    }
    assert!(run(&["migrate", "down"], &[]).await.stderr.contains("init, validate, status, stats"));
}
