//! The operator's end of the socket: the ports, one connection per call.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cloudevents::Event;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use parlance_shared::{
    UserId,
    port::{
        PortError,
        bus::{BusAdmin, DeadLetter, DeadLetters, Subscription, Topic},
        store::{RequestFilter, RequestPosition, StoreAdmin, StoredRequest},
        users::{EraseStep, ExportPage, ExportPosition, UserAdmin, UserCounts},
    },
    replay::Replay,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    file::connect,
    protocol::{
        DISCARD, DiscardCall, ExportCall, ForgetCall, LETTERS, Letter, LettersCall, MAX_ANSWER_BYTES, PURGE, REDRIVE,
        REPLAY, REQUESTS, RedriveCall, Refusal, ReplayCall, RequestsCall, SEEK, SeekCall, USER_COUNT, USER_ERASE,
        USER_EXPORT, USER_FORGET, UserCall,
    },
};

const CONNECT: Duration = Duration::from_secs(5);
/// The other side has the same limit: it answers, or nothing comes any more.
const CALL: Duration = Duration::from_secs(120);

/// The bus and the record of a running process.
#[derive(Clone)]
pub(in crate::operator) struct Remote {
    folder: PathBuf,
}

impl Remote {
    /// The process that serves this folder, if one does.
    pub(in crate::operator) async fn find(folder: &Path) -> Option<Self> {
        let remote = Self { folder: folder.to_owned() };
        remote.connect().await.ok().map(|_| remote)
    }

    async fn connect(&self) -> io::Result<tokio::net::UnixStream> {
        tokio::time::timeout(CONNECT, connect(&self.folder)).await?
    }

    pub(super) async fn call<T: DeserializeOwned>(&self, path: &str, call: &impl Serialize) -> Result<T, PortError> {
        let body = serde_json::to_vec(call).map_err(|error| broken(&error))?;
        let exchange = async {
            let stream = self.connect().await.map_err(|error| unreachable(&error))?;
            exchange(stream, path, body).await.map_err(|error| unreachable(&*error))
        };
        let answered = tokio::time::timeout(CALL, exchange).await.map_err(|late| unreachable(&late))?;
        let (status, body) = answered?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| broken(&error));
        }
        let refusal: Refusal = serde_json::from_slice(&body).map_err(|error| broken(&error))?;
        Err(refusal.into())
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(stream: tokio::net::UnixStream, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), AnyError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(path)
        .header(HOST, "parlance")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await?.to_bytes();
        Ok((status, body))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection ends by itself only when the other side closed it, perhaps with the answer.
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

fn unreachable(cause: &(impl std::fmt::Display + ?Sized)) -> PortError {
    PortError::Unavailable { what: "the running process", cause: cause.to_string() }
}

fn broken(cause: &serde_json::Error) -> PortError {
    PortError::Rejected {
        what: "the socket of the running process, perhaps of another version,",
        cause: cause.to_string(),
    }
}

#[async_trait]
impl BusAdmin for Remote {
    async fn dead_letters(&self, subscription: Subscription) -> Result<Box<dyn DeadLetters>, PortError> {
        Ok(Box::new(Look { remote: self.clone(), subscription, after: None }))
    }

    async fn replay(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<(), PortError> {
        let call = ReplayCall { topic: topic.0.to_owned(), ordering_key: ordering_key.to_owned(), event };
        self.call(REPLAY, &call).await
    }

    async fn seek(&self, subscription: Subscription, to: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        self.call(SEEK, &SeekCall { subscription: subscription.name.to_owned(), to }).await
    }

    async fn forget_user(&self, user: &UserId, until: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        self.call(USER_FORGET, &ForgetCall { user: user.clone(), until }).await
    }
}

#[async_trait]
impl UserAdmin for Remote {
    async fn count(&self, user: &UserId) -> Result<UserCounts, PortError> {
        self.call(USER_COUNT, &UserCall { user: user.clone() }).await
    }

    async fn export(&self, user: &UserId, after: Option<&ExportPosition>) -> Result<ExportPage, PortError> {
        self.call(USER_EXPORT, &ExportCall { user: user.clone(), after: after.cloned() }).await
    }

    async fn erase(&self, user: &UserId) -> Result<EraseStep, PortError> {
        self.call(USER_ERASE, &UserCall { user: user.clone() }).await
    }

    async fn purge(&self) -> Result<bool, PortError> {
        self.call(PURGE, &()).await
    }
}

#[async_trait]
impl StoreAdmin for Remote {
    async fn requests(
        &self,
        filter: &RequestFilter,
        after: Option<&RequestPosition>,
        limit: u32,
    ) -> Result<Vec<StoredRequest>, PortError> {
        self.call(REQUESTS, &RequestsCall { filter: filter.clone(), after: after.cloned(), limit }).await
    }
}

struct Look {
    remote: Remote,
    subscription: Subscription,
    after: Option<String>,
}

#[async_trait]
impl DeadLetters for Look {
    async fn next_page(&mut self) -> Result<Vec<DeadLetter>, PortError> {
        let call = LettersCall { subscription: self.subscription.name.to_owned(), after: self.after.clone() };
        let page: Vec<Letter> = self.remote.call(LETTERS, &call).await?;
        let page: Vec<DeadLetter> = page.into_iter().map(|letter| letter.of(&self.subscription)).collect();
        if let Some(last) = page.last() {
            self.after = Some(last.id.clone());
        }
        Ok(page)
    }

    async fn redrive(&mut self, id: &str, replay: &Replay) -> Result<bool, PortError> {
        let subscription = self.subscription.name.to_owned();
        self.remote.call(REDRIVE, &RedriveCall { subscription, id: id.to_owned(), replay: replay.clone() }).await
    }

    async fn discard(&mut self, id: &str) -> Result<bool, PortError> {
        let subscription = self.subscription.name.to_owned();
        self.remote.call(DISCARD, &DiscardCall { subscription, id: id.to_owned() }).await
    }
}
