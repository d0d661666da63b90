//! Reads a body up to a size and within a time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::{
    limits::{Taken, overloaded},
    problem::{Code, Problem},
    state::Limits,
};

/// Of a body that is too long, this much is still taken, so that its sender, busy with sending, lives to read the answer.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
/// Room that a body is given before any of it has come.
const FIRST_BYTES: usize = 16 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

pub(super) async fn read_body(
    mut body: Body,
    headers: &HeaderMap,
    limits: &Limits,
    room: &mut Taken<'_>,
) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let collecting = collect(&mut body, limits.body_bytes, announced, room);
    let read = match tokio::time::timeout(limits.body_timeout, collecting).await {
        Ok(read) => read?,
        Err(_) => {
            let detail = format!("The body was not complete within {:?}.", limits.body_timeout);
            return Err(Problem::new(Code::RequestTimeout, detail));
        }
    };
    if let Some(bytes) = read {
        return Ok(bytes);
    }
    // A client that waits for `100 Continue` has sent nothing yet, and will not.
    if !headers.contains_key(header::EXPECT) {
        let _ = tokio::time::timeout(DISCARD_TIME, discard(&mut body)).await;
    }
    Err(Problem::new(Code::BodyTooLarge, format!("The body is longer than {} bytes.", limits.body_bytes)))
}

/// The whole body; `None` when it is longer than `limit`.
async fn collect(
    body: &mut Body,
    limit: usize,
    announced: usize,
    room: &mut Taken<'_>,
) -> Result<Option<Bytes>, Problem> {
    if announced > limit {
        return Ok(None);
    }
    // What is announced need never come.
    let mut bytes = BytesMut::with_capacity(announced.min(FIRST_BYTES));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::new(Code::InvalidJson, format!("The body broke off: {error}.")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Ok(None);
        }
        if !room.grow(data.len()) {
            return Err(overloaded());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes.freeze()))
}

async fn discard(body: &mut Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARDED_BYTES {
            return;
        }
    }
}
