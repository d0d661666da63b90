//! Messages that are to be answered only if nothing else runs, sent to two instances of the API at the same moment: neither
//! knows of the other's. One is answered, whatever the record knew; the other one is told.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use serde_json::{Value, json};

use crate::support::{Answer, Service, World, eventually};

const SESSIONS: usize = 20;

fn task_of(answer: &Answer) -> Option<String> {
    (answer.status == 202).then(|| answer.expect(202)["task_id"].as_str().unwrap().to_owned())
}

/// How both ended: a refusal at the door, or the task.
async fn ends(api: &Service, answers: [Answer; 2]) -> Vec<Value> {
    let mut ends = Vec::new();
    for answer in answers {
        ends.push(match task_of(&answer) {
            Some(task) => api.ended(&task).await,
            None => answer.expect(409),
        });
    }
    ends
}

/// One was answered; gives the other one's end.
fn only_one(ends: &[Value]) -> (&Value, &Value) {
    let (answered, refused): (Vec<&Value>, Vec<&Value>) = ends.iter().partition(|end| end["status"] == "completed");
    assert_eq!((answered.len(), refused.len()), (1, 1), "{ends:#?}");
    (answered[0], refused[0])
}

#[tokio::test]
async fn of_two_that_reject_at_once_one_is_answered() {
    // Soon over, so that a look at the clocks alone could not tell.
    let script = Script::always(Behaviour::tokens(5).with_token_delay(Duration::from_millis(5)));
    let Some(world) = World::new(script).await else { return };
    let ((a, _worker, _persist), b) = tokio::join!(world.all(), world.ingest());
    let mut refused_late = 0;
    for round in 0..SESSIONS {
        let first = a.say(None, "first").await;
        a.completed(&first.task).await;
        let path = format!("/v1/sessions/{}/messages", first.session);
        let body = |name: &str| json!({"content": format!("{name} {round}"), "strategy": "reject"});
        let (for_a, for_b) = (body("a"), body("b"));
        let (to_a, to_b) = tokio::join!(a.post(&path, &for_a), b.post(&path, &for_b));
        let ends = ends(&a, [to_a, to_b]).await;
        let (answered, refused) = only_one(&ends);
        if refused["status"] == "failed" {
            refused_late += 1;
            assert_eq!(refused["error"]["code"], "session_busy");
            assert_eq!(refused["usage"]["input_tokens"], Value::Null);
            let events = b.stream(refused["id"].as_str().unwrap(), None).await.rest().await;
            assert_eq!(events.last().unwrap().name, "failed", "{events:?}");
            // A client that comes when it is over is heard, and the refused message is in no prompt.
            let last = b.post(&path, &body("again")).await.expect(202);
            a.completed(last["task_id"].as_str().unwrap()).await;
            let asked = world.mock.requests().pop().unwrap();
            assert_eq!(asked.messages.len(), 5, "{asked:?} {answered}");
        } else {
            assert_eq!(refused["code"], "session_busy");
        }
    }
    assert!(refused_late > 0, "the instances never were at it at once");
    let letters = world.operate("dead-letters list --subscription llm-worker").await;
    assert_eq!(letters["dead_letters"].as_array().or(letters.as_array()).map_or(0, Vec::len), 0, "{letters}");
}

#[tokio::test]
async fn of_two_retries_at_once_one_takes_the_place() {
    let script = Script::always(Behaviour::tokens(5).with_token_delay(Duration::from_millis(5)));
    let Some(world) = World::new(script).await else { return };
    let ((a, _worker, _persist), b) = tokio::join!(world.all(), world.ingest());
    let mut refused_late = 0;
    for round in 0..5 {
        let first = a.say(None, &format!("why {round}? [[mock vary=1]]")).await;
        a.completed(&first.task).await;
        a.recorded(&first.session, 2).await;
        let path = format!("/v1/tasks/{}/retry", first.task);
        let body = json!({});
        let (to_a, to_b) = tokio::join!(a.post(&path, &body), b.post(&path, &body));
        let ends = ends(&a, [to_a, to_b]).await;
        let (answered, refused) = only_one(&ends);
        if refused["status"] != "failed" {
            continue;
        }
        refused_late += 1;
        assert_eq!(refused["error"]["code"], "session_busy");
        // What was answered is what the conversation goes on from, whichever of them came first.
        let said = answered["reply"]["content"].as_str().unwrap();
        eventually("the record has the answered one", async || {
            let messages = b.messages(&first.session).await;
            let listed = messages.iter().any(|(role, content, _)| role == "assistant" && content == said);
            let replies = messages.iter().filter(|(role, ..)| role == "assistant").count();
            (listed && replies == 1).then_some(())
        })
        .await;
        let last = b.say(Some(&first.session), "and then?").await;
        a.completed(&last.task).await;
        let asked = world.mock.requests().pop().unwrap();
        let prompt: Vec<&str> = asked.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(prompt[1..], [said, "and then?"]);
    }
    assert!(refused_late > 0, "the instances never were at it at once");
}
