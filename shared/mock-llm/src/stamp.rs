//! Tokens that say when they were sent, for readers on the same machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// What a stamp begins with; it appears nowhere else in a stamped reply.
pub const STAMP_MARK: u8 = b'~';

/// The digits behind the mark: microseconds since 1970, by this machine's clock. A space follows.
pub const STAMP_DIGITS: usize = 16;

#[allow(clippy::disallowed_methods, reason = "two processes compare their readings: it must be the machine's clock")]
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}{:0width$} ", char::from(STAMP_MARK), since.as_micros(), width = STAMP_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_has_its_shape_and_grows() {
        let (first, second) = (now(), now());
        assert_eq!(first.len(), STAMP_DIGITS + 2);
        assert!(first.starts_with('~') && first.ends_with(' ') && first <= second);
        assert!(first[1..=STAMP_DIGITS].bytes().all(|byte| byte.is_ascii_digit()));
    }
}
