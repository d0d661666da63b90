//! Cancel, at any time.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_reply};

use crate::support::{World, eventually, reply_of};

const LONG: u32 = 400;

/// A reply of 20 s.
fn long() -> Script {
    Script::always(Behaviour::tokens(LONG).with_token_delay(Duration::from_millis(50)))
}

#[tokio::test]
async fn a_task_that_waits_is_cancelled_before_it_starts() {
    let world = World::new(long()).with("WORKER_CONCURRENCY", "1");
    let server = world.start().await;
    let busy = server.say(None, "keeps the only worker busy").await;
    server.stream(&busy.task, None).await.until("delta").await;
    let waiting = server.say(None, "never asked").await;
    let mut events = server.stream(&waiting.task, None).await;
    assert_eq!(events.next().await.data["status"], "queued");
    eventually("it is in the record", async || (server.messages(&waiting.session).await.len() == 1).then_some(()))
        .await;

    let began = Instant::now();
    let cancelled = server.cancel(&waiting.task).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((&cancelled["status"], &cancelled["attempt"]), (&"cancelled".into(), &0.into()), "{cancelled}");
    let rest = events.rest().await;
    let last = rest.last().unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("cancelled", &cancelled), "stream and answer disagree");
    assert_eq!(cancelled["session_id"], waiting.session.as_str());
    assert_eq!(server.ended(&waiting.task).await, cancelled, "poll and answer disagree");

    // The worker that comes to it later finds it ended.
    server.cancel(&busy.task).await;
    let messages = eventually("the record has the end", async || {
        let messages = server.messages(&waiting.session).await;
        messages.first().is_some_and(|(_, _, status)| status == "cancelled").then_some(messages)
    })
    .await;
    assert_eq!(messages[0].1, "never asked");
    let asked: Vec<_> = world.mock.requests().into_iter().map(|request| request.last_user_text).collect();
    assert_eq!(asked, ["keeps the only worker busy"]);
}

#[tokio::test]
async fn a_reply_is_cut_off_at_once_and_its_partial_text_kept() {
    let world = World::new(long());
    let server = world.start().await;
    // A busy machine may hold up one cancel; it does not hold up five.
    let mut quickest = i64::MAX;
    for round in 0..5 {
        let question = format!("cancelled in mid-stream {round}");
        let accepted = server.say(None, &question).await;
        let mut events = server.stream(&accepted.task, None).await;
        let mut seen = events.until("delta").await;
        seen.extend(events.until("delta").await);

        let (began, asked_ms) = (Instant::now(), world.mock.now_ms());
        let cancelled = server.cancel(&accepted.task).await;
        let answered_ms = world.mock.now_ms();
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());

        let gone = world
            .mock
            .wait_for(Duration::from_secs(5), |requests| requests.last().is_some_and(|r| r.disconnected_ms.is_some()))
            .await;
        let gone_ms = gone.last().unwrap().disconnected_ms.expect("the provider was left waiting");
        assert!(gone_ms <= answered_ms + 100, "dropped {} ms after the answer", gone_ms - answered_ms);
        quickest = quickest.min(gone_ms - asked_ms);

        seen.extend(events.rest().await);
        let kept = reply_of(&seen);
        assert!(!kept.is_empty() && expected_reply(&question, LONG).starts_with(&kept), "{kept:?}");
        assert_eq!(seen.last().unwrap().name, "cancelled");
        assert_eq!(seen.last().unwrap().data, cancelled);
        assert_eq!(cancelled["reply"]["content"], *kept);
        let messages = eventually("the record has the end", async || {
            Some(server.messages(&accepted.session).await).filter(|messages| messages.len() == 2)
        })
        .await;
        let expected = [("user", &question), ("assistant", &kept)];
        assert_eq!(messages, expected.map(|(role, text)| (role.into(), text.clone(), "cancelled".into())));
        // Once more changes nothing.
        assert_eq!(server.cancel(&accepted.task).await, cancelled);
    }
    assert!(quickest <= 100, "the upstream request was dropped after {quickest} ms");
}

#[tokio::test]
async fn after_the_end_it_changes_nothing() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let accepted = server.say(None, "done already").await;
    let ended = server.ended(&accepted.task).await;
    assert_eq!(ended["status"], "completed");
    assert_eq!(server.cancel(&accepted.task).await, ended);
    assert_eq!(server.task(&accepted.task).await, ended);
    server.stop().await;
    let server = world.start().await;
    assert_eq!(server.cancel(&accepted.task).await, ended);
}

/// Between two attempts nothing is asked of the provider, and nothing will be.
#[tokio::test]
async fn a_task_that_waits_for_its_next_attempt_is_cancelled_at_once() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let accepted = server.say(None, "later [[mock fault=http_429 retry_after=20]]").await;
    let requests =
        world.mock.wait_for(Duration::from_secs(20), |requests| requests.iter().any(|r| r.ended_ms.is_some())).await;
    assert_eq!(requests.len(), 1);
    let began = Instant::now();
    let cancelled = server.cancel(&accepted.task).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    assert_eq!(world.mock.requests().len(), 1);
}

#[tokio::test]
async fn the_turn_after_a_cancelled_one_starts_at_once() {
    let world = World::new(long());
    let server = world.start().await;
    let first = server.say(None, "too long").await;
    server.stream(&first.task, None).await.until("delta").await;
    let second = server.say(Some(&first.session), "short [[mock tokens=3 delay_ms=0]]").await;
    server.cancel(&first.task).await;
    assert_eq!(server.ended(&second.task).await["status"], "completed");
}
