//! Whatever a provider does wrong has a kind of its own, and text that came before it is not lost.

mod common;

use std::time::Duration;

use common::{KEY, ask, ask_mock, mock, settings};
use parlance_llm::choose;
use parlance_mock_llm::{Behaviour, Fault, MockLlm, Raw, Script, expected_reply};
use parlance_shared::port::llm::LlmErrorKind::*;

#[tokio::test]
async fn faults_before_the_stream_are_sorted() {
    for (fault, kind) in [
        (Fault::Http500, Unavailable),
        (Fault::Http429, RateLimited),
        (Fault::Http401, Unauthorized),
        (Fault::Http400, Rejected),
        (Fault::Http404, UnknownModel),
        (Fault::ContextTooLong, ContextTooLong),
        (Fault::ContentRefused, ContentRefused),
        (Fault::ResetBeforeFirstByte, Unreachable),
        (Fault::EmptyReply, EmptyReply),
    ] {
        let mock = mock(Behaviour::fault(fault));
        let outcome = ask_mock(&mock, "x").await;
        assert_eq!((outcome.kind(), outcome.text.as_str()), (kind, ""), "{fault:?}");
    }
}

#[tokio::test]
async fn text_before_a_fault_in_mid_stream_is_not_lost() {
    for (fault, kind) in [
        (Fault::CutMidStream, StreamCut),
        (Fault::ResetMidStream, StreamCut),
        (Fault::EndMidStream, StreamCut),
        (Fault::ErrorEventMidStream, Unavailable),
        (Fault::RateLimitMidStream, RateLimited),
        (Fault::FilterMidStream, ContentRefused),
        (Fault::Garbage, BadResponse),
    ] {
        let mock = mock(Behaviour { after: Some(7), ..Behaviour::fault(fault) });
        let outcome = ask_mock(&mock, "some words").await;
        assert_eq!((outcome.kind(), outcome.text), (kind, expected_reply("some words", 7)), "{fault:?}");
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    for (fault, value, wait) in
        [(Fault::Http429, "7", Some(7)), (Fault::Http500, "2", Some(2)), (Fault::Http429, "later", None)]
    {
        let behaviour = Behaviour { retry_after: Some(value.to_owned()), ..Behaviour::fault(fault) };
        let outcome = ask_mock(&mock(behaviour), "x").await;
        assert_eq!(outcome.error().retry_after, wait.map(Duration::from_secs), "{value}");
    }
    // A date is taken relative to the server's own clock, which the mock sends in `Date`.
    let far =
        Behaviour { retry_after: Some("Fri, 01 Jan 2100 00:00:00 GMT".to_owned()), ..Behaviour::fault(Fault::Http429) };
    assert_eq!(ask_mock(&mock(far), "x").await.error().retry_after, Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_fault_that_ends_is_survived_by_asking_again() {
    let faults = [Fault::Http500, Fault::CutMidStream].map(Behaviour::fault);
    let mock = MockLlm::start(Script::in_turn(faults, Behaviour::tokens(4))).unwrap();
    let llm_settings = settings(&mock.base_url());
    assert_eq!(ask(&llm_settings, "x").await.kind(), Unavailable);
    assert_eq!(ask(&llm_settings, "x").await.kind(), StreamCut);
    assert_eq!(ask(&llm_settings, "x").await.text, expected_reply("x", 4));
}

#[tokio::test]
async fn directives_in_the_text_do_the_same_through_any_program_in_between() {
    let mock = mock(Behaviour::default());
    let directed = "y [[mock tokens=8 fault=cut_mid_stream after=2 times=1]]";
    let cut = ask_mock(&mock, directed).await;
    assert_eq!((cut.kind(), cut.text), (StreamCut, expected_reply(directed, 2)));
    assert_eq!(ask_mock(&mock, directed).await.text, expected_reply(directed, 8));
    assert_eq!(ask_mock(&mock, "[[mock tokns=8]]").await.kind(), Rejected);
}

#[tokio::test]
async fn what_is_no_event_stream_is_unreadable() {
    let html = |status| Raw {
        status,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        frames: vec!["<html>Sign in</html>".into()],
        stay_open: false,
    };
    let untyped = Raw { headers: vec![], ..html(200) };
    let quota = r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#;
    for (raw, kind) in [
        (html(200), BadResponse),
        (untyped, BadResponse),
        (Raw::json(200, r#"{"choices":[{"message":{"content":"whole"}}]}"#), BadResponse),
        (Raw::json(200, quota), RateLimited),
        (html(502), Unavailable),
        (html(404), UnknownModel),
        (Raw { headers: vec![("location".to_owned(), "http://127.0.0.1:1/".to_owned())], ..html(307) }, Rejected),
    ] {
        let outcome = ask_mock(&mock(raw.clone()), "x").await;
        assert_eq!(outcome.kind(), kind, "{raw:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_http_is_unreadable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 64];
        let _ = connection.read(&mut request).await.unwrap();
        connection.write_all(b"SSH-2.0-nothing\r\nfor you\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let asking = async { ask(&settings(&format!("http://{address}/v1")), "x").await };
    let outcome = tokio::select! { outcome = asking => outcome, () = server => unreachable!() };
    assert_eq!(outcome.kind(), BadResponse);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ask(&settings(&format!("http://{free}/v1")), "x").await.kind(), Unreachable);
}

#[tokio::test]
async fn a_reply_over_the_limit_is_too_long() {
    let mock = mock(Behaviour::fault(Fault::Big));
    let limit = 100 * 1024;
    let settings = parlance_shared::settings::LlmSettings { max_reply_bytes: limit, ..settings(&mock.base_url()) };
    let outcome = ask(&settings, "x").await;
    assert_eq!(outcome.kind(), ReplyTooLong);
    assert!(outcome.text.len() <= limit && outcome.text.len() > limit - 8 * 1024, "{}", outcome.text.len());
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    let mut shown = Vec::new();
    for fault in [Fault::Http401, Fault::Http500, Fault::Garbage, Fault::ResetBeforeFirstByte] {
        let mock = mock(Behaviour::fault(fault));
        let error = ask_mock(&mock, "x").await.error().clone();
        shown.push(format!("{error} {error:?}"));
    }
    let echo = format!(r#"{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}"#);
    for raw in [
        Raw::json(400, echo.clone()),
        Raw::json(400, format!("{}{}", "x".repeat(8 * 1024 - 10), KEY)),
        Raw::json(200, echo.clone()),
        Raw::events([format!("data: {echo}\n\n")]),
        Raw::events([format!("data: {KEY}\n\n")]),
    ] {
        let error = ask_mock(&mock(raw), "x").await.error().clone();
        shown.push(format!("{error} {error:?}"));
    }
    let with_password = settings(&format!("http://user:{KEY}@127.0.0.1:1/v1?api-key={KEY}"));
    shown.push(format!("{:?}", ask(&with_password, "x").await.error()));
    let llm = choose(&with_password).await.unwrap();
    shown.push(format!("{:?}", llm.describe()));
    for text in shown {
        assert!(!text.contains("1234567890"), "{text}");
    }
}
