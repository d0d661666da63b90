//! `parlance dead-letters …`, beside a running server and without one.

use std::collections::BTreeMap;

use parlance_mock_llm::{Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{Accepted, Event, Events, Server, World, eventually, reply_of};

/// Fails the first time it is asked.
const ONCE: &str = "up again [[mock fault=http_400 times=1]]";
const ALWAYS: &str = "never up [[mock fault=http_400]]";

/// Sends a message whose task fails; gives it with all that its reader saw.
async fn failed(server: &Server, content: &str) -> (Accepted, Vec<Event>) {
    let accepted = server.say(None, content).await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    assert_eq!(events.last().unwrap().name, "failed", "{events:?}");
    (accepted, events)
}

/// Its reader comes back with the cursor of the end, until there is more to see.
async fn reopened(server: &Server, task: &str, seen: &[Event]) -> Events {
    let cursor = seen.last().unwrap().id.clone();
    eventually("the task is reopened", async || server.try_stream(task, Some(&cursor)).await.ok()).await
}

fn counts(report: &Value) -> BTreeMap<&str, u64> {
    let names = ["matched", "redriven", "discarded", "gone", "failed"];
    names.into_iter().map(|name| (name, report[name].as_u64().unwrap())).filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn a_letter_is_redriven_while_the_server_runs_and_its_reader_sees_the_reply() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let (accepted, seen) = failed(&server, ONCE).await;
    let letter = world.letters("", 1).await.remove(0);
    assert_eq!((&letter["task_id"], &letter["session_id"]), (&json!(accepted.task), &json!(accepted.session)));
    assert_eq!((&letter["subscription"], &letter["attempts"]), (&json!("llm-worker"), &json!(1)));
    assert_eq!((&letter["reason"]["code"], &letter["replay"]), (&json!("provider_rejected"), &Value::Null), "{letter}");
    let id = letter["id"].as_str().unwrap();
    let shown = world.operate_json(&format!("dead-letters show {id}")).await;
    assert_eq!(shown["event"]["data"]["content"], ONCE);

    let redrive = format!("dead-letters redrive --task {}", accepted.task);
    let dry = world.operate_json(&redrive).await;
    assert_eq!((&dry["action"], &dry["dry_run"], &dry["replay"]), (&json!("redrive"), &json!(true), &Value::Null));
    assert_eq!(counts(&dry), BTreeMap::from([("matched", 1)]));
    assert_eq!(dry["letters"][0]["result"], "would be redriven");
    assert_eq!(world.letters("", 1).await, [letter]);
    assert_eq!(world.mock.requests().len(), 1, "a dry run changes nothing");

    let done = world.operate_json(&format!("{redrive} --yes --by night-shift")).await;
    assert_eq!(counts(&done), BTreeMap::from([("matched", 1), ("redriven", 1)]));
    let replay = done["replay"]["id"].as_str().unwrap().to_owned();
    assert_eq!(done["replay"]["by"], "night-shift");
    let events = reopened(&server, &accepted.task, &seen).await.rest().await;
    assert_eq!((events[0].name.as_str(), &events[0].data), ("reset", &json!({"attempt": 2, "reason": "replayed"})));
    assert_eq!(events.last().unwrap().name, "done");
    assert_eq!(reply_of(&events), expected_reply(ONCE, 20));
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["status"], &ended["attempt"], &ended["error"]), (&json!("completed"), &json!(2), &Value::Null));
    eventually("the record has the new end", async || {
        let messages = server.messages(&accepted.session).await;
        (messages.len() == 2 && messages[1].2 == "completed").then_some(())
    })
    .await;
    world.letters("", 0).await;
    assert_eq!(counts(&world.operate_json(&format!("{redrive} --yes")).await), BTreeMap::new());

    let log = server.stop().await.stderr;
    let line = log.lines().find(|line| line.contains("sent again by an operator")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&replay) && line.contains("night-shift"), "{line}");
    assert!(!log.contains("up again"), "the message is in the log");
}

#[tokio::test]
async fn a_letter_is_redriven_while_no_server_runs_and_answered_by_the_next() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let (accepted, seen) = failed(&server, ONCE).await;
    world.letters("", 1).await;
    server.stop().await;
    let done = world.operate_json("dead-letters redrive --all --yes").await;
    assert_eq!(counts(&done), BTreeMap::from([("matched", 1), ("redriven", 1)]));
    assert!(done["replay"]["by"].as_str().unwrap().starts_with("olga@"), "{done}");
    world.letters("", 0).await;

    let server = world.start().await;
    let events = reopened(&server, &accepted.task, &seen).await.rest().await;
    assert_eq!((events[0].name.as_str(), events.last().unwrap().name.as_str()), ("reset", "done"));
    assert_eq!(server.ended(&accepted.task).await["attempt"], 2);
}

