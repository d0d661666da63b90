//! Each of the four timeouts ends a request on its own, and each is told from the others.

mod common;

use std::time::Duration;

use common::{ask, mock, settings};
use parlance_mock_llm::{Behaviour, Fault, expected_reply};
use parlance_shared::{port::llm::LlmErrorKind::*, settings::LlmSettings};
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(150);
/// A busy machine may take its time, but less than the timeouts that are not under test.
const SLACK: Duration = Duration::from_secs(10);

#[tokio::test]
async fn no_head_and_no_token_are_a_first_token_timeout() {
    for fault in [Fault::StallBeforeFirst, Fault::StallAfterHead] {
        let mock = mock(Behaviour::fault(fault));
        let settings = LlmSettings { first_token_timeout: SHORT, ..settings(&mock.base_url()) };
        let begun = Instant::now();
        assert_eq!(ask(&settings, "x").await.kind(), FirstTokenTimeout, "{fault:?}");
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < SLACK);
    }
}

#[tokio::test]
async fn comments_are_no_tokens() {
    let mock = mock(Behaviour { after: Some(0), ..Behaviour::fault(Fault::CommentsMidStream) });
    let settings = LlmSettings { first_token_timeout: SHORT, ..settings(&mock.base_url()) };
    assert_eq!(ask(&settings, "x").await.kind(), FirstTokenTimeout);
}

#[tokio::test]
async fn silence_between_tokens_is_a_stall_with_the_text_so_far() {
    for fault in [Fault::StallMidStream, Fault::CommentsMidStream] {
        let mock = mock(Behaviour { after: Some(5), ..Behaviour::fault(fault) });
        let settings = LlmSettings { idle_timeout: SHORT, ..settings(&mock.base_url()) };
        let begun = Instant::now();
        let outcome = ask(&settings, "x").await;
        assert_eq!((outcome.kind(), outcome.text), (Stalled, expected_reply("x", 5)), "{fault:?}");
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < SLACK);
    }
}

#[tokio::test]
async fn a_steady_reply_may_take_longer_than_silence() {
    let behaviour = Behaviour::tokens(20).with_token_delay(Duration::from_millis(50));
    let mock = mock(behaviour);
    let settings = LlmSettings { idle_timeout: Duration::from_millis(700), ..settings(&mock.base_url()) };
    assert_eq!(ask(&settings, "x").await.text, expected_reply("x", 20));
}

#[tokio::test]
async fn the_whole_reply_has_a_limit_however_steady_it_is() {
    let mock = mock(Behaviour::tokens(10_000).with_token_delay(Duration::from_millis(10)));
    let settings = LlmSettings { reply_timeout: SHORT * 2, ..settings(&mock.base_url()) };
    let outcome = ask(&settings, "x").await;
    assert_eq!(outcome.kind(), ReplyTimeout);
    assert!(!outcome.text.is_empty() && expected_reply("x", 10_000).starts_with(&outcome.text));
}

#[tokio::test]
async fn the_whole_reply_s_limit_also_bounds_the_wait_for_the_head() {
    let mock = mock(Behaviour::fault(Fault::StallBeforeFirst));
    let settings = LlmSettings { reply_timeout: SHORT, ..settings(&mock.base_url()) };
    assert_eq!(ask(&settings, "x").await.kind(), ReplyTimeout);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_has_a_limit() {
    // A listener with a full backlog: the kernel answers no further SYN.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = tokio::time::timeout(SHORT, tokio::net::TcpStream::connect(address)).await {
        fillers.push(filler);
        assert!(fillers.len() < 64, "the backlog never fills");
    }
    let settings = LlmSettings { connect_timeout: SHORT, ..settings(&format!("http://{address}/v1")) };
    let begun = Instant::now();
    assert_eq!(ask(&settings, "x").await.kind(), Unreachable);
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SLACK);
}

#[tokio::test]
async fn an_error_s_body_that_never_ends_does_not_hold_up() {
    let raw = parlance_mock_llm::Raw { stay_open: true, ..parlance_mock_llm::Raw::json(400, "{\"error\":") };
    let mock = mock(raw);
    let begun = Instant::now();
    assert_eq!(ask(&settings(&mock.base_url()), "x").await.kind(), Rejected);
    assert!(begun.elapsed() < SLACK);
}
