//! `parlance users …` on Pub/Sub and Postgres, beside the running services.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Process, World, eventually};

const MARKER: &str = "zebra-4711";

/// Every row of every table that has the text.
async fn rows_with(world: &World, text: &str) -> i64 {
    let tables = "SELECT count(*) FROM (SELECT relname FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
         AND (xpath('/row/n/text()', query_to_xml(format(
             'SELECT count(*) AS n FROM %I AS t WHERE t::text LIKE %L OR t::text LIKE %L', relname, '%TEXT%',
             '%' || encode(convert_to('TEXT', 'UTF8'), 'hex') || '%'), true, true, '')))[1]::text::bigint > 0) AS found";
    world.database.number(&tables.replace("TEXT", text)).await
}

async fn exported(world: &World, user: &str) -> Vec<Value> {
    let mut command = world.command("parlance");
    command.args(["users", "export", user]);
    let ended = Process::start(command).end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_user_is_exported_and_erased_with_what_runs_and_what_is_dead() {
    let script = Script::always(Behaviour::tokens(3_000).with_token_delay(Duration::from_millis(50)));
    let Some(world) = World::new(script).await else { return };
    let (ingest, _worker, _persist) = world.all().await;
    let failed = ingest.say(None, &format!("{MARKER} never [[mock fault=http_400]]")).await;
    assert_eq!(ingest.ended(&failed.task).await["status"], "failed");
    let running = ingest.say(None, &format!("{MARKER} runs")).await;
    let mut reader = ingest.stream(&running.task, None).await;
    reader.until("delta").await;
    eventually("all is recorded", async || {
        let recorded = [ingest.messages(&failed.session).await.len(), ingest.messages(&running.session).await.len()];
        (recorded == [1, 1]).then_some(())
    })
    .await;

    let lines = exported(&world, "local").await;
    let count = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((count("user"), count("session"), count("message"), count("dead_letter")), (1, 2, 2, 1));
    assert_eq!(exported(&world, "nobody").await, [Value::Null; 0]);

    let done = world.operate("users erase local --yes").await;
    assert_eq!((&done["found"]["sessions"], &done["found"]["dead_letters"]), (&json!(2), &json!(1)), "{done}");
    assert_eq!((&done["running"], &done["failed"], &done["purged"]), (&json!(0), &json!(0), &json!(true)), "{done}");
    assert_eq!((&done["erased"]["sessions"], &done["erased"]["dead_letters"]), (&json!(2), &json!(1)), "{done}");
    let events = reader.rest().await;
    assert_eq!(events.last().unwrap().name, "cancelled", "the reader learns the end: {events:?}");
    for path in [format!("/v1/tasks/{}", running.task), format!("/v1/sessions/{}", failed.session)] {
        assert_eq!(ingest.try_call(Method::GET, &path, &[], None).await.unwrap().status, 404, "{path}");
    }
    // The reply log's segments are everybody's and go a few seconds later.
    eventually("no row has the text", async || {
        if rows_with(&world, MARKER).await == 0 {
            return Some(());
        }
        world.operate("users erase local --yes").await;
        None
    })
    .await;
    assert_eq!(rows_with(&world, "local").await, 0, "the name");
    assert_eq!(exported(&world, "local").await, [Value::Null; 0]);
    assert_eq!(world.operate("dead-letters list").await, json!([]));

    // What was sent before and comes again is dropped; the user may come back.
    let anew = ingest.say(None, "somebody new [[mock tokens=3 delay_ms=0]]").await;
    ingest.completed(&anew.task).await;
    ingest.recorded(&anew.session, 2).await;
}
