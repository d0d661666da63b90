//! SIGKILL at chosen moments. Random moments: `cargo xtask bench crash` and its short form.

use std::{collections::HashMap, time::Duration};

use parlance_mock_llm::{Behaviour, Script, expected_reply};
use parlance_shared::{
    UserId,
    port::turns::{CancelOutcome, Turns as _},
    task::Status,
};

use crate::support::{Accepted, Opened, Server, World, eventually, reply_of};

const TOKENS: u32 = 30;

fn slow() -> Behaviour {
    Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(50))
}

/// The first request with a text is answered slowly, later ones at once.
fn slow_then_fast() -> Script {
    Script::in_turn([Behaviour::tokens(200).with_token_delay(Duration::from_millis(50))], Behaviour::tokens(TOKENS))
}

/// The session's messages, once there are so many.
async fn stored(server: &Server, session: &str, count: usize) -> Vec<(String, String, String)> {
    eventually("the messages are in the record", async || {
        let messages = server.messages(session).await;
        (messages.len() >= count && messages.iter().all(|(_, _, status)| status != "queued")).then_some(messages)
    })
    .await
}

fn turn(question: &str, reply: &str, status: &str) -> [(String, String, String); 2] {
    [("user", question), ("assistant", reply)].map(|(role, text)| (role.into(), text.into(), status.into()))
}

#[tokio::test]
async fn a_kill_right_after_the_202s_loses_and_doubles_nothing() {
    let world = World::new(Script::always(slow()));
    let server = world.start().await;
    let mut sessions: HashMap<String, Vec<(Accepted, String)>> = HashMap::new();
    for n in 0..8 {
        let first = server.say(None, &format!("first of {n}")).await;
        let session = first.session.clone();
        let mut turns = vec![(first, format!("first of {n}"))];
        for k in 1..3 {
            let text = format!("message {k} of {n}");
            turns.push((server.say(Some(&session), &text).await, text));
        }
        sessions.insert(session, turns);
    }
    let done = world.mock.requests().iter().filter(|request| request.ended_ms.is_some()).count();
    server.kill();
    assert!(done < 8, "the kill came too late to prove anything");

    let server = world.start().await;
    for (session, turns) in &sessions {
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        for (accepted, text) in turns {
            let ended = server.ended(&accepted.task).await;
            let reply = expected_reply(text, TOKENS);
            assert_eq!((&ended["status"], &ended["reply"]["content"]), (&"completed".into(), &reply.clone().into()));
            let [question, answer] = turn(text, &reply, "completed");
            asked.push(question);
            answered.push(answer);
        }
        // Messages stand by their time: all of these were asked before the first was answered.
        asked.append(&mut answered);
        assert_eq!(stored(&server, session, asked.len()).await, asked);
    }
    let listed = server.get("/v1/sessions?limit=100").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), sessions.len());
}

#[tokio::test]
async fn a_kill_in_mid_stream_resets_the_reader_and_stores_the_reply_once() {
    let world = World::new(slow_then_fast());
    let server = world.start().await;
    let accepted = server.say(None, "killed in the middle").await;
    let mut events = server.stream(&accepted.task, None).await;
    let mut seen = events.until("delta").await;
    server.kill();
    // What had been sent may still arrive; then the connection is lost, and nothing says that the reply is whole.
    while let Ok(Some(event)) = events.try_next().await {
        seen.push(event);
    }
    assert!(seen.iter().all(|event| !event.is_terminal()), "{seen:?}");

    let server = world.start().await;
    let resumed = server.stream(&accepted.task, Some(&seen.last().unwrap().id)).await.rest().await;
    // Text that was sent before the kill and stored may come first; never text of the new attempt.
    let reset = resumed.iter().position(|event| event.name == "reset").expect("no reset");
    assert!(resumed[..reset].iter().all(|event| event.data["attempt"] == 1), "{resumed:?}");
    assert_eq!((&resumed[reset].data["attempt"], &resumed[reset].data["reason"]), (&2.into(), &"worker_lost".into()));
    let reply = expected_reply("killed in the middle", TOKENS);
    assert_eq!(reply_of(&resumed[reset..]), reply);
    assert_eq!(resumed.last().unwrap().data["reply"]["content"], *reply);
    assert_eq!(stored(&server, &accepted.session, 2).await, turn("killed in the middle", &reply, "completed"));
    assert_eq!(world.mock.requests().len(), 2);
}

#[tokio::test]
async fn a_kill_after_the_end_runs_nothing_again() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let accepted = server.say(None, "done before").await;
    let ended = server.ended(&accepted.task).await;
    let messages = stored(&server, &accepted.session, 2).await;
    server.kill();

    let server = world.start().await;
    assert_eq!(server.task(&accepted.task).await, ended);
    assert_eq!(server.messages(&accepted.session).await, messages);
    // A later turn goes through every queue behind whatever the crash might have left there.
    let later = server.say(Some(&accepted.session), "and now?").await;
    server.ended(&later.task).await;
    stored(&server, &accepted.session, 4).await;
    let asked: Vec<String> = world.mock.requests().into_iter().map(|request| request.last_user_text).collect();
    assert_eq!(asked, ["done before", "and now?"]);
}

