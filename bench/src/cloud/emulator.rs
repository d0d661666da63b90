//! The operator's side of Google's emulator, over its REST API: what is on the topics, and messages of our own.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Fallible, http::Connection};

const CALL: Duration = Duration::from_secs(20);
/// Pulled at once.
const MOST: usize = 1_000;

/// The emulator, in one project.
#[derive(Clone, Debug)]
pub struct Emulator {
    address: SocketAddr,
    project: String,
}

/// A message as it is published; the data stay in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PubSubMessage {
    /// The body, in base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// Messages with one key are delivered in order.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ordering_key: String,
    /// Given by Pub/Sub.
    #[serde(skip_serializing)]
    pub message_id: String,
}

/// A message that was pulled.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// To acknowledge it by.
    pub ack_id: String,
    /// What it is.
    pub message: PubSubMessage,
}

/// A subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// `projects/P/subscriptions/NAME`
    pub name: String,
    /// A message that is not answered within this is delivered again, in seconds.
    #[serde(default)]
    pub ack_deadline_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Answer {
    received_messages: Vec<Pulled>,
    subscriptions: Vec<Subscription>,
}

impl Subscription {
    /// The name within its project.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

impl Emulator {
    /// In this project.
    pub fn new(address: SocketAddr, project: &str) -> Self {
        Self { address, project: project.to_owned() }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Makes a subscription of our own to a topic that exists.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn subscribe(&self, name: &str, topic: &str) -> Fallible<()> {
        let topic = format!("projects/{}/topics/{topic}", self.project);
        let body = json!({"topic": topic, "ackDeadlineSeconds": 600});
        self.call::<Value>("PUT", &format!("subscriptions/{name}"), Some(body)).await.map(drop)
    }

    /// The project's subscriptions.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn subscriptions(&self) -> Fallible<Vec<Subscription>> {
        Ok(self.call::<Answer>("GET", "subscriptions?pageSize=1000", None).await?.subscriptions)
    }

    /// Messages that wait and are not in anyone's hands, without an answer to them.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn pull(&self, subscription: &str) -> Fallible<Vec<Pulled>> {
        let body = json!({"maxMessages": MOST, "returnImmediately": true});
        let answer: Answer = self.call("POST", &format!("subscriptions/{subscription}:pull"), Some(body)).await?;
        Ok(answer.received_messages)
    }

    /// Messages that wait, acknowledged.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn take(&self, subscription: &str) -> Fallible<Vec<PubSubMessage>> {
        let pulled = self.pull(subscription).await?;
        if !pulled.is_empty() {
            let ids: Vec<&str> = pulled.iter().map(|pulled| pulled.ack_id.as_str()).collect();
            let path = format!("subscriptions/{subscription}:acknowledge");
            self.call::<Value>("POST", &path, Some(json!({ "ackIds": ids }))).await?;
        }
        Ok(pulled.into_iter().map(|pulled| pulled.message).collect())
    }

    /// Publishes messages, in this order.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn publish(&self, topic: &str, messages: &[PubSubMessage]) -> Fallible<()> {
        let body = json!({ "messages": messages });
        self.call::<Value>("POST", &format!("topics/{topic}:publish"), Some(body)).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, path: &str, body: Option<Value>) -> Fallible<T> {
        let mut connection = Connection::open(self.address).await?;
        let path = format!("/v1/projects/{}/{path}", self.project);
        let body = body.map(|body| body.to_string().into_bytes());
        let response = connection.exchange(CALL, method, &path, "", body.as_deref()).await?;
        if response.status != 200 {
            let said = String::from_utf8_lossy(&response.body);
            return Err(format!("the emulator answered {} to {method} {path}: {said}", response.status).into());
        }
        Ok(serde_json::from_slice(&response.body)?)
    }
}
