//! `/v1/responses` step by step: before the record knows of a response, while its reply runs, and long after.

use parlance_shared::{
    TaskId, UserId,
    event::{MessageSubmitted, from_cloud_event},
    id::PrefixedId as _,
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{Answer, App, Fault, Frame};

fn id_of(task: TaskId) -> String {
    format!("resp_{}", task.uuid().as_simple())
}

fn path(task: TaskId) -> String {
    format!("/v1/responses/{}", id_of(task))
}

/// Creates a response in the background, and gives its event.
async fn ask(app: &App, body: Value) -> MessageSubmitted {
    let mut body = body;
    body["background"] = true.into();
    let answer = app.post("/v1/responses", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let submitted: MessageSubmitted = from_cloud_event(&app.event().await).unwrap();
    assert_eq!(answer.json()["id"], id_of(submitted.task_id));
    submitted
}

async fn answer(app: &App, submitted: &MessageSubmitted, text: &str) {
    app.record(submitted).await;
    let mut attempt = app.claim(submitted).await;
    attempt.say(text).await;
    let task = app.end(attempt, Status::Completed).await;
    app.persist_end(task).await;
}

#[track_caller]
fn error(answer: &Answer, status: u16, code: &str) -> Value {
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{answer:?}");
    error
}

fn kinds(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.event.strip_prefix("response.").unwrap()).collect()
}

fn number(frame: &Frame) -> u64 {
    frame.data["sequence_number"].as_u64().unwrap()
}

#[tokio::test]
async fn from_the_first_answer_on_a_response_is_there_for_its_owner_alone() {
    let app = App::start_with(|state| state.limits.record_patience = std::time::Duration::from_millis(20)).await;
    let submitted = ask(&app, json!({"input": "hello", "model": "m", "metadata": {"a": "b"}})).await;
    let early = app.get(&path(submitted.task_id)).await.json();
    assert_eq!(
        (&early["status"], &early["output"], &early["model"]),
        (&json!("queued"), &json!([]), &json!("outline"))
    );
    let items = app.get(&format!("{}/input_items", path(submitted.task_id))).await;
    assert_eq!((items.status.as_u16(), items.header("x-should-retry")), (503, "true"), "it comes");
    app.record(&submitted).await;
    let known = app.get(&path(submitted.task_id)).await.json();
    assert_eq!((&known["status"], &known["model"]), (&json!("queued"), &json!("m")));
    assert_eq!((&known["metadata"], &known["background"]), (&json!({"a": "b"}), &json!(true)));
    let of_bob: TaskId = app.mint.mint(&UserId::new("bob"));
    for path in [path(of_bob), format!("{}?stream=true", path(of_bob)), "/v1/responses/resp_1".to_owned()] {
        error(&app.get(&path).await, 404, "response_not_found");
    }

    error(&app.delete(&path(of_bob)).await, 404, "response_not_found");
    error(&app.post(&format!("{}/cancel", path(of_bob)), &json!({})).await, 404, "response_not_found");
    let previous = json!({"input": "a", "previous_response_id": id_of(of_bob)});
    let refused = error(&app.post("/v1/responses", &previous).await, 404, "previous_response_not_found");
    assert_eq!(refused["param"], "previous_response_id");
    app.assert_no_event().await;
}

#[tokio::test]
async fn the_stream_is_the_same_while_the_reply_runs_and_when_only_the_record_has_it() {
    let app = App::start().await;
    let submitted = ask(&app, json!({"input": "hello"})).await;
    app.record(&submitted).await;
    let all = format!("{}?stream=true", path(submitted.task_id));
    let mut stream = app.stream(&all).await;
    let mut seen = vec![stream.next().await.unwrap(), stream.next().await.unwrap()];
    let mut attempt = app.claim(&submitted).await;
    attempt.say("Stale").await;
    while !kinds(&seen).contains(&"output_text.delta") {
        seen.push(stream.next().await.unwrap());
    }
    let mut attempt = app.retry(attempt, "provider_stalled").await;
    attempt.say("Hel").await;
    while seen.last().unwrap().data["delta"] != "Hel" {
        seen.push(stream.next().await.unwrap());
    }
    attempt.say("lo").await;
    let task = app.end(attempt, Status::Completed).await;
    seen.extend(stream.rest().await);
    let wanted = [
        "created",
        "queued",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds(&seen), wanted);
    assert_eq!(seen[6].data["item"]["status"], "incomplete");
    let last = seen.last().unwrap().data["response"].clone();
    assert_eq!(last["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(last["output"].as_array().unwrap().len(), 1);

    app.persist_end(task).await;
    app.expire_one_reply().await;
    assert_eq!(app.get(&path(submitted.task_id)).await.json(), last);
    for (at, frame) in seen.iter().enumerate() {
        let rest = app.stream(&format!("{all}&starting_after={}", number(frame))).await.rest().await;
        assert!(rest.iter().all(|after| number(after) > number(frame)));
        let text: String = seen[..=at]
            .iter()
            .chain(&rest)
            .filter(|frame| frame.data["output_index"] == 1)
            .filter_map(|frame| frame.data["delta"].as_str())
            .collect();
        assert_eq!(text, "Hello", "after {frame:?}");
        assert_eq!(rest.last(), (at + 1 < seen.len()).then(|| seen.last().unwrap()));
    }
}

#[tokio::test]
async fn without_a_database_a_new_response_is_accepted_and_nothing_is_denied() {
    let app = App::start_with(|state| {
        state.limits.read_timeout = std::time::Duration::from_millis(100);
        state.limits.record_patience = std::time::Duration::from_millis(20);
    })
    .await;
    let submitted = ask(&app, json!({"input": "hello"})).await;
    answer(&app, &submitted, "hi").await;
    app.store.faults.set(Fault::Unavailable);
    ask(&app, json!({"input": "also"})).await;
    for call in [path(submitted.task_id), format!("{}?stream=true", path(submitted.task_id))] {
        let refused = app.get(&call).await;
        assert_eq!((refused.status.as_u16(), refused.header("x-should-retry")), (503, "true"), "{refused:?}");
        assert!(!refused.json().to_string().contains("secret"), "{refused:?}");
    }
    let next = json!({"input": "a", "previous_response_id": id_of(submitted.task_id)});
    assert_eq!(app.post("/v1/responses", &next).await.status, 503);
    app.store.faults.set(Fault::None);
    assert_eq!(app.get(&path(submitted.task_id)).await.json()["status"], "completed");
}

#[tokio::test]
async fn a_turn_that_was_accepted_a_moment_ago_makes_the_next_one_a_fork() {
    let app = App::start().await;
    let one = ask(&app, json!({"input": "one"})).await;
    answer(&app, &one, "1").await;
    let two = ask(&app, json!({"input": "two", "previous_response_id": id_of(one.task_id)})).await;
    assert_eq!((two.session_id, two.input.history.len()), (one.session_id, 0));
    // Nothing but this instance's memory knows of the second turn.
    let fork = ask(&app, json!({"input": "other", "previous_response_id": id_of(one.task_id)})).await;
    assert_ne!(fork.session_id, one.session_id);
    let told: Vec<&str> = fork.input.history.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(told, ["one", "1"]);

    // One that still runs can be gone on from in its turn only.
    app.record(&two).await;
    let three = ask(&app, json!({"input": "three", "previous_response_id": id_of(two.task_id)})).await;
    assert_eq!(three.session_id, one.session_id);
    let early = json!({"input": "fork", "previous_response_id": id_of(two.task_id)});
    let refused = app.post("/v1/responses", &early).await;
    assert_eq!(error(&refused, 409, "task_not_ended")["param"], "previous_response_id");
    assert_eq!(refused.header("x-should-retry"), "false");
}

#[tokio::test]
async fn what_can_not_be_had_is_refused_by_name_and_what_asks_for_nothing_is_taken() {
    let app = App::start().await;
    let function = |name: &str| json!({"type": "function", "name": name});
    let tools = json!([function("a"), function("b"), function("c")]);
    let allowed = |tools: Value| json!({"type": "allowed_tools", "mode": "required", "tools": tools});
    for (name, value, param) in [
        ("input", json!([{"type": "item_reference", "id": "msg_1"}]), "input[0].type"),
        ("input", json!([{"id": "msg_1"}]), "input[0].id"),
        ("include", json!(["reasoning.encrypted_content", "message.output_text.logprobs"]), "include[1]"),
        ("include", json!("message.output_text.logprobs"), "include"),
        ("top_logprobs", json!(5), "top_logprobs"),
        ("max_tool_calls", json!(0), "max_tool_calls"),
        ("max_tool_calls", json!("two"), "max_tool_calls"),
        ("tool_choice", allowed(json!([function("z")])), "tool_choice.tools[0]"),
        ("tool_choice", json!({"type": "mcp", "server_label": "s"}), "tool_choice.type"),
        ("prompt", json!({"id": "pmpt_1"}), "prompt"),
    ] {
        let mut body = json!({"input": "hello", "tools": tools});
        body[name] = value;
        let refused = error(&app.post("/v1/responses", &body).await, 400, "invalid_field");
        assert_eq!(refused["param"], param, "{refused}");
    }
    app.assert_no_event().await;
    let asked = json!({
        "input": "hello", "tools": tools, "tool_choice": allowed(json!([function("c"), function("a")])), "max_tool_calls": 3,
        "include": ["reasoning.encrypted_content", "file_search_call.results"], "top_logprobs": 0, "background": true,
    });
    let shown = app.post("/v1/responses", &asked).await.json();
    assert_eq!((&shown["tool_choice"], &shown["status"]), (&asked["tool_choice"], &json!("queued")), "{shown}");
    let submitted: MessageSubmitted = from_cloud_event(&app.event().await).unwrap();
    let nested = |name: &str| json!({"type": "function", "function": {"name": name}});
    assert_eq!(
        submitted.input.tools,
        Some(json!([nested("c"), nested("a")])),
        "no provider has to know of allowed_tools"
    );
    assert_eq!(submitted.input.tool_choice, Some(json!("required")));
}

#[tokio::test]
async fn a_hidden_response_is_kept_in_its_conversation() {
    let app = App::start().await;
    let one = ask(&app, json!({"input": "one"})).await;
    answer(&app, &one, "1").await;
    let two = ask(&app, json!({"input": "two", "previous_response_id": id_of(one.task_id)})).await;
    let one_path = path(one.task_id);
    for _ in 0..2 {
        assert_eq!(app.delete(&one_path).await.json()["deleted"], true);
    }
    app.assert_no_event().await;
    assert!(app.store.inner.response_is_hidden(&app.user, one.task_id).await.unwrap());
    error(&app.get(&path(one.task_id)).await, 404, "response_not_found");
    assert_eq!(app.get(&format!("/v1/tasks/{}", one.task_id)).await.json()["reply"]["content"], "1");
    app.record(&two).await;
    assert_eq!(app.get(&path(two.task_id)).await.json()["previous_response_id"], id_of(one.task_id));
}
