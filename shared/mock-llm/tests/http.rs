//! The mock as a program in another language sees it: over a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use parlance_mock_llm::{Behaviour, Fault, MockLlm, STAMP_DIGITS, STAMP_MARK, Script, expected_reply, read_stamp};
use serde_json::{Value, json};

fn send(mock: &MockLlm, method: &str, path: &str, body: &str) -> TcpStream {
    let base_url = mock.base_url();
    let address = base_url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).unwrap();
    connection
}

fn call(mock: &MockLlm, method: &str, path: &str, body: &str) -> String {
    let mut answer = String::new();
    send(mock, method, path, body).read_to_string(&mut answer).unwrap();
    answer
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn question(text: &str, stream: bool) -> String {
    json!({"model": "m", "stream": stream, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": text}]}]})
        .to_string()
}

#[test]
fn a_reply_without_streaming_is_one_object() {
    let mock = MockLlm::start(Script::always(Behaviour::tokens(4))).unwrap();
    let reply = json_of(&call(&mock, "POST", "/v1/chat/completions", &question("hi", false)));
    assert_eq!(reply["choices"][0]["message"]["content"], expected_reply("hi", 4));
    assert_eq!(reply["usage"]["completion_tokens"], 4);
}

#[test]
fn stamped_tokens_say_when_they_were_sent() {
    let mock = MockLlm::start(Script::default()).unwrap();
    let body = question("now [[mock tokens=3 delay_ms=5 stamp=1]]", true);
    let answer = call(&mock, "POST", "/v1/chat/completions", &body);
    let after_mark = answer.split(char::from(STAMP_MARK)).skip(1);
    let stamps: Vec<i64> = after_mark.map(|rest| read_stamp(&rest.as_bytes()[..STAMP_DIGITS]).unwrap()).collect();
    assert_eq!(stamps.len(), 3, "{answer}");
    assert!(stamps.windows(2).all(|pair| pair[1] > pair[0] + 1_000), "{stamps:?}");
}

#[test]
fn a_stream_has_an_event_for_each_token_and_a_usage_only_when_asked_for() {
    let mock = MockLlm::start(Script::always(Behaviour::tokens(4))).unwrap();
    let answer = call(&mock, "POST", "/v1/chat/completions", &question("hi", true));
    let events: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.len(), 7, "the role, four tokens, the finish reason, [DONE]: {answer}");
    let text: String = events[..6]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap())
        .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(text, expected_reply("hi", 4));
    assert_eq!(events[6], "[DONE]");
}

#[test]
fn the_log_is_read_over_http() {
    let mock = MockLlm::start(Script::default().with_models(&["a", "b"])).unwrap();
    call(&mock, "POST", "/v1/chat/completions", &question("hi [[mock tokens=3]]", true));
    let stalled =
        send(&mock, "POST", "/v1/chat/completions", &question("[[mock fault=stall_mid_stream after=2]]", true));
    let seen = |wanted: &dyn Fn(&Value) -> bool| {
        for _ in 0..3000 {
            let log = json_of(&call(&mock, "GET", "/mock/log", ""));
            if wanted(&log) {
                return log;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the log never said so");
    };
    seen(&|log| log["requests"][1]["tokens_sent"] == 2);
    drop(stalled);
    let log = seen(&|log| !log["requests"][1]["disconnected_ms"].is_null());
    assert_eq!(log["total"], 2);
    let first = &log["requests"][0];
    assert_eq!(first["last_user_text"], "hi [[mock tokens=3]]");
    assert_eq!((&first["message_count"], &first["tokens_sent"]), (&json!(2), &json!(3)));
    assert_eq!((&first["messages"][0]["role"], &first["messages"][0]["content"]), (&json!("system"), &json!("s")));
    assert!(first["disconnected_ms"].is_null() && first["ended_ms"].is_number());
    assert_eq!(log["requests"][1]["fault"], "stall_mid_stream");
    let models = json_of(&call(&mock, "GET", "/v1/models", ""));
    assert_eq!(models["data"][1]["id"], "b");
}

#[test]
fn a_reset_is_a_reset_and_no_end() {
    let mock = MockLlm::start(Script::always(Behaviour::fault(Fault::ResetBeforeFirstByte))).unwrap();
    let mut answer = Vec::new();
    let error =
        send(&mock, "POST", "/v1/chat/completions", &question("hi", true)).read_to_end(&mut answer).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(answer.is_empty());
}

#[test]
fn nothing_is_left_of_a_dropped_mock() {
    let mock = MockLlm::start(Script::always(Behaviour::fault(Fault::StallMidStream))).unwrap();
    let base_url = mock.base_url();
    let mut open = send(&mock, "POST", "/v1/chat/completions", &question("hi", true));
    let mut some = [0; 16];
    open.read_exact(&mut some).unwrap();
    drop(mock);
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest);
    let address = base_url.trim_start_matches("http://").trim_end_matches("/v1");
    assert!(TcpStream::connect(address).is_err());
}
