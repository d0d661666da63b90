//! A reply that nobody wants any more costs the provider nothing; a reply that was read leaves its connection usable.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::{cell::Cell, time::Duration};

use common::{LONG, ask_mock, mock, prompt, settings};
use futures_util::StreamExt as _;
use parlance_llm::choose;
use parlance_mock_llm::{Behaviour, Fault, MockLlm};
use parlance_shared::port::llm::{Llm, LlmEvent};

async fn noticed_within(mock: &MockLlm, dropped_ms: i64) -> i64 {
    let records = mock.wait_for(LONG, |records| records.iter().any(|r| r.disconnected_ms.is_some())).await;
    records[0].disconnected_ms.expect("the mock saw the client go") - dropped_ms
}

async fn read(llm: &dyn Llm, tokens: usize) -> parlance_shared::port::llm::LlmStream {
    let mut stream = llm.stream(prompt("x")).await.unwrap();
    for _ in 0..tokens {
        assert!(matches!(stream.next().await, Some(Ok(LlmEvent::Delta(_)))));
    }
    stream
}

#[tokio::test]
async fn dropping_the_stream_drops_the_request_within_100_ms() {
    let mock = mock(Behaviour::tokens(100_000).with_token_delay(Duration::from_millis(5)));
    let llm = choose(&settings(&mock.base_url())).await.unwrap();
    let stream = read(llm.as_ref(), 3).await;
    let dropped_ms = mock.now_ms();
    drop(stream);
    let late = noticed_within(&mock, dropped_ms).await;
    assert!(late <= 100, "{late} ms");
    assert!(mock.requests()[0].tokens_sent < 1000);
}

#[tokio::test]
async fn dropping_a_silent_stream_drops_the_request_within_100_ms() {
    let mock = mock(Behaviour { after: Some(3), ..Behaviour::fault(Fault::StallMidStream) });
    let llm = choose(&settings(&mock.base_url())).await.unwrap();
    let stream = read(llm.as_ref(), 3).await;
    let dropped_ms = mock.now_ms();
    drop(stream);
    let late = noticed_within(&mock, dropped_ms).await;
    assert!(late <= 100, "{late} ms");
}

#[tokio::test]
async fn giving_up_before_the_head_drops_the_request_within_100_ms() {
    let mock = mock(Behaviour::fault(Fault::StallBeforeFirst));
    let llm = choose(&settings(&mock.base_url())).await.unwrap();
    let asked = mock.wait_for(LONG, |records| !records.is_empty());
    let dropped_ms = tokio::select! {
        _ = llm.stream(prompt("x")) => panic!("it never answers"),
        _ = asked => mock.now_ms(),
    };
    let late = noticed_within(&mock, dropped_ms).await;
    assert!(late <= 100, "{late} ms");
}

#[tokio::test]
async fn a_reply_read_to_its_end_is_no_disconnect() {
    let mock = mock(Behaviour::tokens(50));
    let outcome = ask_mock(&mock, "x").await;
    assert!(outcome.end.is_ok());
    let record = &mock.requests()[0];
    assert_eq!((record.tokens_sent, record.disconnected_ms), (50, None));
    assert!(record.ended_ms.is_some());
}

#[tokio::test]
async fn connections_are_used_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let connections = Cell::new(0);
    // The end of the body comes in a packet of its own, as from a distant server.
    let server = async {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            connections.set(connections.get() + 1);
            connection.set_nodelay(true).unwrap();
            let mut buffer = vec![0; 4096];
            while connection.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                let events = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n";
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                connection.write_all(format!("{head}{:x}\r\n{events}\r\n", events.len()).as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
                let _ = connection.write_all(b"0\r\n\r\n").await;
            }
        }
    };
    let asking = async {
        let llm = choose(&settings(&base_url)).await.unwrap();
        for _ in 0..10 {
            let mut stream = llm.stream(prompt("x")).await.unwrap();
            // As a caller does that stops at the end of the reply.
            while !matches!(stream.next().await.unwrap().unwrap(), LlmEvent::Finished { .. }) {}
        }
    };
    tokio::select! {
        () = server => unreachable!(),
        asked = tokio::time::timeout(LONG, asking) => asked.unwrap(),
    }
    // On a busy machine an end may come too late to be waited for.
    assert!(connections.get() <= 3, "{} connections for 10 replies", connections.get());
}
