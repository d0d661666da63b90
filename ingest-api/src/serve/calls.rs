//! The service that hyper calls: the router, except that a long answer is handed to the connection instead of to hyper.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, response::Response};
use http::{HeaderMap, Method, Request, Version, header};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt as _;

use super::client_io::ClientIo;
use crate::limits::Peer;

/// Put into an answer's extensions when it may last for minutes and be silent for most of them.
#[derive(Clone, Copy)]
pub(crate) struct LongLived;

/// An answer for the connection to write.
pub(super) struct LongAnswer {
    pub(super) response: Response,
    /// The client may send another request when it has the answer.
    pub(super) keeps_connection: bool,
}

/// Where a long answer waits for the connection.
pub(super) struct Handoff {
    slot: Mutex<Option<LongAnswer>>,
    /// Whether something that hyper wrote before is not sent yet; then hyper must go on.
    behind: Arc<AtomicBool>,
}

impl Handoff {
    pub(super) fn new(io: &ClientIo) -> Self {
        Self { slot: Mutex::new(None), behind: io.behind() }
    }

    pub(super) fn take(&self) -> Option<LongAnswer> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, answer: LongAnswer) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

/// One connection's calls.
pub(super) struct Calls {
    router: Router,
    handoff: Arc<Handoff>,
    peer: Peer,
}

impl Calls {
    pub(super) fn new(router: Router, handoff: Arc<Handoff>, peer: Peer) -> Self {
        Self { router, handoff, peer }
    }
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        let (router, handoff) = (self.router.clone(), self.handoff.clone());
        let plain =
            request.method() == Method::GET && request.version() == Version::HTTP_11 && request.body().is_end_stream();
        let keeps_connection = !asks_to_close(request.headers());
        Box::pin(async move {
            let response = router.oneshot(request).await?;
            let long = plain && response.extensions().get::<LongLived>().is_some();
            if !long || handoff.behind.load(Ordering::Relaxed) {
                return Ok(response);
            }
            handoff.put(LongAnswer { response, keeps_connection });
            // The connection takes it before this is polled again.
            std::future::pending().await
        })
    }
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
}
