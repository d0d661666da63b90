//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): what is allowed, and what is left of it.
//!
//! Both are lists of strings with parameters: `"user";q=600;w=60` and `"user";r=598;t=1`.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::buckets::Level;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// How a call stands under the rates that it was counted under.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) user: Option<Level>,
    pub(crate) ip: Option<Level>,
}

impl Standing {
    /// Adds the headers; none where nothing is limited.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let (mut policy, mut limit) = (String::new(), String::new());
        for (name, level) in [("user", self.user), ("ip", self.ip)] {
            let Some(level) = level else { continue };
            if !policy.is_empty() {
                policy.push_str(", ");
                limit.push_str(", ");
            }
            let (quota, window) = (level.rate.requests, level.rate.per.as_secs());
            // Writing to a text can't fail.
            let _ = write!(policy, "\"{name}\";q={quota};w={window}");
            let _ = write!(limit, "\"{name}\";r={};t={}", level.remaining, whole_seconds(level.reset));
        }
        if policy.is_empty() {
            return;
        }
        for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

/// Rounded up: whoever waits so long has waited long enough.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use parlance_shared::settings::Rate;

    use super::*;

    #[test]
    fn both_rates_are_said() {
        let mut headers = HeaderMap::new();
        Standing::default().write(&mut headers);
        assert!(headers.is_empty());
        let level = |requests, remaining, reset| Level {
            rate: Rate { requests, per: Duration::from_secs(60) },
            remaining,
            reset: Duration::from_millis(reset),
        };
        let (user, ip) = (Some(level(600, 599, 100)), Some(level(1_200, 7, 3_000)));
        Standing { user, ip }.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], r#""user";q=600;w=60, "ip";q=1200;w=60"#);
        assert_eq!(headers["ratelimit"], r#""user";r=599;t=1, "ip";r=7;t=3"#);
    }
}
