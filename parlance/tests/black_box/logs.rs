//! What the logs say, and what they never say.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Raw, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Accepted, Ended, Server, World, eventually};

/// In the message, in its metadata, in the session's fields.
const QUESTION: &str = "zebrafinch-question";
/// In the reply.
const REPLY: &str = "okapi-reply";
const KEY: &str = "sk-wombat-key";
const PASSWORD: &str = "quokka-password";

fn event(content: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": content}}]}))
}

fn finish() -> String {
    let chunk = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    format!("data: {chunk}\n\ndata: [DONE]\n\n")
}

/// Says [`REPLY`], and before that fails in ways that quote what it was sent, as providers do.
fn telling() -> Script {
    Script::choose(|request| {
        let quoted = request.last_user_text;
        match request.attempt {
            0 if quoted.contains("quoted") => {
                let error = json!({"error": {"message": format!("Can't answer {quoted:?}"), "code": null}});
                Raw::json(500, error.to_string()).into()
            }
            0 if quoted.contains("validated") => {
                let detail =
                    json!({"detail": [{"type": "string_type", "loc": ["body"], "input": {"content": quoted}}]});
                Raw::json(500, detail.to_string()).into()
            }
            0 if quoted.contains("garbled") => Raw::events([format!("data: {{\"choices\": \"{quoted}\"}}\n\n")]).into(),
            0 if quoted.contains("cut short") => Raw::events([event(REPLY)]).into(),
            _ => Behaviour::from(Raw::events([event(REPLY), event(" said"), finish()])),
        }
    })
}

fn production() -> World {
    World::new(telling())
        .with("ENVIRONMENT", "production")
        .with("DB_TYPE", "sqlite")
        .with("HOST", "127.0.0.1")
        .with("AUTH_API_KEYS", "on")
        .with("LOG_LEVEL", "trace")
        .with("LLM_API_KEY", KEY)
}

/// One turn, its stream, its poll, and everything of it in the record.
async fn converse(server: &Server, session: Option<&str>, content: &str) -> Accepted {
    let accepted = server.say(session, content).await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    assert_eq!(events.last().unwrap().name, "done", "{events:?}");
    assert!(events.last().unwrap().data.to_string().contains(REPLY));
    server.ended(&accepted.task).await;
    eventually("the reply is in the record", async || {
        let messages = server.messages(&accepted.session).await;
        messages.iter().any(|(role, text, _)| role == "assistant" && text.contains(REPLY)).then_some(())
    })
    .await;
    accepted
}

fn lines_of(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// A field of a line or of any span around it.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    let spans = line["spans"].as_array().into_iter().flatten();
    std::iter::once(line).chain(spans).find_map(|fields| fields[name].as_str())
}

