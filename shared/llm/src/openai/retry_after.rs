//! How long a provider asks to wait: `Retry-After` in seconds or as a date, or OpenAI's `retry-after-ms`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use parlance_shared::Clock;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Longer waits are cut to this.
const LONGEST: Duration = Duration::from_secs(3600);

pub(super) fn read(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) =
        text("retry-after-ms").and_then(|text| text.parse().ok()).and_then(|ms: f64| seconds(ms / 1e3))
    {
        return Some(millis);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(number) = value.parse() {
        return seconds(number);
    }
    let until = date(value)?;
    // The server's own clock, if it tells: ours may be off.
    let now = text(DATE.as_str()).and_then(date).unwrap_or_else(|| clock.now());
    Some((until - now).to_std().unwrap_or_default().min(LONGEST))
}

fn seconds(number: f64) -> Option<Duration> {
    (number >= 0.0).then(|| Duration::try_from_secs_f64(number).unwrap_or(LONGEST).min(LONGEST))
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let clock = Clock::manual(date("Sun, 01 Nov 2026 10:00:00 GMT").unwrap());
        read(&headers, &clock)
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        for (pairs, expected) in [
            (&[("retry-after", "7")][..], Some(7_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after", "99999999")], Some(3_600_000)),
            (&[("retry-after", "1e300")], Some(3_600_000)),
            (&[("retry-after", "Sun, 01 Nov 2026 10:00:09 GMT")], Some(9_000)),
            (&[("retry-after", "Sun, 01 Nov 2026 09:00:00 GMT")], Some(0)),
            (&[("retry-after", "Sun, 01 Nov 2037 09:00:00 GMT")], Some(3_600_000)),
            (
                &[("retry-after", "Sun, 01 Nov 2026 12:00:03 GMT"), ("date", "Sun, 01 Nov 2026 12:00:00 GMT")],
                Some(3_000),
            ),
            (&[("retry-after-ms", "250"), ("retry-after", "1")], Some(250)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ] {
            assert_eq!(read_from(pairs), expected.map(Duration::from_millis), "{pairs:?}");
        }
    }
}
