//! The machine's clock, to compare with what other processes of the machine say.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "what other processes say is by the machine's clock, too")]
pub fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
