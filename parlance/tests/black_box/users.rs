//! `parlance users …`, beside a running server and without one; and what a deleted session leaves behind.

use std::{
    fs,
    time::{Duration, Instant},
};

use parlance_mock_llm::{Behaviour, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Process, Server, World, eventually};

const MARKER: &str = "zebra-4711";

/// Answered in two seconds and more.
fn slow() -> Script {
    Script::always(Behaviour::tokens(100).with_token_delay(Duration::from_millis(50)))
}

/// In which files of the data folder the text is.
fn files_with(world: &World, text: &str) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let files = fs::read_dir(world.data_dir()).unwrap().map(|entry| entry.unwrap().path());
    let found = files.filter(|path| path.is_file() && has(&fs::read(path).unwrap()));
    found.map(|path| path.display().to_string()).collect()
}

/// A message whose task fails: its letter holds it.
async fn dead(world: &World, server: &Server) -> String {
    let accepted = server.say(None, &format!("{MARKER} never [[mock fault=http_400]]")).await;
    assert_eq!(server.ended(&accepted.task).await["status"], "failed");
    world.letters("", 1).await;
    accepted.session
}

async fn exported(world: &World, line: &str) -> Vec<Value> {
    let ended = world.operate(line).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(lines: &[Value], kind: &str) -> usize {
    lines.iter().filter(|line| line["kind"] == kind).count()
}

#[tokio::test]
async fn a_user_is_exported_and_erased_while_the_server_runs() {
    let world = World::new(slow());
    let server = world.start().await;
    let failed = dead(&world, &server).await;
    let running = server.say(None, &format!("{MARKER} runs")).await;
    let mut reader = server.stream(&running.task, None).await;
    reader.until("delta").await;
    let waiting = server.say(Some(&running.session), &format!("{MARKER} waits")).await;
    eventually("the record has all", async || (server.messages(&running.session).await.len() == 2).then_some(())).await;

    let lines = exported(&world, "users export local").await;
    assert_eq!((count(&lines, "user"), count(&lines, "session"), count(&lines, "dead_letter")), (1, 2, 1));
    let said: Vec<&str> =
        lines.iter().filter(|line| line["kind"] == "message").map(|line| line["content"].as_str().unwrap()).collect();
    assert!(said.contains(&&*format!("{MARKER} runs")) && said.contains(&&*format!("{MARKER} waits")), "{said:?}");
    let letter = lines.iter().find(|line| line["kind"] == "dead_letter").unwrap();
    assert!(letter["event"]["data"]["content"].as_str().unwrap().contains(MARKER));
    assert_eq!(exported(&world, "users export nobody").await, [Value::Null; 0]);

    let dry = world.operate_json("users erase local").await;
    assert_eq!(
        (&dry["dry_run"], &dry["found"]["sessions"], &dry["found"]["dead_letters"]),
        (&json!(true), &json!(2), &json!(1))
    );
    assert!(!files_with(&world, MARKER).is_empty());
    assert_eq!(server.task(&running.task).await["status"], "running", "a dry run changes nothing");

    let done = world.operate_json("users erase local --yes").await;
    assert_eq!(
        (&done["dry_run"], &done["running"], &done["purged"], &done["failed"]),
        (&json!(false), &json!(0), &json!(true), &json!(0))
    );
    assert_eq!((&done["erased"]["sessions"], &done["erased"]["dead_letters"]), (&json!(2), &json!(1)));
    let events = reader.rest().await;
    assert_eq!(events.last().unwrap().name, "cancelled", "the reader learns the end: {events:?}");
    for task in [&running.task, &waiting.task] {
        server.get(&format!("/v1/tasks/{task}")).await.problem(404, "task_not_found");
    }
    for session in [&running.session, &failed] {
        server.get(&format!("/v1/sessions/{session}")).await.problem(404, "session_not_found");
    }
    let no_trace = async || files_with(&world, MARKER).is_empty().then_some(());
    no_trace().await.unwrap_or_else(|| panic!("left in {:?}", files_with(&world, MARKER)));
    assert_eq!(exported(&world, "users export local").await, [Value::Null; 0]);
    world.letters("", 0).await;

    let again = world.operate_json("users erase local --yes").await;
    assert_eq!((&again["erased"]["sessions"], &again["erased"]["messages"]), (&json!(0), &json!(0)));
    let anew = server.say(None, "somebody new [[mock tokens=3 delay_ms=0]]").await;
    eventually("the new user is recorded", async || (!server.messages(&anew.session).await.is_empty()).then_some(()))
        .await;
    let log = server.stop().await.stderr;
    assert!(!log.contains(MARKER), "{log}");
}

#[tokio::test]
async fn a_user_is_exported_and_erased_without_a_server_also_after_a_crash() {
    let world = World::new(slow());
    let server = world.start().await;
    dead(&world, &server).await;
    let running = server.say(None, &format!("{MARKER} runs")).await;
    server.stream(&running.task, None).await.until("delta").await;
    eventually("it is recorded", async || (server.messages(&running.session).await.len() == 1).then_some(())).await;
    server.kill();

    let file = world.data_dir().parent().unwrap().join("export.jsonl");
    let line = format!("users export local --out {}", file.display());
    assert_eq!(exported(&world, &line).await, [Value::Null; 0]);
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains(&format!("{MARKER} runs")) && written.lines().count() >= 4, "{written}");
    let refused = world.operate(&line).await;
    assert!(refused.failed_with_a_sentence().contains("export.jsonl"), "an export is not overwritten");

    let done = world.operate_json("users erase local --yes").await;
    assert_eq!((&done["running"], &done["purged"]), (&json!(0), &json!(true)), "{done}");
    assert_eq!(files_with(&world, MARKER), [""; 0]);
    // The next process finds nothing to take up.
    let server = world.start().await;
    server.get(&format!("/v1/tasks/{}", running.task)).await.problem(404, "task_not_found");
    let asked = world.mock.requests().len();
    let anew = server.say(None, "somebody new [[mock tokens=3 delay_ms=0]]").await;
    server.ended(&anew.task).await;
    assert_eq!(world.mock.requests().len(), asked + 1, "the erased message was sent to the model");
    server.stop().await;
}

