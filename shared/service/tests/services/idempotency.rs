//! An idempotency key is the user's, not an instance's.

use reqwest::Method;
use serde_json::{Value, json};

use parlance_mock_llm::Script;

use crate::support::{HttpClient, World, eventually};

async fn post(instance: &HttpClient, body: &Value) -> (u16, Value) {
    let headers = [("idempotency-key", "the-key-1")];
    let answer = instance.try_call(Method::POST, "/v1/messages", &headers, Some(body)).await.unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[tokio::test]
async fn the_same_key_on_two_instances_at_once_is_one_task_one_reply_and_one_charge() {
    let Some(world) = World::new(Script::default()).await else { return };
    let (a, _worker, _persist) = world.all().await;
    let b = world.ingest().await;
    let body = json!({"content": "only once"});
    let (first, second) = tokio::join!(post(&a, &body), post(&b, &body));
    assert_eq!(first.0, 202);
    assert_eq!(first, second);
    let task = first.1["task_id"].as_str().unwrap();
    let session = first.1["session_id"].as_str().unwrap();
    a.completed(task).await;
    let recorded = b.recorded(session, 2).await;
    // Both deliveries have come and gone once a later message of the session is answered.
    let later = b.say(Some(session), "later").await;
    b.completed(&later.task).await;
    assert_eq!(a.recorded(session, 4).await[..2], recorded);
    let charged: Vec<_> = world.mock.requests().into_iter().map(|request| request.last_user_text).collect();
    assert_eq!(charged, ["only once", "later"]);

    // Long after, on either: the same 202 for the same request, a 409 for another.
    for instance in [&a, &b] {
        assert_eq!(post(instance, &body).await, first);
        let (status, problem) = post(instance, &json!({"content": "something else"})).await;
        assert_eq!((status, &problem["code"]), (409, &"idempotency_key_reused".into()), "{problem}");
    }
    eventually("nothing more was asked", async || (world.mock.requests().len() == 2).then_some(())).await;
}
