//! A way in for the fuzzers.

use bytes::Bytes;
use http::HeaderMap;

use crate::formats;

/// Reads a push as the endpoint does.
///
/// # Errors
/// The status of the answer, when it can't be read.
pub fn read(headers: &HeaderMap, body: Bytes) -> Result<(), u16> {
    formats::read(headers, body).map(|_| ()).map_err(|problem| problem.status().as_u16())
}
