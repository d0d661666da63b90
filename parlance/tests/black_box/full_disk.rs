//! No room left: new messages are refused, what is there is read, nothing is half-written, and once there is room again
//! everything goes on without a restart.

use parlance_mock_llm::{Script, expected_reply};
use parlance_shared::settings::Settings;
use parlance_sqlite::DatabaseOptions;
use serde_json::{Value, json};

use crate::support::{Accepted, Answer, Folder, HttpClient, World, eventually};

// Depriving another process of room takes what only Linux has.
#[cfg(target_os = "linux")]
mod of_a_process;

const SUBMITTED: &str = "event_id LIKE '%.submitted'";
/// In every message that may be refused.
const MARK: &str = "no-room-for-this";
const SLOW_TOKENS: u32 = 60;
/// Room for the large messages, which the mock reads whatever their length.
const CONTEXT_TOKENS: &str = "100000";

/// A reply of 3 s runs while the disk fills up.
const SLOW: &str = "under way [[mock tokens=60 delay_ms=50]]";

fn message(bytes: usize) -> Value {
    json!({"content": format!("{MARK} {}", "x".repeat(bytes))})
}

/// Posts until messages are refused, large ones first: what room is left over is soon used up. Gives the tasks of those
/// that were taken, and the last refusal.
async fn until_refused(client: &HttpClient) -> (Vec<String>, Answer) {
    let mut accepted = Vec::new();
    for bytes in [60_000, 9_000, 9_000] {
        for posted in 0.. {
            assert!(posted < 500, "it is never full");
            let answer = client.post("/v1/messages", &message(bytes)).await;
            if answer.status != 202 {
                break;
            }
            accepted.push(answer.json()["task_id"].as_str().unwrap().to_owned());
        }
    }
    (accepted, client.post("/v1/messages", &message(9_000)).await)
}

/// What holds while there is no room. `before` is a turn that was completed when there still was.
async fn refuses_new_and_reads_old(client: &HttpClient, before: &Accepted, code: &str) -> Vec<String> {
    // Work that was under way gives a few pages back; after a while nothing moves any more.
    let mut accepted = Vec::new();
    let change = json!({"instructions": "x".repeat(9_000)});
    let (refused, not_ready) = eventually("nothing is taken any more", async || {
        let (taken, refused) = until_refused(client).await;
        accepted.extend(taken);
        let session = client.post("/v1/sessions", &change).await;
        let ready = client.get("/health/ready").await;
        (refused.status == 503 && session.status == 503 && ready.status == 503).then_some(([refused, session], ready))
    })
    .await;
    for refused in refused {
        let problem = refused.problem(503, code);
        assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
        assert!(problem["detail"].as_str().unwrap().contains("Try again"), "{problem}");
    }
    not_ready.problem(503, "not_ready");

    assert_eq!(client.task(&before.task).await["status"], "completed");
    assert_eq!(client.messages(&before.session).await.len(), 2);
    let events = client.stream(&before.task, None).await.rest().await;
    assert_eq!(events.last().unwrap().name, "done");
    client.get(&format!("/v1/sessions/{}", before.session)).await.expect(200);
    assert_eq!(client.get("/health").await.expect(200)["status"], "ok");
    accepted
}

/// What holds once there is room: the very next message is taken, and all that was taken before is answered.
async fn goes_on(client: &HttpClient, accepted: &[String], look: impl AsyncFn() -> Folder) {
    let next = client.post("/v1/messages", &message(60_000)).await.expect(202);
    let next = next["task_id"].as_str().unwrap();
    for task in accepted.iter().map(String::as_str).chain([next]) {
        assert_eq!(client.ended(task).await["status"], "completed");
    }
    client.get("/health/ready").await.expect(200);
    let mut folder = eventually("all is in the record", async || {
        let mut folder = look().await;
        let stored = folder.number("SELECT count(*) FROM tasks WHERE status = 'completed'").await;
        let left = folder.number("SELECT count(*) FROM bus_deliveries").await;
        (stored == folder.number(&format!("SELECT count(*) FROM bus_messages WHERE {SUBMITTED}")).await && left == 0)
            .then_some(folder)
    })
    .await;
    nothing_half_written(&mut folder, accepted.len() as i64 + 1).await;
}

/// Of the marked messages there are exactly so many, in every table, and nothing refers to what is not there.
async fn nothing_half_written(folder: &mut Folder, marked: i64) {
    let of_mark = format!("LIKE '%{MARK}%'");
    for (what, sql) in [
        ("on the bus", format!("SELECT count(*) FROM bus_messages WHERE event {of_mark} AND {SUBMITTED}")),
        ("in the record", format!("SELECT count(*) FROM messages WHERE role = 'user' AND content {of_mark}")),
        (
            "among the turns",
            format!(
                "SELECT count(*) FROM turns JOIN messages USING (task_id) WHERE role = 'user' AND content {of_mark}"
            ),
        ),
    ] {
        assert_eq!(folder.number(&sql).await, marked, "{what}");
    }
    for (what, sql) in [
        ("dead letters", "SELECT count(*) FROM bus_dead_letters"),
        ("turns of nothing", "SELECT count(*) FROM turns WHERE task_id NOT IN (SELECT id FROM tasks)"),
        ("text of turns that ended", "SELECT count(*) FROM reply_log"),
    ] {
        assert_eq!(folder.number(sql).await, 0, "{what}");
    }
    assert_eq!(folder.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'").await, 0);
}

/// One turn while there is room.
async fn a_turn(client: &HttpClient) -> Accepted {
    let accepted = client.say(None, "while there is room").await;
    client.ended(&accepted.task).await;
    eventually("it is in the record", async || (client.messages(&accepted.session).await.len() == 2).then_some(()))
        .await;
    accepted
}

/// The database's own bound, which works on every machine. Everything but the process is real.
#[tokio::test]
async fn a_database_without_room_refuses_messages_until_there_is_some() {
    let world = World::new(Script::default());
    world.start().await.stop().await;
    let mut folder = world.folder().await;
    folder.execute("CREATE TABLE filler (bytes BLOB)").await;
    folder.execute("INSERT INTO filler VALUES (randomblob(4000000))").await;
    let pages = folder.number("SELECT page_count FROM pragma_page_count").await;
    let max_pages = u32::try_from(pages).unwrap() + 200;

    let (llm, data) = (world.mock.base_url(), world.data_dir().to_str().unwrap().to_owned());
    let settings = Settings::from_variables(|name| {
        let value = match name {
            "PORT" => "0",
            "LLM_BASE_URL" => &llm,
            "LLM_MODEL" => "mock-model",
            "CONTEXT_TOKENS" => CONTEXT_TOKENS,
            "HEADINGS" => "off",
            "DATA_DIR" => &data,
            _ => return None,
        };
        Some(value.to_owned())
    });
    let options = DatabaseOptions { max_pages: Some(max_pages), ..DatabaseOptions::new(world.data_dir()) };
    let running = parlance::start_on(settings.unwrap(), options).await.unwrap();
    let client = HttpClient::new(running.address);

    let before = a_turn(&client).await;
    let under_way = client.say(None, SLOW).await;
    let accepted = refuses_new_and_reads_old(&client, &before, "storage_full").await;
    folder.execute("DROP TABLE filler").await;
    goes_on(&client, &accepted, async || world.folder().await).await;
    let ended = client.ended(&under_way.task).await;
    assert_eq!(ended["reply"]["content"], expected_reply(SLOW, SLOW_TOKENS), "{ended}");
    assert!(running.stop().await);
}
