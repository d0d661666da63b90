//! Plain HTTP calls.

use std::{fmt, net::SocketAddr, time::Duration};

use reqwest::{Client, Method, header::HeaderMap};
use serde_json::{Value, json};

use super::{PATIENCE, events::Events};

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
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status and gives the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is a problem that says when to come again.
    #[track_caller]
    pub fn come_again(&self) {
        let problem = self.expect(503);
        assert_eq!(
            (self.header("content-type"), &problem["code"]),
            ("application/problem+json", &"unavailable".into())
        );
        assert!(self.header("retry-after").parse::<u32>().is_ok(), "{self:?}");
    }
}

/// What a 202 names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub task: String,
    pub session: String,
}

/// Calls one process.
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
    base: String,
}

impl HttpClient {
    pub fn new(address: SocketAddr) -> Self {
        // Fails when another test of this process was first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(PATIENCE)
            .timeout(CALL)
            .tls_certs_only([])
            .no_proxy()
            // A kept connection would make a killed process look like a fault of the next one.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self { client, base: format!("http://{address}") }
    }

    /// An error only when the connection fails.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.text().await? })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_call(Method::GET, path, &[], None).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_call(Method::POST, path, &[], Some(body)).await.unwrap()
    }

    /// Posts a message, to a new session when none is given.
    pub async fn try_say(&self, session: Option<&str>, content: &str) -> Answer {
        let path = session.map_or("/v1/messages".to_owned(), |session| format!("/v1/sessions/{session}/messages"));
        self.post(&path, &json!({"content": content})).await
    }

    /// The same where it must be accepted.
    pub async fn say(&self, session: Option<&str>, content: &str) -> Accepted {
        let accepted = self.try_say(session, content).await.expect(202);
        let text = |name: &str| accepted[name].as_str().unwrap().to_owned();
        Accepted { task: text("task_id"), session: text("session_id") }
    }

    /// The task as it stands.
    pub async fn task(&self, task: &str) -> Value {
        self.get(&format!("/v1/tasks/{task}")).await.expect(200)
    }

    /// The task at its end; polls that fail are repeated, as a client does.
    pub async fn ended(&self, task: &str) -> Value {
        super::eventually("the task ends", async || {
            let polled = self.get(&format!("/v1/tasks/{task}?wait=10")).await;
            let task = (polled.status == 200).then(|| polled.expect(200))?;
            ["completed", "failed", "cancelled"].iter().any(|word| task["status"] == *word).then_some(task)
        })
        .await
    }

    /// The task at its end, which must be a good one.
    pub async fn completed(&self, task: &str) -> Value {
        let ended = self.ended(task).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        ended
    }

    /// The session's messages as (role, content, status) from the record.
    pub async fn messages(&self, session: &str) -> Vec<(String, String, String)> {
        let page = self.get(&format!("/v1/sessions/{session}/messages?limit=100")).await.expect(200);
        let text = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
        let messages = page["data"].as_array().unwrap().iter();
        messages.map(|message| (text(message, "role"), text(message, "content"), text(message, "status"))).collect()
    }

    /// The contents of the session's messages, once the record has all of them as completed.
    pub async fn recorded(&self, session: &str, count: usize) -> Vec<String> {
        let listed = super::eventually("the record is complete", async || {
            let listed = self.messages(session).await;
            (listed.len() == count && listed.iter().all(|(_, _, status)| status == "completed")).then_some(listed)
        })
        .await;
        listed.into_iter().map(|(_, content, _)| content).collect()
    }

    /// Opens the task's stream; the answer's status instead when it is not 200.
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
