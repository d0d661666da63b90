//! `parlance replay …`: what is done stays as it is, what is not is redone, and it is said which was which.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use serde_json::{Value, json};

use crate::support::{Accepted, Server, World, eventually};

const FAILS_ONCE: &str = "fails once [[mock fault=http_400 times=1]]";

/// The session's messages, once the record has so many and the last one's end.
async fn recorded(server: &Server, session: &str, count: usize) -> Vec<(String, String, String)> {
    eventually("the record has it all", async || {
        let messages = server.messages(session).await;
        let ended = messages.iter().all(|(_, _, status)| status != "queued");
        (messages.len() == count && ended).then_some(messages)
    })
    .await
}

fn results(report: &Value) -> Vec<(String, String)> {
    let text = |task: &Value, name: &str| task[name].as_str().unwrap().to_owned();
    let tasks = report["tasks"].as_array().unwrap().iter();
    tasks.map(|task| (text(task, "task_id"), text(task, "result"))).collect()
}

fn is(accepted: &Accepted, result: &str) -> (String, String) {
    (accepted.task.clone(), result.to_owned())
}

#[tokio::test]
async fn a_whole_session_is_replayed_and_only_what_failed_is_redone() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.say(None, "first").await;
    let second = server.say(Some(&first.session), FAILS_ONCE).await;
    let third = server.say(Some(&first.session), "third").await;
    let elsewhere = server.say(None, "elsewhere").await;
    for accepted in [&first, &second, &third, &elsewhere] {
        server.ended(&accepted.task).await;
    }
    let before = recorded(&server, &first.session, 5).await;
    recorded(&server, &elsewhere.session, 2).await;
    let of_session = format!("replay --session {}", first.session);

    let done = world.operate_json(&format!("{of_session} --yes")).await;
    assert_eq!(results(&done), [is(&first, "done"), is(&second, "failed"), is(&third, "done")]);
    assert_eq!([&done["matched"], &done["done"], &done["failed"], &done["redone"]], [3, 2, 1, 0]);
    assert_eq!(recorded(&server, &first.session, 5).await, before);

    let dry = world.operate_json(&format!("{of_session} --failed")).await;
    assert_eq!(results(&dry)[1], is(&second, "would be redone"));
    assert_eq!((&dry["dry_run"], &dry["replay"]), (&json!(true), &Value::Null));
    assert_eq!(world.mock.requests().len(), 4);

    let redone = world.operate_json(&format!("{of_session} --failed --yes")).await;
    assert_eq!(results(&redone), [is(&first, "done"), is(&second, "redone"), is(&third, "done")]);
    assert!(redone["replay"]["by"].as_str().unwrap().starts_with("olga@"), "{redone}");
    let ended = eventually("the new end", async || {
        Some(server.ended(&second.task).await).filter(|task| task["status"] == "completed")
    })
    .await;
    assert_eq!(ended["attempt"], 2);
    let after = recorded(&server, &first.session, 6).await;
    let said: Vec<_> = after.iter().filter(|message| !before.contains(message)).collect();
    assert_eq!(said.len(), 2, "the failed message and its reply: {said:?}");
    assert_eq!(world.mock.requests().len(), 5);

    // Everything, now that everything is done; also from the bus.
    let all = world.operate("replay --all --failed --yes").await;
    assert!(all.stdout.ends_with("matched 4, done 4, failed 0, redone 0, errors 0\n"), "{all:?}");
    let sought = world.operate_json("replay --seek --since 1h --yes").await;
    let waiting: Vec<_> = sought["subscriptions"].as_array().unwrap().iter().map(|one| &one["waiting"]).collect();
    // The letter of the task that failed at first stays one, whatever became of the task.
    assert_eq!(waiting, [4, 0, 5, 5, 0], "{sought}");
    // Comes after all of that in its session.
    let last = server.say(Some(&first.session), "last").await;
    assert_eq!(server.ended(&last.task).await["status"], "completed");
    let in_the_end = recorded(&server, &first.session, 8).await;
    assert_eq!(in_the_end[..6], after);
    assert_eq!(world.mock.requests().len(), 6);
    let log = server.stop().await.stderr;
    let replay = redone["replay"]["id"].as_str().unwrap();
    assert!(log.lines().any(|line| line.contains("sent again by an operator") && line.contains(replay)), "{log}");
}

/// Times, single tasks and deleted sessions, without a server.
#[tokio::test]
async fn requests_are_chosen_by_time_and_task_and_deleted_ones_never() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let (kept, deleted) = (server.say(None, "kept").await, server.say(None, "deleted").await);
    for accepted in [&kept, &deleted] {
        server.ended(&accepted.task).await;
        recorded(&server, &accepted.session, 2).await;
    }
    let path = format!("/v1/sessions/{}", deleted.session);
    assert_eq!(server.try_call(reqwest::Method::DELETE, &path, None).await.unwrap().status, 204);
    eventually("it is deleted in the record", async || {
        let report = world.operate_json("replay --since 1h").await;
        (results(&report) == [is(&kept, "done")]).then_some(())
    })
    .await;
    server.stop().await;
    for (line, count) in [
        ("--all".to_owned(), 1),
        ("--until 1h".to_owned(), 0),
        (format!("--task {}", kept.task), 1),
        (format!("--task {} --until 1h", kept.task), 0),
        (format!("--task {}", deleted.task), 0),
        (format!("--session {}", deleted.session), 0),
    ] {
        let report = world.operate_json(&format!("replay --failed {line}")).await;
        assert_eq!(report["matched"], count, "{line}: {report}");
    }
    let dry = world.operate("replay --seek --since 1h --subscription llm-worker").await;
    assert!(dry.stdout.contains("would be set") && dry.stdout.contains("add --yes"), "{dry:?}");
}

/// What the bus has lost is still in the record.
#[tokio::test]
async fn a_task_without_an_end_is_redone_from_the_record() {
    let slow = || Behaviour::tokens(50).with_token_delay(Duration::from_millis(50));
    let world = World::new(Script::in_turn([slow()], Behaviour::tokens(20)));
    let server = world.start().await;
    let accepted = server.say(None, "interrupted").await;
    let mut stream = server.stream(&accepted.task, None).await;
    let seen = stream.until("delta").await;
    eventually("the record has the request", async || {
        (server.messages(&accepted.session).await.len() == 1).then_some(())
    })
    .await;
    server.kill();
    let mut folder = world.folder().await;
    folder.execute("DELETE FROM bus_deliveries").await;
    folder.execute("DELETE FROM bus_messages").await;
    drop(folder);

    let server = world.start().await;
    let dry = world.operate_json(&format!("replay --task {}", accepted.task)).await;
    assert_eq!(results(&dry), [is(&accepted, "would be redone")]);
    assert_eq!(server.task(&accepted.task).await["status"], "running", "nobody works on it");
    let redone = world.operate_json(&format!("replay --task {} --yes", accepted.task)).await;
    assert_eq!(results(&redone), [is(&accepted, "redone")]);
    let events = server.stream(&accepted.task, Some(&seen.last().unwrap().id)).await.rest().await;
    assert_eq!((events[0].name.as_str(), &events[0].data["reason"]), ("reset", &json!("worker_lost")));
    assert_eq!(events.last().unwrap().name, "done");
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&json!("completed"), &json!(2)));
    recorded(&server, &accepted.session, 2).await;
    let again = world.operate_json(&format!("replay --task {} --yes", accepted.task)).await;
    assert_eq!(results(&again), [is(&accepted, "done")]);
}