#[tokio::test]
async fn a_kill_right_after_the_end_of_a_stream_runs_nothing_again() {
    let world = World::new(Script::default());
    for round in 0..5 {
        let server = world.start().await;
        let text = format!("round {round}");
        let accepted = server.say(None, &text).await;
        let events = server.stream(&accepted.task, None).await.rest().await;
        // The end is stored; whether it was published, recorded, acknowledged is left to chance.
        server.kill();
        assert_eq!(events.last().unwrap().name, "done");
        let server = world.start().await;
        let expected = turn(&text, &reply_of(&events), "completed");
        assert_eq!(stored(&server, &accepted.session, 2).await, expected);
        assert_eq!(server.task(&accepted.task).await, events.last().unwrap().data);
        server.kill();
    }
    assert_eq!(world.mock.requests().len(), 5);
}

#[tokio::test]
async fn a_cancel_that_was_recorded_before_the_kill_ends_the_task_after_it() {
    let world = World::new(slow_then_fast());
    let server = world.start().await;
    let accepted = server.say(None, "cancelled and killed").await;
    let mut events = server.stream(&accepted.task, None).await;
    let seen = events.until("delta").await;
    let mut folder = world.folder().await;
    eventually("some text is stored", async || {
        (folder.number("SELECT coalesce(sum(length(text)), 0) FROM reply_log").await > 0).then_some(())
    })
    .await;
    server.kill();
    // The moment between the recorded intent and the worker that acts on it, held still.
    let opened = Opened::open(&world.data_dir()).await;
    let cancelled = opened.turns.request_cancel(&UserId::new("local"), accepted.task.parse().unwrap()).await.unwrap();
    assert_eq!(cancelled, CancelOutcome::Requested);
    opened.close().await;

    let server = world.start().await;
    let ended = server.ended(&accepted.task).await;
    assert_eq!(ended["status"], Status::Cancelled.as_str(), "{ended}");
    let kept = ended["reply"]["content"].as_str().unwrap();
    assert!(!kept.is_empty() && expected_reply("cancelled and killed", 200).starts_with(kept), "{kept:?}");
    assert_eq!(
        stored(&server, &accepted.session, 2).await,
        turn("cancelled and killed", kept, "cancelled"),
        "the partial text is kept"
    );
    let resumed = server.stream(&accepted.task, Some(&seen.last().unwrap().id)).await.rest().await;
    assert_eq!(reply_of(&resumed), kept);
    assert_eq!(resumed.last().unwrap().name, "cancelled");
    assert_eq!(world.mock.requests().len(), 1, "the provider was asked again");
}

#[tokio::test]
async fn a_message_that_kills_its_worker_every_time_fails_in_the_end_and_is_a_dead_letter() {
    let world = World::new(Script::always(Behaviour::tokens(400).with_token_delay(Duration::from_millis(50))));
    let server = world.start().await;
    let accepted = server.say(None, "the end of every worker").await;
    let mut server = Some(server);
    let mut attempts = 0;
    let ended = loop {
        let running = server.take().unwrap();
        let mut events = running.stream(&accepted.task, Some("0-0")).await;
        let last = loop {
            let event = events.next().await;
            // Text of an earlier attempt may come first.
            if event.is_terminal() || event.name == "delta" && event.data["attempt"].as_u64() > Some(attempts) {
                break event;
            }
        };
        if last.is_terminal() {
            server = Some(running);
            break last.data;
        }
        attempts = last.data["attempt"].as_u64().unwrap();
        assert!(attempts <= 12, "it is never given up");
        running.kill();
        server = Some(world.start().await);
    };
    let server = server.unwrap();
    assert_eq!(attempts, 10);
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&"failed".into(), &"worker_lost".into()), "{ended}");
    assert_eq!(world.mock.requests().len(), 10);
    eventually("it is counted as a dead letter", async || {
        let dead = server.metric("parlance_dead_letters_total{subscription=\"llm-worker\"}").await;
        (dead == 1.0).then_some(())
    })
    .await;
    // The session is not blocked by it.
    let next = server.say(Some(&accepted.session), "harmless [[mock tokens=3 delay_ms=0]]").await;
    assert_eq!(server.ended(&next.task).await["status"], "completed");
    server.stop().await;

    let opened = Opened::open(&world.data_dir()).await;
    let letters = opened.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason.code, "unanswered", "{:?}", letters[0].reason);
    assert!(letters[0].event.to_string().contains("the end of every worker"), "the original message is kept");
    opened.close().await;
}