#[tokio::test]
async fn in_production_every_line_is_json_with_a_severity_a_time_and_a_message() {
    let world = production();
    let server = world.start_known().await;
    converse(&server, None, QUESTION).await;
    server.get("/nothing-here").await.problem(404, "route_not_found");
    let ended = server.stop().await;
    assert_eq!(ended.stderr, "");
    for line in lines_of(&ended) {
        assert!(["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"].contains(&line["severity"].as_str().unwrap()), "{line}");
        assert!(line["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
        let time = line["time"].as_str().unwrap();
        assert!(time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        assert!(line["target"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn every_line_of_a_turn_carries_its_call_its_task_and_its_session_from_the_post_to_the_record() {
    let world = production();
    let server = world.start_known().await;
    let accepted = converse(&server, None, QUESTION).await;
    assert!(accepted.call.starts_with("call_"), "{accepted:?}");
    server.stream(&accepted.task, None).await.rest().await;
    server.cancel(&accepted.task).await;
    // The answers are logged after the effects that were waited for.
    eventually("the answers to the bus are logged", async || {
        let done = server.process.stdout.all().iter().filter(|line| line.contains("\"message\":\"done\"")).count();
        (done >= 3).then_some(())
    })
    .await;
    let lines = lines_of(&server.stop().await);

    let of_call: Vec<&Value> = lines.iter().filter(|line| line.to_string().contains(&accepted.call)).collect();
    for line in &of_call {
        let ids = ["call_id", "task_id", "session_id"].map(|name| field(line, name));
        assert_eq!(ids, [Some(&*accepted.call), Some(&*accepted.task), Some(&*accepted.session)], "{line}");
    }
    let said = |message: &str, name: &str, value: &str| {
        of_call.iter().any(|line| line["message"] == message && field(line, name) == Some(value))
    };
    assert!(said("call answered", "http.method", "POST"), "{of_call:?}");
    for message in ["turn started", "turn ended"] {
        assert!(said(message, "target", "llm_worker::turn_record"), "{message}: {of_call:?}");
    }
    for subscription in ["llm-worker", "persist-requests", "persist-replies"] {
        assert!(said("done", "bus.subscription", subscription), "{subscription}: {of_call:?}");
    }
    // Other calls about the task are calls of their own, with all they know.
    let others = lines.iter().filter(|line| {
        line["message"] == "call answered" && field(line, "http.route").is_some_and(|route| route.contains("/tasks/"))
    });
    let others: Vec<&Value> = others.collect();
    assert_eq!(others.len(), 4, "{others:?}");
    for (n, line) in others.into_iter().enumerate() {
        let call = field(line, "call_id").unwrap();
        assert!(call.starts_with("call_") && call != accepted.call, "{line}");
        assert_eq!(field(line, "task_id"), Some(&*accepted.task), "{line}");
        // The first stream was opened before any worker had told whose session it is.
        assert!(n == 0 || field(line, "session_id") == Some(&*accepted.session), "{line}");
    }
    // Of the lines that our own code writes, only those of the process itself belong to no call.
    let ours = ["ingest_api", "llm_worker", "persist_worker", "parlance"];
    for line in lines.iter().filter(|line| ours.iter().any(|name| line["target"].as_str().unwrap().starts_with(name))) {
        let is_the_process = ["ready", "stopping: taking nothing new, finishing what runs", "swept the bus"]
            .iter()
            .any(|message| line["message"] == *message);
        assert!(is_the_process || field(line, "call_id").is_some(), "{line}");
    }
}

/// Ids are what a warning is worth nothing without.
#[tokio::test]
async fn a_warning_carries_the_ids_also_when_nothing_else_is_logged() {
    let world = production().with("LOG_LEVEL", "warn").with("TURN_MAX_ATTEMPTS", "1");
    // No line says where it listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = world.command();
    command.env("PORT", port.to_string());
    let server = Server::at(crate::support::Process::start(command), ([127, 0, 0, 1], port).into());
    eventually("the server answers", async || server.try_call(Method::GET, "/health/ready", None).await.ok()).await;
    let key = world.key().await;
    let server = server.known_by(&key);
    let accepted = server.say(None, "this is quoted").await;
    assert_eq!(server.ended(&accepted.task).await["status"], "failed");
    eventually("the failure is logged", async || (server.process.stdout.all().len() >= 2).then_some(())).await;
    let lines = lines_of(&server.stop().await);
    let messages: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["attempt failed", "goes to the dead letters"]);
    for line in &lines {
        assert_eq!(line["severity"], "WARNING");
        let ids = ["call_id", "task_id", "session_id"].map(|name| field(line, name));
        assert_eq!(ids, [Some(&*accepted.call), Some(&*accepted.task), Some(&*accepted.session)], "{line}");
    }
}

#[tokio::test]
async fn at_trace_no_line_holds_what_was_said_or_a_secret() {
    for environment in ["production", "development"] {
        let world = production().with("ENVIRONMENT", environment);
        let base_url = world.mock.base_url().replace("http://", &format!("http://user:{PASSWORD}@"));
        let world = world.with("LLM_BASE_URL", &base_url);
        let server = world.start_known().await;
        let fields = json!({"heading": QUESTION, "instructions": QUESTION, "metadata": {"note": QUESTION}});
        let session = server.post("/v1/sessions", &fields).await.expect(201);
        let session = session["id"].as_str().unwrap();
        converse(&server, Some(session), QUESTION).await;
        for case in ["quoted", "validated", "garbled", "cut short"] {
            converse(&server, Some(session), &format!("{QUESTION} {case}")).await;
        }
        // What is refused is not repeated either: a field's name is the client's text, too.
        server.post("/v1/messages", &json!({"content": QUESTION, QUESTION: 1})).await.problem(400, "unknown_field");
        server.post("/v1/messages", &json!({"content": [QUESTION]})).await.problem(400, "invalid_field");
        let patch = server.try_call(Method::PATCH, &format!("/v1/sessions/{session}"), Some(&fields)).await.unwrap();
        patch.expect(200);
        let ended = server.stop().await;
        let output = format!("{}{}", ended.stdout, ended.stderr);
        assert!(output.contains("turn ended"), "nothing was logged");
        for secret in [QUESTION, REPLY, KEY, PASSWORD] {
            let told: Vec<&str> = output.lines().filter(|line| line.contains(secret)).collect();
            assert!(told.is_empty(), "{secret} is in the log: {told:#?}");
        }
    }
}

#[tokio::test]
async fn in_development_logs_are_readable_lines_on_standard_error() {
    let world = World::new(telling());
    let server = world.start_known().await;
    let accepted = converse(&server, None, QUESTION).await;
    tokio::time::timeout(
        Duration::from_secs(5),
        server.process.stderr.find(|line| line.contains("turn ended").then_some(())),
    )
    .await
    .unwrap();
    let ended = server.stop().await;
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    assert!(!ended.stderr.contains('\u{1b}'), "no colours where nobody sees them: {}", ended.stderr);
    for line in ended.stderr.lines() {
        let mut words = line.split_whitespace();
        assert!(words.next().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')), "{line}");
        assert!(words.next().is_some_and(|level| ["INFO", "WARN", "ERROR"].contains(&level)), "{line}");
    }
    let turn: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(&accepted.call)).collect();
    assert_eq!(turn.len(), 3, "the call, the start and the end of its turn: {turn:?}");
    for line in turn {
        for id in [("call_id", &accepted.call), ("task_id", &accepted.task), ("session_id", &accepted.session)] {
            let told = format!(" {}={}", id.0, id.1);
            assert_eq!(line.matches(&told).count(), 1, "{told} once in {line}");
        }
    }
}
