//! Tokens that say when they were sent, for readers on the same machine.
//!
//! They look like noise: times in a row share most of their digits, and a database that compresses what it stores would have
//! less to do with them than with any reply.

use std::time::{SystemTime, UNIX_EPOCH};

/// What a stamp begins with; it appears nowhere else in a stamped reply.
pub const STAMP_MARK: u8 = b'~';

/// The hexadecimal digits behind the mark. A space follows.
pub const STAMP_DIGITS: usize = 16;

/// Odd, so that multiplying by it can be undone.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const UNDOES_FACTOR: u64 = 0xf1de_83e1_9937_733d;

/// A token of now.
#[allow(clippy::disallowed_methods, reason = "two processes compare their readings: it must be the machine's clock")]
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    stamp(since.as_micros() as u64)
}

fn stamp(micros: u64) -> String {
    let noise = micros.wrapping_mul(FACTOR);
    format!("{}{:0width$x} ", char::from(STAMP_MARK), noise ^ (noise >> 32), width = STAMP_DIGITS)
}

/// What the digits behind a mark mean: microseconds since 1970, by this machine's clock.
pub fn read_stamp(digits: &[u8]) -> Option<i64> {
    let mixed = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    i64::try_from((mixed ^ (mixed >> 32)).wrapping_mul(UNDOES_FACTOR)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_has_its_shape_and_is_read_back() {
        for micros in [0, 1, 1_795_000_000_000_000, 1_795_000_000_000_001] {
            let stamp = stamp(micros);
            assert!(stamp.len() == STAMP_DIGITS + 2 && stamp.starts_with('~') && stamp.ends_with(' '), "{stamp:?}");
            assert_eq!(read_stamp(&stamp.as_bytes()[1..=STAMP_DIGITS]), Some(micros as i64));
        }
        assert_eq!(read_stamp(b"no digits at all"), None);
    }
}
