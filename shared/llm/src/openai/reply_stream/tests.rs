//! Replies by the piece: how chunks, faults and silence come out of the stream.

use futures_util::{StreamExt as _, stream};
use proptest::prelude::*;

use super::*;

impl BodyError for &'static str {
    fn into_detail(self) -> String {
        self.to_owned()
    }
}

type Item = Result<LlmEvent, LlmErrorKind>;

async fn read_body(frames: Vec<Result<Bytes, &'static str>>, max_reply_bytes: usize) -> Vec<Item> {
    let minute = Duration::from_secs(60);
    let deadlines = Deadlines::start(minute, minute, minute);
    let redactor = Redactor::new(None, &"http://h".parse().unwrap());
    ReplyStream::new(stream::iter(frames), deadlines, max_reply_bytes, redactor)
        .map(|item| item.map_err(|error| error.kind))
        .collect()
        .await
}

fn read(body: &str) -> Vec<Item> {
    read_frames(vec![Bytes::copy_from_slice(body.as_bytes())])
}

fn read_frames(frames: Vec<Bytes>) -> Vec<Item> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(read_body(frames.into_iter().map(Ok).collect(), 1024))
}

fn delta(text: &str) -> Item {
    Ok(LlmEvent::Delta(text.to_owned()))
}

fn finished() -> Item {
    Ok(LlmEvent::Finished { model: None, usage: Usage::default(), finish_reason: Default::default() })
}

fn stopped() -> Item {
    Ok(LlmEvent::Finished { model: None, usage: Usage::default(), finish_reason: Some("stop".to_owned()) })
}

fn text(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{text}}}}}]}}\n\n")
}

const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

#[test]
fn the_end_is_a_finish_reason_or_done() {
    for end in [
        "data: [DONE]\n\n",
        "data:[DONE]\n\n",
        "data: [DONE]\r\n\r\n",
        "data: [DONE]",
        "data: [DONE]\n",
        STOP,
        STOP.trim(),
    ] {
        let ended = if end.contains("stop") { stopped() } else { finished() };
        assert_eq!(read(&format!("{}{end}", text("hi"))), [delta("hi"), ended], "{end:?}");
    }
    assert_eq!(read(&text("hi")), [delta("hi"), Err(LlmErrorKind::StreamCut)]);
    assert_eq!(read(""), [Err(LlmErrorKind::StreamCut)]);
    assert_eq!(read(text("hi").trim()), [delta("hi"), Err(LlmErrorKind::StreamCut)], "a whole event without its end");
}

#[test]
fn a_cut_within_an_event_is_a_cut_and_after_the_finish_is_none() {
    let whole = format!("{}{}", text("hi"), text("there"));
    let cut = &whole[..whole.len() - 9];
    assert_eq!(read(cut), [delta("hi"), Err(LlmErrorKind::StreamCut)]);
    assert_eq!(read(&format!("{}{STOP}data: {{\"choi", text("hi"))), [delta("hi"), stopped()]);
}

#[test]
fn usage_and_model_are_kept_and_other_fields_and_comments_skipped() {
    let body = format!(
        ": hello\n\nretry: 5\n\nevent: message\nid: 7\n{}: more\n\n{STOP}data: {{\"model\":\"m-1\",\"choices\":[],\
         \"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":1}}}}\n\ndata: [DONE]\n\ndata: {{ignored\n\n",
        text("hi")
    );
    let usage = Usage { input_tokens: Some(3), output_tokens: Some(1), cached_tokens: None };
    assert_eq!(
        read(&body),
        [
            delta("hi"),
            Ok(LlmEvent::Finished { model: Some("m-1".to_owned()), usage, finish_reason: Some("stop".to_owned()) })
        ]
    );
}

