//! A provider is told which trace a request belongs to only if that was asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod common;

use std::{io::Read as _, net::TcpListener};

use parlance_shared::{
    settings::LlmSettings,
    trace::{TraceContext, scope},
};

use crate::common::{ask, settings};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What a provider is sent, which hangs up then.
async fn asked(traceparent: bool) -> String {
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", provider.local_addr().unwrap());
    let listening = std::thread::spawn(move || {
        let (mut connection, _) = provider.accept().unwrap();
        let mut head = vec![0; 4096];
        let length = connection.read(&mut head).unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    let settings = LlmSettings { traceparent, ..settings(&base_url) };
    scope(TraceContext::parse(TRACE).unwrap(), ask(&settings, "hello")).await;
    listening.join().unwrap()
}

#[tokio::test]
async fn the_trace_is_told_only_if_that_is_wanted() {
    assert!(asked(true).await.contains(&format!("\r\ntraceparent: {TRACE}\r\n")));
    assert!(!asked(false).await.contains("traceparent"));
}
