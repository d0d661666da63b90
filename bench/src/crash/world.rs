//! What all conversations share: the servers that come and go, and the findings.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use super::{
    findings::{Finding, Findings, Flaw},
    recovery::Recovery,
};
use crate::{
    api::CALL_TIMEOUT,
    http::{Connection, Response},
};

/// What all conversations share.
#[derive(Clone)]
pub struct World {
    /// Where the API is, at each of its instances that is up.
    pub servers: Arc<[SocketAddr]>,
    /// The instance that is written to, unless it is down.
    pub writes_to: usize,
    /// The instance that is read from, unless it is down.
    pub reads_from: usize,
    /// How it is measured that what was cut goes on.
    pub recovery: Recovery,
    /// What was seen.
    pub findings: Arc<Findings>,
    /// Told at each POST of a message.
    pub posting: Arc<Notify>,
    /// Nothing may take longer than this from its acceptance.
    pub patience: Duration,
    /// The durable record may lag behind by this.
    pub record_lag: Duration,
    /// Between tries to reach a server that is down.
    pub retry_pause: Duration,
    /// Whether a message that was answered with 503 may have been accepted all the same: the bus may have it, and its answer
    /// was lost.
    pub is_unsure_when_busy: bool,
    /// The bus may hand out a message before an earlier one of its session, if nobody has begun with that.
    pub may_overtake: bool,
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
    /// The same for one conversation: half of them write to one instance and read from another.
    pub fn of_conversation(&self, number: usize) -> Self {
        let count = self.servers.len();
        let (writes_to, is_split) = (number % count, (number / count).is_multiple_of(2));
        Self { writes_to, reads_from: (writes_to + usize::from(is_split)) % count, ..self.clone() }
    }

    /// The instance to read from, another at each try.
    pub fn reader(&self, tries: usize) -> SocketAddr {
        self.servers[(self.reads_from + tries) % self.servers.len()]
    }

    fn server_for(&self, call: Call<'_>, tries: usize) -> SocketAddr {
        if call.method == "GET" {
            self.reader(tries)
        } else {
            self.servers[(self.writes_to + tries) % self.servers.len()]
        }
    }

    /// One try on a fresh connection; each goes to another instance.
    ///
    /// # Errors
    /// When it brings no answer.
    pub async fn try_call(&self, call: Call<'_>, tries: usize) -> Result<Response, NoAnswer> {
        let server = self.server_for(call, tries);
        let mut connection = Connection::open(server).await.map_err(|_| NoAnswer::NotSent)?;
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
        for tries in 0.. {
            match self.try_call(call, tries).await {
                Ok(response) if response.status == status => return Ok(response),
                Ok(response) if response.status == 503 => self.findings.count("answers of 503"),
                Ok(response) => return Err(wrong_answer(call, &response)),
                Err(_) => {}
            }
            if since.elapsed() > self.patience {
                break;
            }
            sleep(self.retry_pause).await;
        }
        Err(Finding::new(Flaw::Hanging, format!("{} {} gets no answer", call.method, call.path)))
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
