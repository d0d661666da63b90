use parlance_shared::{
    TaskId,
    content::ToolCall,
    cursor::{Cursor, Place},
    id::PrefixedId as _,
    log_view::{DeltaData, StatusData, ToolCallData},
    task::TaskError,
};
use uuid::Uuid;

use super::*;

fn view() -> UiView {
    let task = TaskId::from_uuid(Uuid::nil());
    UiView::new(Reply { task, message: "msg_1".to_owned(), before: Vec::new() })
}

fn status(status: Status, attempt: u32) -> LogEvent {
    LogEvent::Status(StatusData { status, attempt })
}

fn delta(text: &str, attempt: u32) -> LogEvent {
    LogEvent::Delta(DeltaData { text: text.to_owned(), attempt })
}

fn call(id: &str, arguments: &str, attempt: u32) -> LogEvent {
    let tool_call = ToolCall { id: id.to_owned(), name: "look".to_owned(), arguments: arguments.to_owned() };
    LogEvent::ToolCall(ToolCallData { tool_call, attempt })
}

fn end(status: Status, calls: usize) -> LogEvent {
    let mut task = Task::queued(TaskId::from_uuid(Uuid::nil()));
    task.status = status;
    let call = ToolCall { id: "c".to_owned(), name: "look".to_owned(), arguments: "{}".to_owned() };
    task.details.tool_calls = vec![call; calls];
    if status == Status::Failed {
        let (code, message) = ("provider_error".to_owned(), "It broke.".to_owned());
        task.error = Some(TaskError { code, message, retryable: true });
    }
    LogEvent::End(Box::new(task))
}

/// All chunks but the progress, each as its type and what matters of it.
fn written(mut view: UiView, events: impl IntoIterator<Item = LogEvent>) -> Vec<String> {
    let mut out = BytesMut::new();
    view.open(&mut out);
    for event in events {
        let cursor = Cursor { attempt: 1, place: Place::Text(0) };
        view.entry(&mut out, &Entry { cursor, event }).unwrap();
    }
    let text = String::from_utf8(out.to_vec()).unwrap();
    let frames = text.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    let shown = frames.map(|frame| {
        let Ok(chunk) = serde_json::from_str::<Value>(frame) else { return frame.to_owned() };
        let kind = chunk["type"].as_str().unwrap().to_owned();
        let fields = [
            "messageId",
            "id",
            "delta",
            "toolCallId",
            "input",
            "errorText",
            "reason",
            "finishReason",
            "providerMetadata",
        ];
        let fields = fields.into_iter().filter_map(|name| chunk.get(name));
        let fields = fields.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        std::iter::once(kind).chain(fields).collect::<Vec<_>>().join(" ")
    });
    shown.filter(|chunk| chunk != "data-progress").collect()
}

#[test]
fn a_reply_is_one_step() {
    let events = [
        status(Status::Queued, 0),
        status(Status::Running, 1),
        delta("Hel", 1),
        delta("lo", 1),
        end(Status::Completed, 0),
    ];
    let expected = [
        "start msg_1",
        "start-step",
        "text-start text-1-0",
        "text-delta text-1-0 Hel",
        "text-delta text-1-0 lo",
        "text-end text-1-0",
        "finish-step",
        "finish stop",
        "[DONE]",
    ];
    assert_eq!(written(view(), events), expected);
}

#[test]
fn what_an_attempt_said_is_marked_void_when_the_next_one_starts() {
    let reset = LogEvent::Reset(ResetData { attempt: 2, reason: "provider_stalled".to_owned() });
    let events = [
        delta("stale", 1),
        call("c1", "{}", 1),
        delta("also", 1),
        reset,
        status(Status::Running, 2),
        delta("new", 2),
        end(Status::Completed, 0),
    ];
    let chunks = written(view(), events);
    let expected = [
        "start msg_1",
        "start-step",
        "text-start text-1-0",
        "text-delta text-1-0 stale",
        "tool-input-available c1 {}",
        "text-start text-1-1",
        "text-delta text-1-1 also",
        "tool-output-error c1 This call is void: the attempt that made it was given up.",
        "data-reset reset-2",
        r#"text-end text-1-0 {"parlance":{"void":true}}"#,
        r#"text-end text-1-1 {"parlance":{"void":true}}"#,
        "finish-step",
        "start-step",
        "text-start text-2-0",
        "text-delta text-2-0 new",
        "text-end text-2-0",
        "finish-step",
        "finish stop",
        "[DONE]",
    ];
    assert_eq!(chunks, expected);
}

#[test]
fn a_reset_of_an_attempt_that_said_nothing_leaves_no_trace() {
    let reset = LogEvent::Reset(ResetData { attempt: 2, reason: "worker_lost".to_owned() });
    let chunks = written(view(), [status(Status::Running, 1), reset, delta("x", 2), end(Status::Completed, 0)]);
    assert_eq!(chunks[..3], ["start msg_1", "start-step", "text-start text-2-0"]);
}

#[test]
fn each_end_is_told_as_the_client_knows_it() {
    let last = |event| written(view(), [event]).split_off(1);
    assert_eq!(last(end(Status::Completed, 1)), ["finish tool-calls", "[DONE]"]);
    assert_eq!(last(end(Status::Failed, 0)), ["error It broke.", "[DONE]"]);
    assert_eq!(last(end(Status::Cancelled, 0)), ["abort cancelled", "[DONE]"]);
}

#[test]
fn arguments_that_are_no_json_are_an_error_of_the_call() {
    let chunks = written(view(), [call("a", "", 1), call("b", "{not", 1)]);
    assert_eq!(chunks[2], "tool-input-available a {}");
    assert_eq!(chunks[3], "tool-input-error b {not The model's arguments are not JSON.");
}

#[test]
fn a_stream_that_stops_early_is_no_whole_reply() {
    let mut out = BytesMut::new();
    view().part(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    assert!(text.contains("\"type\":\"error\"") && !text.contains("[DONE]"), "{text}");
}
