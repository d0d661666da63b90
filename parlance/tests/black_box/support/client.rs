//! Plain HTTP calls.

use std::{fmt, net::SocketAddr, time::Duration};

use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};

use super::{Events, PATIENCE};

/// Longer than the longest poll.
const CALL: Duration = Duration::from_secs(70);

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:.1000}", self.status, self.headers, self.body)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status and gives the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Checks status and code of a problem, and gives it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }
}

/// What a 202 names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub task: String,
    pub session: String,
    pub call: String,
}

/// Calls one server.
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
    base: String,
}

impl HttpClient {
    pub fn new(address: SocketAddr) -> Self {
        Self::with_headers(address, &[])
    }

    /// One that shows this key with each call.
    pub fn with_key(address: SocketAddr, key: &str) -> Self {
        Self::with_headers(address, &[("authorization", &format!("Bearer {key}"))])
    }

    /// One that sends these headers with each call.
    pub fn with_headers(address: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let parsed = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let headers: HeaderMap = headers.iter().map(parsed).collect();
        // Fails when another test of this process was first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(PATIENCE)
            .timeout(CALL)
            .default_headers(headers)
            .tls_certs_only([])
            .no_proxy()
            // A kept connection would make a killed server look like a fault of the next one.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self { client, base: format!("http://{address}") }
    }

    /// An error only when the connection fails.
    pub async fn try_call(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.text().await? })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_call(Method::GET, path, None).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_call(Method::POST, path, Some(body)).await.unwrap()
    }

    /// Posts under an idempotency key.
    pub async fn post_with_key(&self, path: &str, body: &Value, key: &str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        let response = request.header("idempotency-key", key).body(body.to_string()).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }

    /// Opens a stream of any protocol; the answer instead when it is not 200.
    pub async fn try_open(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Events, Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        match status {
            200 => Ok(Events::new(response)),
            _ => Err(Answer { status, headers, body: response.text().await.unwrap() }),
        }
    }

    /// Posts a message, to a new session when none is given.
    pub async fn say(&self, session: Option<&str>, content: &str) -> Accepted {
        let path = session.map_or("/v1/messages".to_owned(), |session| format!("/v1/sessions/{session}/messages"));
        let answer = self.post(&path, &json!({"content": content})).await;
        let accepted = answer.expect(202);
        let text = |name: &str| accepted[name].as_str().unwrap().to_owned();
        Accepted { task: text("task_id"), session: text("session_id"), call: answer.header("x-call-id").to_owned() }
    }

    /// The task as it stands.
    pub async fn task(&self, task: &str) -> Value {
        self.get(&format!("/v1/tasks/{task}")).await.expect(200)
    }

    /// The task at its end.
    pub async fn ended(&self, task: &str) -> Value {
        let ended = self.get(&format!("/v1/tasks/{task}?wait=50")).await.expect(200);
        assert!(["completed", "failed", "cancelled"].iter().any(|word| ended["status"] == *word), "{ended}");
        ended
    }

    pub async fn cancel(&self, task: &str) -> Value {
        self.try_call(Method::POST, &format!("/v1/tasks/{task}/cancel"), None).await.unwrap().expect(200)
    }

    /// The session's messages as (role, content, status).
    pub async fn messages(&self, session: &str) -> Vec<(String, String, String)> {
        let page = self.get(&format!("/v1/sessions/{session}/messages?limit=100")).await.expect(200);
        let text = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
        let messages = page["data"].as_array().unwrap().iter();
        messages.map(|message| (text(message, "role"), text(message, "content"), text(message, "status"))).collect()
    }

    /// One sample of `/metrics`; 0 while there is none.
    pub async fn metric(&self, sample: &str) -> f64 {
        let metrics = self.get("/metrics").await;
        let mut lines = metrics.body.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Opens the task's stream; the answer instead when it is not 200.
    pub async fn try_stream(&self, task: &str, after: Option<&str>) -> Result<Events, u16> {
        let mut request = self.client.get(format!("{}/v1/tasks/{task}/stream", self.base));
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        match response.status().as_u16() {
            200 => Ok(Events::new(response)),
            other => Err(other),
        }
    }

    pub async fn stream(&self, task: &str, after: Option<&str>) -> Events {
        self.try_stream(task, after).await.unwrap_or_else(|status| panic!("{status} for {task} after {after:?}"))
    }
}
