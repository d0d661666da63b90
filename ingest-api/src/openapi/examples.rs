//! Examples of bodies, made of the types that are sent.

use std::collections::BTreeMap;

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use parlance_shared::{
    MessageId, SessionId, TaskId,
    cursor::{Cursor, Place},
    event::Strategy,
    log_view::{DeltaData, Entry, LogEvent, StatusData},
    message::{Message, Role},
    page::Page,
    session::Session,
    summary::StoredSummary,
    task::{AttemptRecord, PromptRecord, Reply, Status, Task, TaskDetails, Timings, Usage},
    usage::{Speed, UsageSums},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::sse_frame::write_frame;

pub(super) const SESSION: &str = "ses_019b3f0e8d2a7c41a6f5d2b90c7e4a13";
pub(super) const TASK: &str = "tsk_019b3f0e9b517d02b8a4c6e1f03d5b27";
pub(super) const MESSAGE: &str = "msg_019b3f0e9b517e9a95c0f7a2d8b1634e";
/// What stands in paths.
pub(super) const PATH_IDS: [(&str, &str); 4] = [
    ("session_id", SESSION),
    ("task_id", TASK),
    ("chat_id", super::protocols::CHAT),
    ("response_id", "resp_019b3f0e9b517d02b8a4c6e1f03d5b27"),
];
pub(super) const REPLY: &str = "msg_019b3f0e9b517f6b8e21b0d4c95a7f38";

/// An example of the schema with this name.
pub(super) fn of(schema: &str) -> Option<Value> {
    Some(match schema {
        "PostMessage" | "FirstMessage" => json!({"content": "What is the capital of Ghana?"}),
        "RetryTask" => json!({"model": "gpt-5-mini"}),
        "SessionFields" => json!({"heading": "Geography", "instructions": "Answer briefly.", "metadata": {"unit": 7}}),
        "Task" => value(&task()?),
        "Session" => value(&session()?),
        "Page_Session" => value(&Page { data: vec![session()?], next: None }),
        "Page_Message" => value(&Page { data: messages()?, next: None }),
        "Index" => {
            json!({"service": "parlance", "version": "0.1.0", "links": {"docs": "/docs", "openapi": "/openapi.json"}})
        }
        "Health" => json!({
            "service": "parlance",
            "version": "0.1.0",
            "timestamp": at(0),
            "status": "ok",
            "config_valid": true,
            "active_tasks": 0,
            "provider": {"provider": "offline", "model": "outline", "base_url": null},
        }),
        "Ready" => json!({"status": "ready", "degraded": []}),
        "UsageReport" => json!({
            "from": at(0),
            "to": at(24 * 60 * 60 * 1_000),
            "group_by": "model",
            "data": [group(json!({"model": "gpt-5-mini"}))],
            "total": sums(),
            "next": null,
        }),
        "Summary" => value(&summary()?),
        "Accepted" => json!({
            "task_id": TASK,
            "message_id": MESSAGE,
            "session_id": SESSION,
            "status": "queued",
            "links": {
                "task": format!("/v1/tasks/{TASK}"),
                "stream": format!("/v1/tasks/{TASK}/stream"),
                "cancel": format!("/v1/tasks/{TASK}/cancel"),
                "session": format!("/v1/sessions/{SESSION}"),
            },
        }),
        _ => return super::protocols::example(schema),
    })
}

/// The event of a stream with this name, read from what streams write.
pub(crate) fn event(name: &str) -> Value {
    let mut bytes = BytesMut::new();
    let entry = |place, event| Entry { cursor: Cursor { attempt: 1, place }, event };
    let entries = task().into_iter().flat_map(|task| {
        let text = task.reply.content.clone();
        let (status, delta) = (StatusData { status: Status::Running, attempt: 1 }, DeltaData { text, attempt: 1 });
        [
            entry(Place::Text(0), LogEvent::Status(status)),
            entry(Place::Text(delta.text.len() as u64), LogEvent::Delta(delta)),
            entry(Place::End, LogEvent::End(Box::new(task))),
        ]
    });
    for entry in entries {
        // Into memory, of what can be written: this can't fail.
        let _ = write_frame(&mut bytes, &entry);
    }
    let text = String::from_utf8_lossy(&bytes);
    let events = text.split("\n\n").map(|frame| frame.lines().filter_map(|line| line.split_once(": ")).collect());
    let mut events = events.map(|fields: BTreeMap<&str, &str>| json!(fields));
    events.find(|event| event["event"] == name).unwrap_or_default()
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// An id, or a time, from its text.
fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}

fn at(millis: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(1_766_318_400_000 + millis)
}

fn usage() -> Usage {
    Usage { input_tokens: Some(31), output_tokens: Some(8), cached_tokens: Some(0) }
}

fn task() -> Option<Task> {
    Some(Task {
        id: read(TASK)?,
        session_id: read(SESSION),
        message_id: read(MESSAGE),
        status: Status::Completed,
        attempt: 1,
        reply: Reply { message_id: read(REPLY), content: "The capital of Ghana is Accra.".to_owned() },
        provider: Some("openai-compatible".to_owned()),
        model: Some("gpt-5-mini".to_owned()),
        usage: usage(),
        timings: Timings::from_instants(at(0), at(4), at(391), at(624)),
        error: None,
        details: TaskDetails {
            finish_reason: Some("stop".to_owned()),
            prompt: Some(PromptRecord {
                template: "default".to_owned(),
                version: "1".to_owned(),
                tokens: 31,
                ..PromptRecord::default()
            }),
            attempts: vec![AttemptRecord {
                attempt: 1,
                provider: Some("openai-compatible".to_owned()),
                model: Some("gpt-5-mini".to_owned()),
                error: None,
                usage: usage(),
                usage_estimated: false,
                cost_micro_usd: Some(24),
            }],
            cost_micro_usd: Some(24),
            ..TaskDetails::default()
        },
    })
}

fn session() -> Option<Session> {
    let metadata = json!({"unit": 7}).as_object().cloned();
    Some(Session {
        heading: Some("Geography".to_owned()),
        instructions: Some("Answer briefly.".to_owned()),
        metadata,
        strategy: Some(Strategy::Enqueue),
        updated_at: at(624),
        ..Session::bare(read(SESSION)?, at(-5_000))
    })
}

fn messages() -> Option<Vec<Message>> {
    let message = |id: &str, role, content: &str| {
        Some(Message {
            id: read::<MessageId>(id)?,
            session_id: read::<SessionId>(SESSION)?,
            task_id: read::<TaskId>(TASK)?,
            role,
            content: content.to_owned(),
            status: Status::Completed,
            usage: None,
            timings: None,
            created_at: at(0)?,
            parts: Vec::new(),
            tool_results: Vec::new(),
            tool_calls: Vec::new(),
            superseded_by: None,
        })
    };
    let asked = message(MESSAGE, Role::User, "What is the capital of Ghana?")?;
    let answered = message(REPLY, Role::Assistant, "The capital of Ghana is Accra.")?;
    let timings = Some(Timings::from_instants(at(0), at(4), at(391), at(624)));
    Some(vec![asked, Message { usage: Some(usage()), timings, created_at: at(624)?, ..answered }])
}

fn sums() -> UsageSums {
    UsageSums {
        tasks: 1,
        input_tokens: 31,
        output_tokens: 8,
        cost_micro_usd: Some(24),
        first_token_ms_p50: Some(391),
        speed: Speed { tokens: 8, millis: 233 },
        ..UsageSums::default()
    }
}

/// Sums under a key.
fn group(mut key: Value) -> Value {
    if let (Value::Object(group), Value::Object(sums)) = (&mut key, value(&sums())) {
        group.extend(sums);
    }
    key
}

fn summary() -> Option<StoredSummary> {
    Some(StoredSummary {
        session_id: read(SESSION)?,
        version: 1,
        text: "The user asks for capitals of West Africa; Accra was given for Ghana.".to_owned(),
        turns: 12,
        through_task_id: read(TASK)?,
        tokens: 19,
        made_at: at(900)?,
        model: Some("gpt-5-mini".to_owned()),
        usage: usage(),
    })
}