#[tokio::test]
async fn a_redriven_letter_that_fails_again_is_a_letter_again_and_says_who_sent_it() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let (accepted, _) = failed(&server, ALWAYS).await;
    let before = world.letters("", 1).await.remove(0);
    let done = world.operate_json("dead-letters redrive --reason provider_rejected --yes").await;
    assert_eq!(counts(&done), BTreeMap::from([("matched", 1), ("redriven", 1)]), "once, though it comes back at once");
    let after = eventually("the new letter", async || {
        world.letters("", 1).await.pop().filter(|letter| letter["id"] != before["id"])
    })
    .await;
    assert_eq!(after["replay"], done["replay"]);
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&json!("failed"), &json!(2)));
    assert_eq!(world.mock.requests().len(), 2);
}

#[tokio::test]
async fn letters_are_chosen_and_discarded() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let mut accepted = Vec::new();
    for n in 0..3 {
        accepted.push(failed(&server, &format!("{n} {ALWAYS}")).await.0);
    }
    let letters = world.letters("", 3).await;
    for (filter, count) in [
        ("--since 1h", 3),
        ("--until 1h", 0),
        ("--until 2126-01-01T00:00:00Z", 3),
        ("--reason provider_rejected --reason other", 3),
        ("--reason other", 0),
        ("--subscription persist-requests --subscription persist-replies", 0),
        ("--limit 2", 2),
        (&format!("--session {}", accepted[1].session), 1),
        (&format!("--id {}", letters[2]["id"].as_str().unwrap()), 1),
    ] {
        world.letters(filter, count).await;
    }
    let printed = world.operate("dead-letters list").await;
    assert_eq!(printed.stdout.lines().count(), 5, "{printed:?}");
    assert!(printed.stdout.ends_with("\n3 dead letters\n"), "{printed:?}");

    let dry = world.operate("dead-letters discard --all").await;
    assert!(
        dry.stdout.ends_with(
            "matched 3, redriven 0, discarded 0, gone 0, failed 0\nnothing was changed; add --yes to do it\n"
        ),
        "{dry:?}"
    );
    let one = world.operate_json(&format!("dead-letters discard --session {} --yes", accepted[0].session)).await;
    assert_eq!((counts(&one), &one["replay"]), (BTreeMap::from([("matched", 1), ("discarded", 1)]), &Value::Null));
    assert_eq!(one["letters"][0]["task_id"], json!(accepted[0].task));
    world.letters("", 2).await;
    let rest = world.operate("dead-letters discard --all --yes").await;
    assert!(rest.stdout.ends_with("matched 2, redriven 0, discarded 2, gone 0, failed 0\n"), "{rest:?}");
    assert_eq!(world.operate("dead-letters list").await.stdout, "no dead letters\n");
    let gone = world.operate("dead-letters show 1").await;
    assert_eq!(gone.failed_with_a_sentence(), "there is no dead letter 1");
    assert_eq!(world.mock.requests().len(), 3);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new(Script::default());
    let server = world.start().await;
    for (line, says) in [
        ("dead-letters redrive --yes", "--all"),
        ("dead-letters discard --yes --limit 3", "--all"),
        ("dead-letters list --since 1h --until 2h", "--since must be before --until"),
        ("dead-letters list --since yesterday", "an age such as"),
        ("dead-letters list --subscription nobody", "llm-worker"),
        ("dead-letters list --task ses_1", "--task"),
        ("dead-letters show", "ID"),
        ("dead-letters", "redrive"),
        ("replay --yes", "--all"),
        ("replay --seek", "--since"),
        ("replay --seek --since 1h --session ses_01890a5d00007000800000000000000a", "--seek"),
        ("replay --seek --since 2126-01-01T00:00:00Z", "future"),
        ("replay --since 1h --subscription llm-worker", "--seek"),
    ] {
        let ended = world.operate(line).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{line}: {ended:?}");
        assert!(ended.stderr.contains(says), "{line}: {ended:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn no_database_is_made_where_there_is_none() {
    let world = World::new(Script::default());
    let sentence = format!("there is no database in {}", world.data_dir().display());
    for line in [
        "dead-letters list",
        "dead-letters redrive --all --yes",
        "replay --all --yes",
        "replay --seek --since 1h --yes",
    ] {
        let ended = world.operate(line).await;
        assert!(ended.failed_with_a_sentence().starts_with(&sentence), "{line}: {ended:?}");
        assert!(!world.data_dir().exists(), "{line}");
    }
    std::fs::create_dir(world.data_dir()).unwrap();
    assert!(world.operate("dead-letters list").await.failed_with_a_sentence().starts_with(&sentence));
    assert_eq!(std::fs::read_dir(world.data_dir()).unwrap().count(), 0);
}
