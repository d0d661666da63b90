//! One batch to the collector: tries that are bounded one by one and together.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use parlance_shared::{retry::RetryPolicy, settings::TraceSettings};
use prost::Message as _;
use reqwest::{
    Client, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const CONNECT: Duration = Duration::from_secs(5);
/// After this the batch is given up: newer spans are worth more.
const RETRIES: RetryPolicy =
    RetryPolicy { first: Duration::from_millis(500), longest: Duration::from_secs(5), budget: Duration::from_secs(20) };
/// A collector that asks for more patience than this has none of ours.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An answer says how many spans were refused, and why in a sentence.
const LONGEST_ANSWER: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

pub(crate) struct Sender {
    client: Client,
    endpoint: Url,
    timeout: Duration,
}

enum Failure {
    /// Another try may help, perhaps after the wait that was asked for.
    Again(String, Option<Duration>),
    ForGood(String),
}

impl Sender {
    pub(crate) fn new(settings: &TraceSettings) -> Result<Self, String> {
        // Fails when the process has installed a provider of its own, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, PROTOBUF)]);
        for (name, value) in &settings.headers {
            let unusable = |_| format!("OTEL_EXPORTER_OTLP_HEADERS: {name:?} can't be sent as a header");
            let header = HeaderName::try_from(name.as_str()).map_err(|_| unusable(()))?;
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| unusable(()))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let mut client = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(1)
            .default_headers(headers)
            .user_agent(concat!("parlance/", env!("CARGO_PKG_VERSION")));
        if settings.endpoint.scheme() == "http" {
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {}", chain_of(error)))?;
        Ok(Self { client, endpoint: settings.endpoint.clone(), timeout: settings.timeout })
    }

    /// How many spans the collector refused of those it took; or why it took none.
    pub(crate) async fn send(
        &self,
        request: ExportTraceServiceRequest,
        stopping: &CancellationToken,
    ) -> Result<u64, String> {
        let body = Bytes::from(request.encode_to_vec());
        let mut retries = RETRIES.start();
        loop {
            let (cause, asked) = match timeout(self.timeout, self.try_once(body.clone())).await {
                Ok(Ok(rejected)) => return Ok(rejected),
                Ok(Err(Failure::ForGood(cause))) => return Err(cause),
                Ok(Err(Failure::Again(cause, asked))) => (cause, asked),
                Err(_) => (format!("no answer within {:?}", self.timeout), None),
            };
            let wait = match (retries.next_wait(), asked) {
                (Some(wait), None) => wait,
                (Some(wait), Some(asked)) if asked <= LONGEST_WAIT => wait.max(asked),
                _ => return Err(cause),
            };
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Err(cause),
                () = sleep(wait) => {}
            }
        }
    }

    async fn try_once(&self, body: Bytes) -> Result<u64, Failure> {
        let sending = self.client.post(self.endpoint.clone()).body(body).send().await;
        let response = sending.map_err(|error| Failure::Again(chain_of(error), None))?;
        let status = response.status().as_u16();
        match status {
            200..300 => Ok(rejected(response).await),
            429 | 502 | 503 | 504 => Err(Failure::Again(format!("it answers {status}"), asked_wait(&response))),
            _ => Err(Failure::ForGood(format!("it answers {status}"))),
        }
    }
}

fn asked_wait(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Of an answer that can't be read, none: they were taken.
async fn rejected(mut response: Response) -> u64 {
    let mut answer = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        answer.extend_from_slice(&chunk);
        if answer.len() > LONGEST_ANSWER {
            return 0;
        }
    }
    let decoded = ExportTraceServiceResponse::decode(answer.freeze()).unwrap_or_default();
    decoded.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or_default())
}

/// An error with its causes. Its address is left out, which may hold a secret.
fn chain_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
