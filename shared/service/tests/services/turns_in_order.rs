//! Many sessions over several workers, and every request twice.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_mock_llm::{Behaviour, Script, expected_counted_reply};

use crate::support::{World, eventually, reply_of};

const SESSIONS: usize = 20;
const TURNS: usize = 3;
const TOKENS: u32 = 10;

#[tokio::test]
async fn turns_keep_their_order_over_two_workers_and_duplicates_change_nothing() {
    let reply = Behaviour { echo_count: true, ..Behaviour::tokens(TOKENS) };
    let Some(world) = World::new(Script::always(reply.with_token_delay(Duration::from_millis(5)))).await else {
        return;
    };
    let (a, _worker, _persist) = world.all().await;
    let (b, _other, _another) = tokio::join!(world.ingest(), world.llm_worker(), world.persist_worker());
    world.pubsub.subscribe("the-tests-own", "parlance-requests").await;
    let text = |session: usize, turn: usize| format!("session {session} turn {turn}");
    // All turns of a session are posted before the first is answered.
    let conversations = (0..SESSIONS).map(|session| {
        let (a, b) = (&a, &b);
        async move {
            let mut accepted = vec![a.say(None, &text(session, 0)).await];
            for turn in 1..TURNS {
                let instance = if turn % 2 == 0 { a } else { b };
                accepted.push(instance.say(Some(&accepted[0].session), &text(session, turn)).await);
            }
            accepted
        }
    });
    let accepted = join_all(conversations).await;
    let duplicate = async || {
        let mut messages = Vec::new();
        eventually("all requests", async || {
            messages.extend(world.pubsub.take("the-tests-own").await);
            (messages.len() >= SESSIONS * TURNS).then_some(())
        })
        .await;
        for message in &messages {
            world.pubsub.publish("parlance-requests", message).await;
        }
    };
    duplicate().await;
    for (session, turns) in accepted.iter().enumerate() {
        for (turn, accepted) in turns.iter().enumerate() {
            let instance = if turn % 2 == 0 { &b } else { &a };
            let events = instance.stream(&accepted.task, None).await.rest().await;
            // The prompt had everything that was said before, and nothing twice.
            let expected = expected_counted_reply(&text(session, turn), 2 * turn + 1, TOKENS);
            assert_eq!(reply_of(&events), expected, "{}", text(session, turn));
        }
    }
    for (session, turns) in accepted.iter().enumerate() {
        // In the order of time: the messages were all there before the first reply.
        let recorded = a.recorded(&turns[0].session, 2 * TURNS).await;
        let of_the_user = |content: &&String| content.starts_with("session ");
        let (asked, answered): (Vec<_>, Vec<_>) = recorded.iter().partition(of_the_user);
        let texts: Vec<_> = (0..TURNS).map(|turn| text(session, turn)).collect();
        assert!(asked.into_iter().eq(&texts), "{recorded:?}");
        let replies: Vec<_> =
            (0..TURNS).map(|turn| expected_counted_reply(&texts[turn], 2 * turn + 1, TOKENS)).collect();
        assert!(answered.into_iter().eq(&replies), "{recorded:?}");
    }
    // Once more when all is done, and a last turn behind them.
    duplicate().await;
    for turns in &accepted {
        let last = b.say(Some(&turns[0].session), "last").await;
        let ended = a.completed(&last.task).await;
        assert_eq!(ended["reply"]["content"], expected_counted_reply("last", 2 * TURNS + 1, TOKENS).as_str());
    }
    assert_eq!(world.mock.requests().len(), SESSIONS * (TURNS + 1), "each was asked once");
}
