//! What all conversations share: the server that comes and goes, and the findings.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::findings::{Finding, Findings, Flaw};
use crate::{
    api::CALL_TIMEOUT,
    http::{Connection, Response},
};

/// Between tries to reach a server that is down.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What all conversations share.
#[derive(Clone)]
pub struct World {
    /// Where the server is, whenever it is up.
    pub server: SocketAddr,
    /// When the server became ready; `None` while it is down.
    pub ready_at: watch::Receiver<Option<Instant>>,
    /// What was seen.
    pub findings: Arc<Findings>,
    /// Told at each POST of a message.
    pub posting: Arc<Notify>,
    /// Nothing may take longer than this from its acceptance.
    pub patience: Duration,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// Header lines.
    pub headers: &'a str,
    /// The body.
    pub body: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    /// A GET.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: "", body: None }
    }

    /// A POST.
    pub fn post(path: &'a str, headers: &'a str, body: Option<&'a [u8]>) -> Self {
        Self { method: "POST", path, headers, body }
    }
}

/// How a call without an answer failed.
#[derive(Debug)]
pub enum NoAnswer {
    /// It was never sent.
    NotSent,
    /// It may have been done.
    Unsure,
}

impl World {
    /// One try on a fresh connection.
    ///
    /// # Errors
    /// When it brings no answer.
    pub async fn try_call(&self, call: Call<'_>) -> Result<Response, NoAnswer> {
        let mut connection = Connection::open(self.server).await.map_err(|_| NoAnswer::NotSent)?;
        connection
            .exchange(CALL_TIMEOUT, call.method, call.path, call.headers, call.body)
            .await
            .map_err(|_| NoAnswer::Unsure)
    }

    /// Repeats a call that may be done twice until the server answers; 503 counts as no answer.
    ///
    /// # Errors
    /// When it never does, or answers with another status than `status`.
    pub async fn call(&self, call: Call<'_>, status: u16) -> Result<Response, Finding> {
        let since = Instant::now();
        loop {
            match self.try_call(call).await {
                Ok(response) if response.status == status => return Ok(response),
                Ok(response) if response.status == 503 => self.findings.count("answers of 503"),
                Ok(response) => return Err(wrong_answer(call, &response)),
                Err(_) => {}
            }
            if since.elapsed() > self.patience {
                return Err(Finding::new(Flaw::Hanging, format!("{} {} gets no answer", call.method, call.path)));
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// GETs a JSON body.
    ///
    /// # Errors
    /// As [`World::call`]'s, and when the body is another.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Finding> {
        let response = self.call(Call::get(path), 200).await?;
        read(&response, path)
    }
}

/// Reads a JSON body.
///
/// # Errors
/// When it is another.
pub fn read<T: serde::de::DeserializeOwned>(response: &Response, path: &str) -> Result<T, Finding> {
    serde_json::from_slice(&response.body).map_err(|error| {
        Finding::new(Flaw::BadAnswer, format!("{path}: {error}: {}", String::from_utf8_lossy(&response.body)))
    })
}

/// What an unexpected status means.
pub fn wrong_answer(call: Call<'_>, response: &Response) -> Finding {
    let flaw = if response.status == 404 { Flaw::NotFound } else { Flaw::BadAnswer };
    let body = String::from_utf8_lossy(&response.body);
    Finding::new(flaw, format!("{} {} answered {}: {body}", call.method, call.path, response.status))
}
