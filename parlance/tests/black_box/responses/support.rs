//! A client of the Responses API that looks closely.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Events, HttpClient};

/// One open stream, checked as it is read.
pub struct Stream(Events);

impl Stream {
    /// The next event; `None` at an end in good order.
    pub async fn next(&mut self) -> Option<Value> {
        let event = self.0.try_next().await.unwrap()?;
        assert_eq!(event.data["type"], json!(event.name));
        assert_eq!(self.0.retries, [""; 0], "a frame without data is no JSON to OpenAI's clients");
        Some(event.data)
    }
}

pub trait Responses {
    /// Creates a response.
    async fn respond(&self, body: &Value) -> Value;
    /// Fetches one.
    async fn response(&self, id: &str) -> Value;
    /// All its events behind this number.
    async fn events(&self, id: &str, after: Option<u64>) -> Vec<Value>;
    /// Opens a stream.
    async fn open(&self, method: Method, path: &str, body: &Value) -> Stream;
}

impl Responses for HttpClient {
    async fn respond(&self, body: &Value) -> Value {
        self.post("/v1/responses", body).await.expect(200)
    }

    async fn response(&self, id: &str) -> Value {
        self.get(&format!("/v1/responses/{id}")).await.expect(200)
    }

    async fn events(&self, id: &str, after: Option<u64>) -> Vec<Value> {
        let after = after.map(|after| format!("&starting_after={after}")).unwrap_or_default();
        let mut stream = self.open(Method::GET, &format!("/v1/responses/{id}?stream=true{after}"), &Value::Null).await;
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event);
        }
        events
    }

    async fn open(&self, method: Method, path: &str, body: &Value) -> Stream {
        Stream(
            self.try_open(method, path, (!body.is_null()).then_some(body))
                .await
                .unwrap_or_else(|answer| panic!("{answer:?}")),
        )
    }
}

pub fn kinds(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

/// The text that a client shows: items that were given up are emptied.
#[track_caller]
pub fn text_of(events: &[Value]) -> String {
    let mut texts: BTreeMap<u64, String> = BTreeMap::new();
    for event in events {
        let index = event["output_index"].as_u64().unwrap_or_default();
        match event["type"].as_str().unwrap() {
            "response.output_text.delta" => {
                texts.entry(index).or_default().push_str(event["delta"].as_str().unwrap());
            }
            "response.output_item.done" if event["item"]["content"] == json!([]) => drop(texts.remove(&index)),
            _ => {}
        }
    }
    texts.into_values().collect()
}

/// Checks the status and the shape of an error, and gives it.
#[track_caller]
pub fn error(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
    assert!(["true", "false"].contains(&answer.header("x-should-retry")), "{answer:?}");
    let error = answer.expect(status)["error"].clone();
    assert!(error["message"].is_string() && error["type"].is_string() && error["code"].is_string(), "{error}");
    error
}
