//! Keys in Postgres, before two instances that know nothing of each other.

use parlance_mock_llm::{Behaviour, Script};
use serde_json::{Value, json};

use crate::support::{Answer, HttpClient, World, eventually};

async fn call(client: &HttpClient, key: &str, path: &str) -> Answer {
    client.try_call(reqwest::Method::GET, path, &[("x-api-key", key)], None).await.unwrap()
}

#[tokio::test]
async fn a_key_opens_every_instance_and_a_revoked_one_none() {
    let script = Script::always(Behaviour::tokens(3));
    let Some(world) = World::new(script).await else { return };
    let world = world.with("AUTH_API_KEYS", "on");
    let (a, _worker, _persist) = world.all().await;
    let b = world.ingest().await;
    let made = world.operate_as_owner("keys create --name app --user ann").await;
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let stranger = world.operate_as_owner("keys create --name other --user bob").await;
    let stranger = stranger["key"].as_str().unwrap();

    let message = json!({"content": "hello"});
    let headers = [("authorization", format!("Bearer {key}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let accepted = a.try_call(reqwest::Method::POST, "/v1/messages", &headers, Some(&message)).await.unwrap();
    let task = accepted.expect(202)["task_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{task}?wait=20");
    assert_eq!(call(&b, key, &path).await.expect(200)["status"], "completed");
    for instance in [&*a, &*b] {
        assert_eq!(instance.get(&path).await.status, 401);
        assert_eq!(call(instance, stranger, &path).await.status, 404);
    }

    let rotated = world.operate_as_owner(&format!("keys rotate {id} --overlap 24h")).await;
    let new = rotated["key"].as_str().unwrap();
    for instance in [&*a, &*b] {
        assert_eq!(call(instance, key, &path).await.status, 200, "for a while");
        assert_eq!(call(instance, new, &path).await.status, 200, "at once");
    }
    world.operate_as_owner(&format!("keys revoke {id}")).await;
    for instance in [&*a, &*b] {
        eventually("the old key is refused", async || {
            // Not so often that it is refused for that.
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            let answer = call(instance, key, &path).await;
            (answer.status == 403 && answer.expect(403)["detail"].as_str().unwrap().contains("revoked")).then_some(())
        })
        .await;
        assert_eq!(call(instance, new, &path).await.status, 200);
    }
    let listed = world.operate_as_owner("keys list").await;
    let used = |key: &Value| key["id"] == id && key["last_used_at"].is_string() && key["state"] == "revoked";
    assert!(listed.as_array().unwrap().iter().any(used), "{listed}");
}

#[tokio::test]
async fn a_database_that_is_away_keeps_nobody_out_who_was_let_in() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(3))).await else { return };
    let world = world.with("AUTH_API_KEYS", "on");
    let ingest = world.ingest().await;
    let made = world.operate_as_owner("keys create --name app --user ann").await;
    let key = made["key"].as_str().unwrap();
    assert_eq!(call(&ingest, key, "/v1/sessions").await.status, 200);
    // Cut connections are made anew, and what was known meanwhile serves.
    world.database.cut_all().await;
    assert_eq!(call(&ingest, key, "/").await.status, 200);
}
