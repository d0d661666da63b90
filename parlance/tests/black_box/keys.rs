//! `parlance keys …` beside a server and without one, and what a key opens.

use std::time::Duration;

use parlance_mock_llm::Script;
use serde_json::{Value, json};

use crate::support::{HttpClient, Server, World, eventually};

fn asking() -> World {
    World::new(Script::default()).with("AUTH_API_KEYS", "on").with("LOG_LEVEL", "debug")
}

async fn make(world: &World, more: &str) -> (String, String) {
    let made = world.operate_json(&format!("keys create --name test {more}")).await;
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn with(server: &Server, key: &str) -> HttpClient {
    HttpClient::with_key(server.address, key)
}

async fn state(world: &World, id: &str) -> Value {
    let keys = world.operate_json("keys list").await;
    keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap_or_else(|| panic!("{id} of {keys}")).clone()
}

/// Its refusals come from what the server knows of the key, which is up to ten seconds old.
async fn is_refused(client: &HttpClient, why: &str) {
    eventually("the key is refused", async || {
        // Not so often that it is refused for that.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let answer = client.get("/v1/sessions").await;
        (answer.status == 403).then(|| assert!(answer.body.contains(why), "{answer:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_key_is_made_rotated_and_revoked_while_the_server_runs() {
    let world = asking();
    let server = world.start().await;
    server.get("/v1/sessions").await.problem(401, "unauthenticated");
    let (id, key) = make(&world, "--user ann --expires 90d --webhook-url https://hooks.example/x").await;
    assert!(key.starts_with(&format!("{id}_")) && id.starts_with("plk_"), "{id}");
    let ann = with(&server, &key);
    let accepted = ann.say(None, "hello").await;
    assert_eq!(ann.ended(&accepted.task).await["status"], "completed");
    let listed = state(&world, &id).await;
    assert_eq!(
        (&listed["state"], &listed["user"], &listed["scopes"]),
        (&json!("active"), &json!("ann"), &json!(["chat"]))
    );
    eventually("its use is noted", async || state(&world, &id).await["last_used_at"].is_string().then_some(())).await;

    let rotated = world.operate_json(&format!("keys rotate {id} --overlap 3s --by Olga")).await;
    let (new_id, new_key) = (rotated["id"].as_str().unwrap(), rotated["key"].as_str().unwrap());
    assert_eq!((&rotated["old"]["state"], &rotated["old"]["rotated_to"]), (&json!("rotated"), &json!(new_id)));
    assert_eq!((&rotated["user"], &rotated["webhook_url"]), (&json!("ann"), &json!("https://hooks.example/x")));
    let new = with(&server, new_key);
    assert_eq!(new.task(&accepted.task).await["id"], json!(accepted.task), "the same user");
    assert_eq!(ann.get("/v1/sessions").await.status, 200, "both are accepted for a while");
    is_refused(&ann, "expired").await;
    assert_eq!(state(&world, &id).await["state"], "expired");
    let again = world.operate(&format!("keys rotate {id}")).await;
    assert!(again.failed_with_a_sentence().contains("expired"), "{again:?}");

    world.operate_json(&format!("keys revoke {new_id}")).await;
    is_refused(&new, "revoked").await;
    assert_eq!(state(&world, new_id).await["state"], "revoked");
    let ended = server.stop().await;
    for secret in [key.as_str(), new_key] {
        assert!(!format!("{ended:?}").contains(secret), "a key is in the log");
    }
}

#[tokio::test]
async fn keys_made_without_a_server_work_with_the_next_one_and_users_are_apart() {
    let world = asking();
    world.start().await.stop().await;
    let (_, ann) = make(&world, "--user ann").await;
    let (_, bob) = make(&world, "--user bob").await;
    let (_, shop) = make(&world, "--user shop --scopes act-as-users").await;
    let (metrics_id, metrics) = make(&world, "--user prometheus --role operator --scopes none").await;
    let server = world.start().await;
    let (ann, bob) = (with(&server, &ann), with(&server, &bob));
    let accepted = ann.say(None, "mine").await;
    ann.ended(&accepted.task).await;
    for path in [
        format!("/v1/tasks/{}", accepted.task),
        format!("/v1/tasks/{}/stream", accepted.task),
        format!("/v1/sessions/{}", accepted.session),
        format!("/v1/sessions/{}/messages", accepted.session),
    ] {
        assert_eq!(bob.get(&path).await.status, 404, "{path}");
        assert_eq!(ann.get(&path).await.status, 200, "{path}");
    }
    bob.post(&format!("/v1/sessions/{}/messages", accepted.session), &json!({"content": "x"})).await.expect(404);
    bob.post(&format!("/v1/tasks/{}/cancel", accepted.task), &json!({})).await.expect(404);

    let as_user = |user: &str| HttpClient::with_headers(server.address, &[("x-api-key", &shop), ("x-user-id", user)]);
    let (first, second) = (as_user("1"), as_user("2"));
    let accepted = first.say(None, "for one").await;
    first.ended(&accepted.task).await;
    assert_eq!(second.get(&format!("/v1/tasks/{}", accepted.task)).await.status, 404);
    assert_eq!(with(&server, &shop).get(&format!("/v1/tasks/{}", accepted.task)).await.status, 404);

    let scraper = with(&server, &metrics);
    assert_eq!(scraper.get("/metrics").await.status, 200);
    scraper.get("/v1/sessions").await.problem(403, "forbidden");
    let noted = async || {
        let ended = world.operate("audit --since 1h --json").await;
        let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines
            .iter()
            .any(|line| line["action"] == "GET /metrics" && line["key_id"] == json!(metrics_id))
            .then_some(lines)
    };
    let noted = eventually("the call is in the audit log", noted).await;
    let made: Vec<_> = noted.iter().filter(|line| line["action"] == "keys create").collect();
    assert_eq!(made.len(), 4, "{noted:?}");
    assert!(made.iter().all(|line| line["role"] == "command" && line["actor"].as_str().unwrap().starts_with("olga@")));
    server.stop().await;
}

#[tokio::test]
async fn wrong_wishes_are_refused_by_their_names() {
    let world = asking();
    world.start().await.stop().await;
    for (line, expected) in [
        ("keys create --name a", "--user"),
        ("keys create --user a", "--name"),
        ("keys create --name a --user b --role king", "user, operator or admin"),
        ("keys create --name a --user b --scopes all", "act-as-users"),
        ("keys create --name a --user b --expires soon", "--expires"),
        ("keys create --name a --user b --expires 2020-01-01T00:00:00Z", "future"),
        ("keys create --name a --user b|c --scopes act-as-users", "without |"),
        ("keys create --name a --user https://accounts.google.com --scopes act-as-users", "without |"),
        ("keys create --name a --user b --webhook-url hooks.example", "--webhook-url is no absolute https URL"),
        ("keys revoke nonsense", "no id of a key"),
        ("keys rotate plk_a_b", "not the key"),
    ] {
        let ended = world.operate(line).await;
        assert_eq!(ended.code, Some(2), "{line}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{line}: {ended:?}");
    }
    for line in ["keys revoke plk_a", "keys rotate plk_a"] {
        assert!(world.operate(line).await.failed_with_a_sentence().contains("there is no key plk_a"));
    }
    assert_eq!(world.operate_json("keys list").await, json!([]));
    assert_eq!(world.operate("keys list").await.stdout, "no keys\n");
}

#[tokio::test]
async fn an_erased_users_keys_go_with_them() {
    let world = asking();
    let server = world.start().await;
    let (id, key) = make(&world, "--user ann").await;
    let ann = with(&server, &key);
    let accepted = ann.say(None, "hello").await;
    ann.ended(&accepted.task).await;
    let done = world.operate_json("users erase ann --yes").await;
    assert_eq!((&done["found"]["keys"], &done["keys_left"]), (&json!(1), &json!(0)), "{done}");
    let keys = world.operate_json("keys list").await;
    assert!(!keys.to_string().contains(&id), "{keys}");
    is_refused(&ann, "not known").await;
    let log = world.operate("audit --json").await.stdout;
    assert!(log.contains("users erase") && !log.contains("ann\""), "{log}");
    server.stop().await;
}

/// The data folder's key is not the only one there can be.
#[tokio::test]
async fn keys_are_made_with_the_secret_of_the_settings_where_there_is_one() {
    let secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let world = asking().with("ID_SECRET", secret);
    world.start().await.stop().await;
    let (_, key) = make(&world, "--user ann").await;
    let server = world.start().await;
    assert_eq!(with(&server, &key).get("/v1/sessions").await.status, 200);
    let (_, beside) = make(&world, "--user ann").await;
    assert_eq!(with(&server, &beside).get("/v1/sessions").await.status, 200);
    tokio::time::timeout(Duration::from_secs(10), server.stop()).await.unwrap();
}
