//! What a receiver's answer means.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Response, StatusCode, header::RETRY_AFTER};

/// More of an answer's body is not waited for; so much of it lets the connection be used again.
const MOST_OF_BODY: usize = 4 * 1024;

/// What a delivery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has arrived.
    Delivered,
    /// There is nobody to be told there any more.
    Gone,
    /// It may arrive later.
    Again {
        /// When the receiver would have it.
        after: Option<Duration>,
        /// What was wrong.
        why: String,
        /// It is the host that can't take it just now, whatever is sent there.
        host_fails: bool,
    },
}

/// Reads the answer, and drops it.
pub(super) async fn read(mut response: Response, now: DateTime<Utc>) -> Answer {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let answer = meaning(response.status(), header, now);
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MOST_OF_BODY {
            break;
        }
    }
    answer
}

fn meaning(status: StatusCode, retry_after: Option<&str>, now: DateTime<Utc>) -> Answer {
    match status {
        status if status.is_success() => Answer::Delivered,
        StatusCode::GONE => Answer::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = retry_after.and_then(|text| wait_of(text, now));
            Answer::Again { after, why: said(status), host_fails: true }
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Answer::Again { after: None, why: said(status), host_fails: true }
        }
        status => Answer::Again { after: None, why: said(status), host_fails: false },
    }
}

fn said(status: StatusCode) -> String {
    format!("The target answered {}.", status.as_u16())
}

/// Seconds, or a date of HTTP's.
fn wait_of(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry_after: Option<&str>) -> Answer {
        let now = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().with_timezone(&Utc);
        meaning(StatusCode::from_u16(status).unwrap(), retry_after, now)
    }

    fn after(answer: Answer) -> Option<u64> {
        match answer {
            Answer::Again { after, .. } => after.map(|after| after.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn success_is_2xx_alone() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of(status, None), Answer::Delivered);
        }
        for status in [301, 302, 307, 400, 401, 404, 409, 422, 429, 500, 502, 503] {
            assert!(matches!(of(status, None), Answer::Again { .. }), "{status}");
        }
        assert_eq!(of(410, None), Answer::Gone);
    }

    #[test]
    fn retry_after_is_heard_where_it_has_a_meaning() {
        assert_eq!(after(of(429, Some("7"))), Some(7));
        assert_eq!(after(of(503, Some(" 120 "))), Some(120));
        assert_eq!(after(of(503, Some("Fri, 02 Jan 2026 03:05:05 GMT"))), Some(60));
        assert_eq!(after(of(503, Some("Fri, 02 Jan 2026 03:00:00 GMT"))), Some(0));
        for odd in ["", "-1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(after(of(429, Some(odd))), None, "{odd:?}");
        }
        assert_eq!(after(of(500, Some("7"))), None);
    }
}
