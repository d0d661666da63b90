use parlance_shared::{
    cursor::Cursor,
    id::PrefixedId as _,
    log_view::LogView,
    reply_text::{encode, encode_call, encode_text},
    task::{TaskDetails, Usage},
};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;

const TASK: &str = "019b3f0e9b517d02b8a4c6e1f03d5b27";

fn task() -> TaskId {
    TaskId::from_uuid(Uuid::parse_str(TASK).unwrap())
}

fn ended(text: &str, calls: &[ToolCall]) -> Task {
    let mut task = Task::queued(task());
    task.status = Status::Completed;
    task.attempt = 1;
    task.reply.content = text.to_owned();
    task.model = Some("answered \"so\"".to_owned());
    task.usage = Usage { input_tokens: Some(12), output_tokens: Some(3), cached_tokens: Some(4) };
    task.details = TaskDetails { tool_calls: calls.to_vec(), ..TaskDetails::default() };
    task
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "look".to_owned(), arguments: "{\"at\":1}".to_owned() }
}

/// Sends what the log holds to a view, and moves the cursor.
fn send(view: &mut ChatView, out: &mut BytesMut, log: &LogView<'_>, seen: &mut Option<Cursor>) {
    while let Some(entry) = log.next_after(*seen).unwrap() {
        *seen = Some(entry.cursor);
        view.entry(out, &entry).unwrap();
        if view.is_over() {
            return;
        }
    }
}

fn frames(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    assert!(text.ends_with("\n\n"));
    let data = text.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    data.map(|data| if data == "[DONE]" { json!("[DONE]") } else { serde_json::from_str(data).unwrap() }).collect()
}

fn live(text: &str, attempt: u32) -> LogView<'_> {
    LogView { attempt, reset_reason: "worker_lost", text: text.into(), end: None, complete: true, erased: false }
}

