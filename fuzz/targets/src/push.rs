//! Requests of Pub/Sub and Eventarc: wrapped, unwrapped, CloudEvents in binary mode.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers up to an empty line, one each line as `name: value`, then the body.
pub fn push(data: &[u8]) {
    let split = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = split.map_or((&data[..0], data), |at| (&data[..at], &data[at + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if let Err(status) = parlance_push::fuzzing::read(&headers, Bytes::copy_from_slice(body)) {
        assert!((400..500).contains(&status), "a bad push is the sender's fault, not {status}");
    }
}
