//! Sessions: made, changed, listed, deleted; read back at once.

use http::{Method, Request};
use parlance_shared::{
    SessionId, UserId,
    event::{MessageSubmitted, SessionChanged, SessionDeleted, from_cloud_event},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{App, Fault};

async fn create(app: &App, body: &Value) -> Value {
    let answer = app.post("/v1/sessions", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let session = answer.json();
    assert_eq!(answer.header("location"), format!("/v1/sessions/{}", session["id"].as_str().unwrap()));
    session
}

fn path(session: &Value) -> String {
    format!("/v1/sessions/{}", session["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_session_is_made_and_read_back() {
    let app = App::start().await;
    let body = json!({"heading": "Tides", "instructions": "Be brief.", "metadata": {"b": [1, null], "a": {}}});
    let session = create(&app, &body).await;
    insta::assert_json_snapshot!("session", session, {
        ".id" => "[session]", ".created_at" => "[time]", ".updated_at" => "[time]",
    });
    assert_eq!(app.get(&path(&session)).await.json(), session);
    let change: SessionChanged = from_cloud_event(&app.event().await).unwrap();
    assert_eq!(change.instructions, Some(Some("Be brief.".to_owned())));
    assert_eq!(json!(change.session_id), session["id"]);

    let empty = create(&app, &json!({})).await;
    assert_eq!((&empty["heading"], &empty["metadata"]), (&Value::Null, &Value::Null));
    assert_eq!(app.get(&path(&empty)).await.json(), empty);
}

#[tokio::test]
async fn a_change_leaves_what_is_absent_and_clears_what_is_null() {
    let app = App::start().await;
    let session = create(&app, &json!({"heading": "Tides", "instructions": "Be brief.", "metadata": {"a": 1}})).await;
    app.event().await;
    let changed = app.json(Method::PATCH, &path(&session), &json!({"heading": "Moon", "metadata": null})).await;
    assert_eq!(changed.status, 200);
    let changed = changed.json();
    assert_eq!((&changed["heading"], &changed["metadata"]), (&json!("Moon"), &Value::Null));
    assert_eq!(changed["instructions"], "Be brief.");
    assert_eq!(app.get(&path(&session)).await.json(), changed);
    let change: SessionChanged = from_cloud_event(&app.event().await).unwrap();
    assert_eq!((change.heading, change.instructions, change.metadata), (Some(Some("Moon".into())), None, Some(None)));

    assert_eq!(app.json(Method::PATCH, &path(&session), &json!({})).await.json(), changed);
    app.assert_no_event().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_session_is_named() {
    let app = App::start().await;
    let session = create(&app, &json!({})).await;
    app.event().await;
    for (body, field, code) in [
        (json!({"heading": "x".repeat(201)}), "heading", "invalid_field"),
        (json!({"heading": " "}), "heading", "invalid_field"),
        (json!({"heading": 1}), "heading", "invalid_field"),
        (json!({"instructions": "x".repeat(32 * 1024 + 1)}), "instructions", "invalid_field"),
        (json!({"instructions": "\0"}), "instructions", "invalid_field"),
        (json!({"metadata": []}), "metadata", "invalid_field"),
        (json!({"metadata": {"x": "y".repeat(16 * 1024)}}), "metadata", "invalid_field"),
        (json!({"title": "x"}), "title", "unknown_field"),
        (json!({"id": "ses_1"}), "id", "unknown_field"),
    ] {
        assert_eq!(app.post("/v1/sessions", &body).await.problem(400, code)["field"], field);
        assert_eq!(app.json(Method::PATCH, &path(&session), &body).await.problem(400, code)["field"], field);
    }
    app.assert_no_event().await;
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest() {
    let app = App::start().await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(create(&app, &json!({"heading": format!("{n}")})).await["id"].clone());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    made.reverse();
    let mut listed = Vec::new();
    let mut next = String::new();
    loop {
        let page = app.get(&format!("/v1/sessions?limit=3{next}")).await.json();
        let data = page["data"].as_array().unwrap();
        assert!((1..=3).contains(&data.len()));
        listed.extend(data.iter().map(|session| session["id"].clone()));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&before={cursor}");
    }
    assert_eq!(listed, made);
    assert_eq!(app.get("/v1/sessions").await.json()["data"].as_array().unwrap().len(), 7);

    for (query, field, code) in [
        ("limit=0", "limit", "invalid_parameter"),
        ("limit=-1", "limit", "invalid_parameter"),
        ("limit=201", "limit", "invalid_parameter"),
        ("limit=many", "limit", "invalid_parameter"),
        ("before=yesterday", "before", "unknown_cursor"),
        ("before=", "before", "unknown_cursor"),
        ("after=x", "after", "unknown_parameter"),
        ("limit=1&limit=2", "limit", "duplicate_parameter"),
    ] {
        assert_eq!(app.get(&format!("/v1/sessions?{query}")).await.problem(400, code)["field"], field);
    }
}

#[tokio::test]
async fn messages_are_read_oldest_first() {
    let app = App::start().await;
    let session: SessionId = app.mint.mint(&app.user);
    let messages = format!("/v1/sessions/{session}/messages");
    assert_eq!(app.get(&messages).await.json(), json!({"data": [], "next": null}));
    for content in ["one", "two"] {
        app.post(&messages, &json!({"content": content})).await;
        let submitted: MessageSubmitted = from_cloud_event(&app.event().await).unwrap();
        app.record(&submitted).await;
        let mut attempt = app.claim(&submitted).await;
        attempt.say(&format!("You said {content}.")).await;
        let task = app.end(attempt, Status::Completed).await;
        app.persist_end(task).await;
    }
    let page = app.get(&messages).await.json();
    insta::assert_json_snapshot!("messages", page, {
        ".data[].id" => "[message]", ".data[].session_id" => "[session]", ".data[].task_id" => "[task]",
        ".data[].created_at" => "[time]",
        ".data[].timings.accepted_at" => "[time]",
        ".data[].timings.started_at" => "[time]",
        ".data[].timings.first_token_at" => "[time]",
        ".data[].timings.finished_at" => "[time]",
        ".data[].timings.first_token_ms" => "[time]",
        ".data[].timings.total_ms" => "[time]",
    });
    let first = app.get(&format!("{messages}?limit=3")).await.json();
    let second = app.get(&format!("{messages}?limit=3&after={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!(second["next"], Value::Null);
    let both = [first["data"].as_array().unwrap().as_slice(), second["data"].as_array().unwrap()].concat();
    assert_eq!(Value::from(both), page["data"]);
    app.get(&format!("{messages}?before=1")).await.problem(400, "unknown_parameter");
}

#[tokio::test]
async fn a_deleted_session_is_gone_and_stays_so() {
    let app = App::start().await;
    let session = create(&app, &json!({"heading": "Secret"})).await;
    app.event().await;
    let gone = app.delete(&path(&session)).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    app.get(&path(&session)).await.problem(404, "session_not_found");
    app.get(&format!("{}/messages", path(&session))).await.problem(404, "session_not_found");
    app.json(Method::PATCH, &path(&session), &json!({"heading": "Back"})).await.problem(404, "session_not_found");
    assert_eq!(app.get("/v1/sessions").await.json()["data"], json!([]));
    let deleted: SessionDeleted = from_cloud_event(&app.event().await).unwrap();
    assert_eq!(json!(deleted.session_id), session["id"]);
    assert_eq!(app.delete(&path(&session)).await.status, 204);
    app.assert_no_event().await;
}

#[tokio::test]
async fn deleting_a_session_stops_what_runs_in_it() {
    let app = App::start().await;
    let answer = app.post("/v1/messages", &json!({"content": "a"})).await.json();
    let submitted: MessageSubmitted = from_cloud_event(&app.event().await).unwrap();
    let attempt = app.claim(&submitted).await;
    assert_eq!(app.delete(answer["links"]["session"].as_str().unwrap()).await.status, 204);
    assert!(attempt.claim.cancelled.is_cancelled());
    app.get(answer["links"]["task"].as_str().unwrap()).await.problem(404, "task_not_found");
}

#[tokio::test]
async fn other_users_sessions_are_unknown() {
    let app = App::start().await;
    let foreign: SessionId = app.mint.mint(&UserId::new("mallory"));
    for session in [foreign.to_string(), "ses_0".to_owned()] {
        let path = format!("/v1/sessions/{session}");
        app.get(&path).await.problem(404, "session_not_found");
        app.delete(&path).await.problem(404, "session_not_found");
        app.json(Method::PATCH, &path, &json!({"heading": "Mine"})).await.problem(404, "session_not_found");
        app.get(&format!("{path}/messages")).await.problem(404, "session_not_found");
    }
    app.assert_no_event().await;
}

#[tokio::test]
async fn a_change_is_accepted_while_the_store_is_away() {
    let app = App::start().await;
    app.store.faults.set(Fault::Unavailable);
    let session = create(&app, &json!({"heading": "Later"})).await;
    app.get(&path(&session)).await.problem(503, "unavailable");
    app.store.faults.set(Fault::None);
    // Known by its id alone until the change is applied.
    let bare = app.get(&path(&session)).await.json();
    assert_eq!((&bare["heading"], &bare["created_at"]), (&Value::Null, &session["created_at"]));
    app.persist().await;
    assert_eq!(app.get(&path(&session)).await.json(), session);

    app.bus.faults.set(Fault::Full);
    app.post("/v1/sessions", &json!({})).await.problem(503, "storage_full");
    app.json(Method::PATCH, &path(&session), &json!({"heading": "x"})).await.problem(503, "storage_full");
    app.delete(&path(&session)).await.problem(503, "storage_full");
    assert_eq!(app.get(&path(&session)).await.json(), session);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let app = App::start().await;
    let send = async |content_type: &str, body: &str| {
        let request = Request::post("/v1/sessions").header("content-type", content_type);
        app.send(request, body.to_owned()).await
    };
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""]
    {
        let problem = send(content_type, "{}").await.problem(415, "unsupported_media_type");
        assert_eq!(problem["accepted"], json!(["application/json"]));
    }
    app.send(Request::post("/v1/sessions"), "{}").await.problem(415, "unsupported_media_type");
    for body in ["", "{", "{}x", "{'heading': 1}", "\u{feff}{}"] {
        send("application/json", body).await.problem(400, "invalid_json");
    }
    for body in ["[]", "null", "1", "\"x\""] {
        send("application/json", body).await.problem(400, "invalid_field");
    }
    for content_type in ["application/json", "APPLICATION/JSON; charset=utf-8"] {
        assert_eq!(send(content_type, " {} ").await.status, 201);
    }
}
