//! A provider that fails: retried while that can help, then a failure that speaks.

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{Event, Opened, Process, Server, World, command, eventually, reply_of};

fn resets(events: &[Event]) -> Vec<(u64, &str)> {
    let resets = events.iter().filter(|event| event.name == "reset");
    resets.map(|event| (event.data["attempt"].as_u64().unwrap(), event.data["reason"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn two_failures_and_a_success_are_a_completed_task_of_three_attempts() {
    let failing = || Behaviour::fault(Fault::Http500);
    let world = World::new(Script::in_turn([failing(), failing()], Behaviour::tokens(20)));
    let server = world.start().await;
    let accepted = server.say(None, "third time lucky").await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    assert_eq!(resets(&events), [(2, "provider_unavailable"), (3, "provider_unavailable")]);
    assert_eq!(reply_of(&events), expected_reply("third time lucky", 20));
    let end = events.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data["attempt"]), ("done", &3.into()), "{end:?}");
    assert_eq!(end.data["error"], Value::Null);
    assert_eq!(server.metric("parlance_attempts_retried_total{code=\"provider_unavailable\"}").await, 2.0);
    assert_eq!(world.mock.requests().len(), 3);
}

#[tokio::test]
async fn a_provider_that_stays_down_fails_the_task_after_the_last_attempt() {
    let world = World::new(Script::always(Behaviour::fault(Fault::Http500))).with("TURN_MAX_ATTEMPTS", "2");
    let server = world.start().await;
    let accepted = server.say(None, "in vain").await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    let end = events.last().unwrap();
    assert_eq!(end.name, "failed");
    let ended = server.ended(&accepted.task).await;
    assert_eq!(ended, end.data, "poll and stream disagree");
    let error = &ended["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&"provider_unavailable".into(), &true.into()), "{ended}");
    assert!(error["message"].as_str().unwrap().ends_with('.'), "no sentence: {error}");
    assert_eq!(ended["attempt"], 2);
    assert_eq!(world.mock.requests().len(), 2);
    eventually("it is counted as a dead letter", async || {
        let dead = server.metric("parlance_dead_letters_total{subscription=\"llm-worker\"}").await;
        (dead == 1.0).then_some(())
    })
    .await;
    let messages = eventually("the record has the end", async || {
        Some(server.messages(&accepted.session).await).filter(|messages| messages[0].2 == "failed")
    })
    .await;
    assert_eq!(messages[0].1, "in vain");
    server.stop().await;

    let opened = Opened::open(&world.data_dir()).await;
    let letters = opened.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason.code, "provider_unavailable");
    assert!(letters[0].event.to_string().contains("in vain"));
    opened.close().await;
}

#[tokio::test]
async fn a_wrong_key_fails_at_once_and_is_not_repeated_to_anybody() {
    let world = World::new(Script::default().with_key("the-right-key")).with("LLM_API_KEY", "sk-wrong-key");
    let server = world.start().await;
    let accepted = server.say(None, "let me in").await;
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&"failed".into(), &1.into()), "{ended}");
    assert_eq!(
        (&ended["error"]["code"], &ended["error"]["retryable"]),
        (&"provider_unauthorized".into(), &false.into())
    );
    assert!(!ended.to_string().contains("sk-wrong-key"), "{ended}");
    assert_eq!(world.mock.requests().len(), 1);
    let ended = server.stop().await;
    assert!(!ended.stderr.contains("sk-wrong-key"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_session_goes_on_after_a_failed_turn() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let failed = server.say(None, "fails [[mock fault=http_400]]").await;
    assert_eq!(server.ended(&failed.task).await["status"], "failed");
    let next = server.say(Some(&failed.session), "goes on").await;
    assert_eq!(server.ended(&next.task).await["status"], "completed");
}

/// A provider that is not there is no reason not to start: it may come up.
#[tokio::test]
async fn a_provider_that_is_not_there_fails_tasks_and_nothing_else() {
    let world =
        World::new(Script::default()).with("LLM_BASE_URL", "http://127.0.0.1:9/v1").with("TURN_MAX_ATTEMPTS", "1");
    let server = world.start().await;
    server.get("/health/ready").await.expect(200);
    let accepted = server.say(None, "hello?").await;
    let ended = server.ended(&accepted.task).await;
    assert_eq!(ended["error"]["code"], "provider_unreachable", "{ended}");
}

#[tokio::test]
async fn without_any_setting_the_offline_provider_answers_and_says_how_to_get_another() {
    if std::net::TcpStream::connect("127.0.0.1:11434").is_ok() {
        panic!("stop the server on port 11434, Ollama's: it would be used instead of the offline provider");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command.current_dir(folder.path());
    let server = Server::start(Process::start(command)).await;
    assert!(folder.path().join("data/parlance.db").is_file(), "the default data folder is ./data");
    let line = server.process.stdout.all().remove(0);
    assert!(line.contains("offline provider: no model is configured, set LLM_BASE_URL and LLM_MODEL"), "{line}");
    assert_eq!(server.get("/health").await.expect(200)["provider"]["provider"], "offline");
    let accepted = server.say(None, "What is a heron? A heron is a bird that stands in water.").await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    let reply = reply_of(&events);
    assert!(reply.starts_with("No language model is configured"), "{reply}");
    for name in ["LLM_BASE_URL", "LLM_MODEL", "heron"] {
        assert!(reply.contains(name), "{name} is not in {reply}");
    }
    let task = &events.last().unwrap().data;
    assert_eq!((&task["provider"], &task["reply"]["content"]), (&json!("offline"), &json!(reply)));
}