#[tokio::test]
async fn an_erasure_that_was_killed_is_finished_by_the_next() {
    let world = World::new(slow());
    world.start().await.stop().await;
    let sessions = 3_000;
    let mut folder = world.folder().await;
    // As the program's own connection.
    folder.execute("PRAGMA secure_delete = on").await;
    let numbers = format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {sessions})");
    for insert in [
        "INSERT INTO users VALUES ('local', 1)".to_owned(),
        format!(
            "INSERT INTO sessions (id, user_id, heading, created_at, updated_at)
             {numbers} SELECT printf('ses_0190000000007000800000000%07x', n), 'local', '{MARKER} ' || n, n, n FROM n"
        ),
        format!(
            "INSERT INTO messages (task_id, role, id, session_id, user_id, content, created_at, sorts_at)
             {numbers} SELECT printf('tsk_0190000000007000800000000%07x', n), 'user',
                 printf('msg_0190000000007000800000000%07x', n), printf('ses_0190000000007000800000000%07x', n), 'local',
                 '{MARKER} ' || n, n, n FROM n"
        ),
    ] {
        folder.execute(&insert).await;
    }
    let mut command = world.command();
    command.args(["users", "erase", "local", "--yes"]);
    let mut erasing = Process::start(command);
    let deadline = Instant::now() + PATIENCE;
    while folder.number("SELECT count(*) FROM sessions WHERE user_id = ''").await == 0 {
        assert!(Instant::now() < deadline);
    }
    erasing.kill();
    let erased = folder.number("SELECT count(*) FROM sessions WHERE user_id = ''").await;
    assert!(erased > 0 && erased < sessions, "{erased}");
    drop(folder);

    let done = world.operate_json("users erase local --yes").await;
    assert_eq!(done["erased"]["sessions"], json!(sessions - erased));
    assert_eq!(files_with(&world, MARKER), [""; 0]);
    let mut folder = world.folder().await;
    for table in ["users", "messages", "sessions WHERE user_id <> ''", "sessions WHERE heading IS NOT NULL"] {
        assert_eq!(folder.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_deleted_session_takes_its_dead_letters_along() {
    let world = World::new(slow());
    let server = world.start().await;
    let session = dead(&world, &server).await;
    let other = server.say(None, "kept [[mock fault=http_400]]").await;
    server.ended(&other.task).await;
    world.letters("", 2).await;
    let deleted = server.try_call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await.unwrap();
    assert_eq!(deleted.status, 204);
    let letters = world.letters("", 1).await;
    assert_eq!(letters[0]["session_id"], json!(other.session));
    let mut folder = world.folder().await;
    for (table, column) in [("bus_messages", "event"), ("turns", "reply"), ("checkpoints", "checkpoint")] {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} LIKE '%{MARKER}%'");
        assert_eq!(folder.number(&sql).await, 0, "{table}");
    }
    drop(folder);
    server.stop().await;
    assert_eq!(files_with(&world, MARKER), [""; 0], "the last commits are in the file, and nothing else is");
}

#[tokio::test]
async fn a_wrong_retention_is_refused_and_a_right_one_is_taken() {
    let refused = World::new(Script::default()).with("RETENTION_DAYS", "0");
    let ended = Process::start(refused.command()).end().await;
    assert!(ended.refused(2).contains("RETENTION_DAYS"), "{ended:?}");

    let world = World::new(Script::default()).with("RETENTION_DAYS", "30");
    let server = world.start().await;
    let recent = server.say(None, "recent").await;
    server.ended(&recent.task).await;
    let old = server.say(None, &format!("{MARKER} old")).await;
    server.ended(&old.task).await;
    eventually("both are recorded", async || {
        let both = [server.messages(&recent.session).await, server.messages(&old.session).await];
        both.iter().all(|messages| messages.len() == 2).then_some(())
    })
    .await;
    server.stop().await;
    let mut folder = world.folder().await;
    let month = 31_i64 * 24 * 3_600_000;
    for aging in [
        format!("UPDATE sessions SET created_at = created_at - {month}, updated_at = updated_at - {month}"),
        format!("UPDATE turns SET accepted_at = accepted_at - {month}"),
    ] {
        let which = if aging.contains("sessions") { "id" } else { "session_id" };
        folder.execute(&format!("{aging} WHERE {which} = '{}'", old.session)).await;
    }
    drop(folder);
    let server = world.start().await;
    eventually("the old session is deleted", async || {
        let found = server.get(&format!("/v1/sessions/{}", old.session)).await;
        (found.status == 404).then_some(())
    })
    .await;
    assert!(server.metric("parlance_sessions_expired_total").await >= 1.0);
    assert_eq!(server.messages(&recent.session).await.len(), 2);
    server.stop().await;
    assert_eq!(files_with(&world, MARKER), [""; 0]);
}