#[test]
fn calls_come_after_the_text_and_before_the_end() {
    let call = |index: u32, arguments: &str| {
        let function = serde_json::json!({"name": "f", "arguments": arguments});
        let calls = serde_json::json!([{"index": index, "id": format!("c{index}"), "function": function}]);
        format!("data: {}\n\n", serde_json::json!({"choices": [{"delta": {"tool_calls": calls}}]}))
    };
    let called = |index: u32, arguments: &str| {
        let (id, name, arguments) = (format!("c{index}"), "f".to_owned(), arguments.to_owned());
        Ok(LlmEvent::ToolCall(parlance_shared::content::ToolCall { id, name, arguments }))
    };
    let end = || {
        let finish_reason = Some("tool_calls".to_owned());
        Ok(LlmEvent::Finished { model: None, usage: Usage::default(), finish_reason })
    };
    let stop = STOP.replace("stop", "tool_calls");
    let body = format!("{}{}{}{}{stop}", call(0, "{"), text("hi"), call(1, "1"), call(0, "}"));
    assert_eq!(read(&body), [delta("hi"), called(0, "{}"), called(1, "1"), end()]);
    assert_eq!(read(&format!("{}{stop}data: [DONE]\n\n", call(0, ""))), [called(0, ""), end()], "no empty reply");
    assert_eq!(read(&call(0, "{")), [Err(LlmErrorKind::StreamCut)], "half a call is none");
    assert_eq!(read(&format!("{}{stop}", call(0, &"x".repeat(2_000)))), [Err(LlmErrorKind::ReplyTooLong)]);
    let many: String = (0..200).map(|index| call(index, "")).collect();
    assert!(matches!(read(&many)[..], [Err(LlmErrorKind::BadResponse | LlmErrorKind::ReplyTooLong)]));
}

#[test]
fn errors_come_after_the_text_before_them() {
    for (body, kind) in [
        ("data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\n", LlmErrorKind::Unavailable),
        ("event: error\ndata: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n", LlmErrorKind::RateLimited),
        ("event: error\ndata: {\"code\":\"context_length_exceeded\"}\n\n", LlmErrorKind::ContextTooLong),
        ("event: error\ndata: it broke\n\n", LlmErrorKind::Unavailable),
        ("data: [{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\"}}]\n\n", LlmErrorKind::RateLimited),
        ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n", LlmErrorKind::ContentRefused),
        ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n", LlmErrorKind::Unavailable),
        ("data: <html>\n\n", LlmErrorKind::BadResponse),
        ("data: {\"choices\":7}\n\n", LlmErrorKind::BadResponse),
        ("data: 7\n\n", LlmErrorKind::BadResponse),
    ] {
        assert_eq!(read(&format!("{}{body}", text("hi"))), [delta("hi"), Err(kind)], "{body}");
    }
    let both = "data: {\"error\":{\"code\":502},\"choices\":[{\"delta\":{\"content\":\"end\"},\"finish_reason\":\"error\"}]}\n\n";
    assert_eq!(read(both), [delta("end"), Err(LlmErrorKind::Unavailable)]);
}

#[test]
fn a_reply_without_words_is_empty() {
    assert_eq!(read("data: [DONE]\n\n"), [Err(LlmErrorKind::EmptyReply)]);
    assert_eq!(read(&format!("{}{STOP}", text(" \n"))), [delta(" \n"), Err(LlmErrorKind::EmptyReply)]);
}

#[test]
fn what_holds_no_event_is_unreadable() {
    assert_eq!(read("<html><body>Sign in</body></html>"), [Err(LlmErrorKind::BadResponse)]);
    let endless = std::iter::repeat_n(Bytes::from(vec![b'x'; 16 * 1024]), 64).collect();
    assert_eq!(read_frames(endless), [Err(LlmErrorKind::BadResponse)]);
}

#[test]
fn size_is_bounded_in_sum_and_by_event() {
    let half = "a".repeat(600);
    let body = format!("{}{}{STOP}", text(&half), text(&half));
    assert_eq!(read(&body), [delta(&half), Err(LlmErrorKind::ReplyTooLong)]);
    let endless = std::iter::once(Bytes::from_static(b"data: "))
        .chain(std::iter::repeat_n(Bytes::from(vec![b'x'; 16 * 1024]), 64))
        .collect();
    assert_eq!(read_frames(endless), [Err(LlmErrorKind::ReplyTooLong)]);
}

#[tokio::test]
async fn a_broken_body_is_a_cut_unless_the_reply_was_finished() {
    let frame = |text: String| Ok(Bytes::from(text));
    let cut = read_body(vec![frame(text("hi")), Err("reset")], 1024).await;
    assert_eq!(cut, [delta("hi"), Err(LlmErrorKind::StreamCut)]);
    let late = read_body(vec![frame(text("hi")), frame(STOP.to_owned()), Err("reset")], 1024).await;
    assert_eq!(late, [delta("hi"), stopped()]);
}

