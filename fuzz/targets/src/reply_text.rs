//! The text of a reply with its tool calls, as a log or a provider may hold it.

use parlance_shared::reply_text::{decode, encode, next_piece};

/// Reading ends, whatever stands between the marks, and what was read is written and read again as the same.
pub fn reply_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (said, calls) = decode(text);
    let encoded = encode(&said, &calls).into_owned();
    assert_eq!(decode(&encoded), (said, calls));
    let mut rest = encoded.as_str();
    while let Some((_, length)) = next_piece(rest, 7) {
        assert!(length > 0, "no step forward in {rest:?}");
        rest = &rest[length..];
    }
}
