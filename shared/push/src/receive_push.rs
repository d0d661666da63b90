//! `POST /push`: one message of Pub/Sub's or Eventarc's, worked on within the request.
//!
//! Every status that is not 2xx makes Pub/Sub deliver the message again, with its backoff; so 4xx and 5xx differ only for
//! whoever reads the log.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tokio::time::sleep;

use crate::{
    endpoint::PushEndpoint,
    formats,
    problem::{Code, Problem},
    read_body::read_body,
    work::{Answer, work_on},
};

/// When the lifecycle aborts, handlers hand their work back at once; those that can't are answered for.
const HAND_BACK: Duration = Duration::from_millis(500);

pub(crate) async fn receive_push(
    State(endpoint): State<Arc<PushEndpoint>>,
    request: Request,
) -> Result<Response, Problem> {
    if endpoint.lifecycle.stopping().is_cancelled() {
        return Err(stopping());
    }
    let (parts, body) = request.into_parts();
    endpoint.verification.check(&parts.headers).await?;
    let room = Arc::clone(&endpoint.bodies).try_acquire_owned().map_err(|_| busy())?;
    let body = read_body(&parts.headers, body, &endpoint.limits).await?;
    let message = formats::read(&parts.headers, body)?;
    let target = endpoint.target_of(&message)?.clone();
    let slot = Arc::clone(&target.slots).try_acquire_owned().map_err(|_| busy())?;
    // Reading the body took its time.
    if endpoint.lifecycle.stopping().is_cancelled() {
        return Err(stopping());
    }
    // On the lifecycle, not in this future: hyper drops this one when the caller hangs up.
    let working = endpoint.lifecycle.spawn({
        let endpoint = Arc::clone(&endpoint);
        async move {
            let answer = work_on(&target.processor, &endpoint, message).await;
            drop((slot, room));
            answer
        }
    });
    let aborted = async {
        endpoint.lifecycle.aborting().cancelled().await;
        sleep(HAND_BACK).await;
    };
    let answer = tokio::select! {
        biased;
        done = working => done.map_err(|error| {
            let detail = "The message could not be worked on; the cause is in our log.";
            Problem::new(Code::InternalError, detail).caused_by(error.to_string())
        })?,
        () = aborted => Answer::HandedBack,
    };
    match answer {
        Answer::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Answer::Retry(after) => Err(Problem::new(Code::RetryLater, "The message could not be worked on yet.")
            .retry_after(after.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))),
        Answer::HandedBack => Err(stopping()),
        Answer::NotKept(cause) => {
            let detail = "The message was given up, but its dead letter could not be kept yet.";
            Err(Problem::new(Code::Unavailable, detail).retry_after(1).caused_by(cause))
        }
    }
}

fn stopping() -> Problem {
    Problem::new(Code::Stopping, "The process is stopping; another one will take the message.")
}

fn busy() -> Problem {
    Problem::new(Code::Busy, "As many messages as this worker takes are being worked on.").retry_after(1)
}
