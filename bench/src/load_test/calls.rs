//! Single calls of the API under load.

use std::time::Duration;

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    target::{API_KEY, BEARER_TOKEN, Target},
    trouble::{Refusal, Trouble},
};
use crate::{Fallible, api::CALL_TIMEOUT};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const USER: HeaderName = HeaderName::from_static("x-user-id");
/// An answer that is no stream is read up to this length.
const MAX_ANSWER: usize = 1024 * 1024;

pub(super) struct Calls {
    client: Client,
    target: Target,
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Without a slash at its beginning.
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: Option<&'a [u8]>,
    /// The number of its user, where calls are made for users.
    pub(super) user: Option<u32>,
}

impl Calls {
    pub(super) fn new(target: Target) -> Fallible<Self> {
        // Fails when the process has installed a provider of its own, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .default_headers(target.headers())
            // They would carry credential and load to a place that nobody named.
            .redirect(redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .user_agent(concat!("parlance-bench/", env!("CARGO_PKG_VERSION")));
        if target.is_loopback() {
            builder = builder.no_proxy();
        }
        if target.url().scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { client: builder.build()?, target })
    }

    /// Whether that is Parlance, and the credential one of its own; nothing is changed by it.
    ///
    /// # Errors
    /// As a sentence for the one who asked for the test.
    pub(super) async fn check(&self, user: Option<u32>) -> Fallible<()> {
        #[derive(Deserialize)]
        struct Sessions {
            #[serde(rename = "data")]
            _data: Vec<serde::de::IgnoredAny>,
        }
        let path = "v1/sessions?limit=1";
        let call = Call { method: Method::GET, path, headers: &[], body: None, user };
        let url = self.target.url();
        let request = self.request(call).map_err(|trouble| trouble.kind().into_owned())?;
        let response = request.timeout(CALL_TIMEOUT).send().await;
        let response = response.map_err(|error| format!("{url} can't be reached: {}", chain(&error.without_url())))?;
        let read = async {
            if response.status() != StatusCode::OK {
                return Err(Trouble::Status(refusal(response).await));
            }
            let body = read(response).await?;
            serde_json::from_slice::<Sessions>(&body).map_err(|_| Trouble::BadAnswer("no list of sessions"))
        };
        match read.await {
            Ok(_) => Ok(()),
            Err(trouble) if trouble.is_for_all() => {
                let kind = trouble.kind();
                Err(format!("{url} answers {kind}; a credential is given as {API_KEY} or {BEARER_TOKEN}").into())
            }
            Err(trouble) => Err(format!("{url}{path} does not answer as Parlance does: {}", trouble.kind()).into()),
        }
    }

    /// A call whose answer has this status and is JSON.
    pub(super) async fn answer<T: DeserializeOwned>(&self, call: Call<'_>, status: StatusCode) -> Result<T, Trouble> {
        let answered = tokio::time::timeout(CALL_TIMEOUT, async {
            let response = self.send(call).await?;
            if response.status() != status {
                return Err(Trouble::Status(refusal(response).await));
            }
            read(response).await
        });
        let body = answered.await.map_err(|_| Trouble::Timeout("answer"))??;
        serde_json::from_slice(&body).map_err(|_| Trouble::BadAnswer("no such JSON"))
    }

    /// A call of which only the status counts.
    pub(super) async fn done(&self, call: Call<'_>) -> Result<(), Trouble> {
        let sent = tokio::time::timeout(CALL_TIMEOUT, self.send(call));
        let response = sent.await.map_err(|_| Trouble::Timeout("answer"))??;
        if response.status().is_success() { Ok(()) } else { Err(Trouble::Status(refusal(response).await)) }
    }

    /// A call whose answer is a stream, once its head has come; what else it may be is for the caller to see.
    pub(super) async fn open(&self, call: Call<'_>) -> Result<Response, Trouble> {
        let sent = tokio::time::timeout(CALL_TIMEOUT, self.send(call));
        let response = sent.await.map_err(|_| Trouble::Timeout("answer"))??;
        match response.status() {
            StatusCode::OK if response.headers().get("content-type") != Some(&EVENT_STREAM) => {
                Err(Trouble::BadAnswer("no event stream"))
            }
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(response),
            _ => Err(Trouble::Status(refusal(response).await)),
        }
    }

    async fn send(&self, call: Call<'_>) -> Result<Response, Trouble> {
        Ok(self.request(call)?.send().await?)
    }

    fn request(&self, call: Call<'_>) -> Result<RequestBuilder, Trouble> {
        let url = self.target.url().join(call.path).map_err(|_| Trouble::BadAnswer("no such path"))?;
        let mut request = self.client.request(call.method, url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if let Some(user) = call.user {
            request = request.header(USER, format!("load-test-{user}"));
        }
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(body.to_vec());
        }
        Ok(request)
    }
}

/// What event streams are asked for with.
pub(super) fn accepts_events() -> (&'static str, &'static str) {
    ("accept", "text/event-stream")
}

/// An error with its causes: the last one is the one that helps.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn refusal(response: Response) -> Refusal {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = tokio::time::timeout(CONNECT_TIMEOUT, read(response)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    Refusal::read(status, retry_after.as_deref(), &body)
}

async fn read(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        if body.len() + bytes.len() > MAX_ANSWER {
            return Err(Trouble::BadAnswer("too long"));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}