#[tokio::test(start_paused = true)]
async fn the_timer_follows_the_nearer_deadline() {
    let minute = Duration::from_secs(60);
    for (frames, kind, after) in [
        (vec![], LlmErrorKind::FirstTokenTimeout, 60),
        (vec![": alive\n\n".to_owned()], LlmErrorKind::FirstTokenTimeout, 60),
        (vec![text("hi")], LlmErrorKind::Stalled, 5),
    ] {
        let begun = Instant::now();
        let deadlines = Deadlines::start(minute, Duration::from_secs(5), minute * 10);
        let body = stream::iter(frames).map(|text| Ok::<_, &'static str>(Bytes::from(text))).chain(stream::pending());
        let redactor = Redactor::new(None, &"http://h".parse().unwrap());
        let items: Vec<_> = ReplyStream::new(body, deadlines, 1024, redactor).collect().await;
        assert_eq!(items.last().unwrap().as_ref().map_err(|error| error.kind), Err(kind));
        assert_eq!(begun.elapsed().as_secs(), after);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_and_thoughts_keep_it_alive_until_the_whole_time_is_up() {
    let thought = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n";
    let begun = Instant::now();
    let body = stream::unfold(0, |i| async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let frame = if i < 3 { thought.to_owned() } else { text("word ") };
        Some((Ok::<_, &'static str>(Bytes::from(frame)), i + 1))
    });
    let second = Duration::from_secs(1);
    let deadlines = Deadlines::start(second * 5, second * 5, second * 30);
    let redactor = Redactor::new(None, &"http://h".parse().unwrap());
    let items: Vec<_> = ReplyStream::new(body, deadlines, 1024, redactor).collect().await;
    assert_eq!(items.len(), 5, "words at 16, 20, 24 and 28 s, then the end: {items:?}");
    assert_eq!(items[4].as_ref().map_err(|error| error.kind), Err(LlmErrorKind::ReplyTimeout));
    assert_eq!(begun.elapsed(), second * 30);
}

#[tokio::test(start_paused = true)]
async fn a_finished_reply_does_not_wait_long_for_its_usage() {
    let minute = Duration::from_secs(60);
    let begun = Instant::now();
    let body =
        stream::iter([Ok::<_, &'static str>(Bytes::from(format!("{}{STOP}", text("hi"))))]).chain(stream::pending());
    let redactor = Redactor::new(None, &"http://h".parse().unwrap());
    let items: Vec<_> =
        ReplyStream::new(body, Deadlines::start(minute, minute, minute), 1024, redactor).collect().await;
    assert_eq!(
        items,
        [
            Ok(LlmEvent::Delta("hi".to_owned())),
            Ok(LlmEvent::Finished { model: None, usage: Usage::default(), finish_reason: Some("stop".to_owned()) })
        ]
    );
    assert!(begun.elapsed() <= Duration::from_secs(2));
}

proptest! {
    /// However the network cuts the bytes, also within a letter or a line break, the pieces are the same.
    #[test]
    fn any_split_gives_the_same_reply(
        words in prop::collection::vec("[a-z äß日本🙂\"\\\\\n\r:]{1,8}", 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        line_break in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        bom in any::<bool>(),
    ) {
        let mut body = String::from(if bom { "\u{feff}: hi\n\n" } else { "" });
        for word in &words {
            body.push_str(&text(word));
        }
        body.push_str("data: [DONE]\n\n");
        let body = Bytes::from(body.replace('\n', line_break));
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).chain([0, body.len()]).collect();
        at.sort_unstable();
        let frames = at.windows(2).map(|pair| body.slice(pair[0]..pair[1])).collect();
        let mut expected: Vec<Item> = words.iter().map(|word| delta(word)).collect();
        let has_words = words.iter().any(|word| !word.trim().is_empty());
        expected.push(if has_words { finished() } else { Err(LlmErrorKind::EmptyReply) });
        prop_assert_eq!(read_frames(frames), expected.clone());
        let bytes = body.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        prop_assert_eq!(read_frames(bytes), expected);
    }

    /// Nothing that a server sends makes it panic or go on for ever.
    #[test]
    fn any_bytes_come_to_one_end(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
        let items = read_frames(frames.into_iter().map(Bytes::from).collect());
        let ends = items.iter().filter(|item| !matches!(item, Ok(LlmEvent::Delta(_)))).count();
        prop_assert_eq!(ends, 1);
    }
}
