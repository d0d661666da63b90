//! The emulator's own API: what is on the topics, and messages of our own.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::HttpClient;

/// A message as it is published and pulled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    pub attributes: BTreeMap<String, String>,
    pub data: Vec<u8>,
    pub key: String,
}

/// The emulator, in one project.
pub struct PubSub {
    client: HttpClient,
    project: String,
}

impl PubSub {
    pub fn new(host: &str, project: &str) -> Self {
        Self { client: HttpClient::new(host.parse().unwrap()), project: project.to_owned() }
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let path = format!("/v1/projects/{}/{path}", self.project);
        self.client.try_call(method, &path, &[], Some(body)).await.unwrap().expect(200)
    }

    pub async fn publish(&self, topic: &str, message: &Message) {
        let Message { attributes, data, key } = message;
        let message = json!({"attributes": attributes, "data": STANDARD.encode(data), "orderingKey": key});
        self.call(Method::POST, &format!("topics/{topic}:publish"), &json!({"messages": [message]})).await;
    }

    /// Makes a subscription of the test's own.
    pub async fn subscribe(&self, name: &str, topic: &str) {
        let topic = format!("projects/{}/topics/{topic}", self.project);
        let body = json!({"topic": topic, "ackDeadlineSeconds": 600});
        self.call(Method::PUT, &format!("subscriptions/{name}"), &body).await;
    }

    /// What waits, acknowledged.
    pub async fn take(&self, subscription: &str) -> Vec<Message> {
        let path = format!("subscriptions/{subscription}");
        let pull = json!({"maxMessages": 1000, "returnImmediately": true});
        let pulled = self.call(Method::POST, &format!("{path}:pull"), &pull).await;
        let pulled = pulled["receivedMessages"].as_array().cloned().unwrap_or_default();
        if !pulled.is_empty() {
            let ids: Vec<_> = pulled.iter().map(|pulled| &pulled["ackId"]).collect();
            self.call(Method::POST, &format!("{path}:acknowledge"), &json!({ "ackIds": ids })).await;
        }
        pulled
            .iter()
            .map(|pulled| Message {
                attributes: serde_json::from_value(pulled["message"]["attributes"].clone()).unwrap_or_default(),
                data: STANDARD.decode(pulled["message"]["data"].as_str().unwrap_or_default()).unwrap(),
                key: pulled["message"]["orderingKey"].as_str().unwrap_or_default().to_owned(),
            })
            .collect()
    }

    /// From now on the subscription pushes to this URL; with none, it is pulled from.
    pub async fn push_to(&self, subscription: &str, url: &str) {
        let body = json!({"pushConfig": {"pushEndpoint": url}});
        self.call(Method::POST, &format!("subscriptions/{subscription}:modifyPushConfig"), &body).await;
    }
}