#[test]
fn a_reply_with_calls_is_told_in_chunks_to_the_byte() {
    let mut out = BytesMut::new();
    let mut view = ChatView::new(task(), 1_766_318_400, "asked", true);
    view.open(&mut out);
    let whole = ended("Größe\n", &[call("a"), call("b")]);
    send(&mut view, &mut out, &LogView::of_ended(&whole, ""), &mut None);
    assert!(view.is_over());
    let head = |model: &str| {
        format!(
            r#"data: {{"id":"chatcmpl-{TASK}","object":"chat.completion.chunk","created":1766318400,"model":{model},"system_fingerprint":null"#
        )
    };
    let chunk = |delta: &str| {
        let head = head(r#""asked""#);
        format!(
            r#"{head},"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        )
    };
    let called = |index: u32, id: &str| {
        let function = r#"{"name":"look","arguments":"{\"at\":1}"}"#;
        chunk(&format!(r#"{{"tool_calls":[{{"index":{index},"id":"{id}","type":"function","function":{function}}}]}}"#))
    };
    let last = head(r#""answered \"so\"""#);
    let expected = [
        chunk(r#"{"role":"assistant","content":"","refusal":null}"#),
        chunk(r#"{"content":"Größe\n"}"#),
        called(0, "a"),
        called(1, "b"),
        format!(
            r#"{last},"choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"tool_calls"}}],"usage":null}}"#
        ),
        format!(
            r#"{last},"choices":[],"usage":{{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"prompt_tokens_details":{{"cached_tokens":4}}}}}}"#
        ),
        "data: [DONE]".to_owned(),
    ];
    let sent: Vec<_> = std::str::from_utf8(&out).unwrap().split_terminator("\n\n").collect();
    assert_eq!(sent, expected);
}

#[test]
fn usage_is_told_only_when_asked_for() {
    let mut out = BytesMut::new();
    let mut view = ChatView::new(task(), 0, "m", false);
    send(&mut view, &mut out, &LogView::of_ended(&ended("a", &[]), ""), &mut None);
    let frames = frames(&out);
    assert_eq!(frames.len(), 3, "a delta, the end, [DONE]");
    assert!(frames.iter().all(|frame| frame.get("usage").is_none()));
    assert_eq!(frames[1]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn the_reason_of_the_end_is_one_of_four() {
    let reason = |said: Option<&str>, calls: &[ToolCall]| {
        let mut task = ended("a", calls);
        task.details.finish_reason = said.map(str::to_owned);
        finish_reason(&task)
    };
    assert_eq!(reason(None, &[]), "stop");
    assert_eq!(reason(Some("eos"), &[]), "stop");
    assert_eq!(reason(Some("length"), &[]), "length");
    assert_eq!(reason(Some("content_filter"), &[]), "content_filter");
    assert_eq!(reason(Some("stop"), &[call("a")]), "tool_calls");
}

#[test]
fn what_failed_was_cancelled_or_broken_off_is_an_error_and_no_end() {
    for (status, code) in [(Status::Failed, "internal_error"), (Status::Cancelled, "cancelled")] {
        let mut out = BytesMut::new();
        let mut view = ChatView::new(task(), 0, "m", true);
        send(&mut view, &mut out, &LogView::of_ended(&Task { status, ..ended("half", &[]) }, ""), &mut None);
        let frames = frames(&out);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1]["error"]["code"], code);
    }
    let mut out = BytesMut::new();
    let mut view = ChatView::new(task(), 0, "m", true);
    view.part(&mut out);
    view.part(&mut out);
    let frames = frames(&out);
    assert_eq!((frames.len(), &frames[0]["error"]["code"]), (1, &json!("stream_interrupted")));
    assert!(frames[0]["error"]["message"].as_str().unwrap().contains(&format!("GET /v1/tasks/tsk_{TASK}")));
}

#[test]
fn attempts_are_never_mixed() {
    let (mut out, mut seen) = (BytesMut::new(), None);
    let mut view = ChatView::new(task(), 0, "m", true);
    send(&mut view, &mut out, &live("", 1), &mut seen);
    send(&mut view, &mut out, &live("", 2), &mut seen);
    assert!(out.is_empty() && !view.is_over(), "nothing was said yet, so nothing is mixed");
    send(&mut view, &mut out, &live("half", 2), &mut seen);
    send(&mut view, &mut out, &live("whole", 3), &mut seen);
    assert!(view.is_over());
    let frames = frames(&out);
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0]["choices"][0]["delta"]["content"], "half");
    assert_eq!(
        (&frames[1]["error"]["code"], &frames[1]["error"]["type"]),
        (&json!("reply_restarted"), &json!("server_error"))
    );
}

proptest! {
    /// Whatever the pieces that the log grows by, the deltas give the stored text and calls, once.
    #[test]
    fn the_deltas_are_the_stored_text(
        pieces in proptest::collection::vec("[a-zä€😀\"\\\\\n\u{1e}]{0,30}", 0..20),
        calls in 0_usize..3,
    ) {
        let text: String = pieces.concat();
        let calls: Vec<ToolCall> = (0..calls).map(|n| call(&format!("c{n}"))).collect();
        let (mut out, mut seen, mut written) = (BytesMut::new(), None, String::new());
        let mut view = ChatView::new(task(), 0, "m", true);
        view.open(&mut out);
        for piece in &pieces {
            written.push_str(&encode_text(piece));
            send(&mut view, &mut out, &live(&written, 1), &mut seen);
        }
        for call in &calls {
            written.push_str(&encode_call(call));
            send(&mut view, &mut out, &live(&written, 1), &mut seen);
        }
        prop_assert_eq!(&*encode(&text, &calls), written.as_str());
        send(&mut view, &mut out, &LogView::of_ended(&ended(&text, &calls), ""), &mut seen);
        let frames = frames(&out);
        let deltas = frames.iter().map(|frame| &frame["choices"][0]["delta"]);
        let told: String = deltas.clone().filter_map(|delta| delta["content"].as_str()).collect();
        let called: Vec<_> = deltas.filter_map(|delta| delta["tool_calls"][0]["id"].as_str()).collect();
        prop_assert_eq!(told, text);
        prop_assert_eq!(called, calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>());
        prop_assert_eq!(frames.last().unwrap(), &json!("[DONE]"));
    }
}
