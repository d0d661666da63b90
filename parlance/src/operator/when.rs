//! Times on the command line: an instant, or how long ago.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use parlance_shared::Clock;

/// A time as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This instant.
    At(DateTime<Utc>),
    /// So long before now.
    Ago(TimeDelta),
}

impl When {
    /// The instant it means.
    pub(crate) fn instant(self, clock: &Clock) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => clock.now() - ago,
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        let unit = text.chars().last().and_then(|unit| match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3600),
            'd' => Some(24 * 3600),
            'w' => Some(7 * 24 * 3600),
            _ => None,
        });
        let number = unit.and_then(|_| text[..text.len() - 1].parse::<u32>().ok());
        match (number, unit) {
            (Some(number), Some(unit)) => Ok(Self::Ago(TimeDelta::seconds(i64::from(number) * unit))),
            _ => {
                Err("neither a time such as 2026-11-20T08:30:00Z nor an age such as 90s, 15m, 2h, 3d or 1w".to_owned())
            }
        }
    }
}

/// From and until; `until` itself is outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Range {
    /// Refuses one that holds nothing.
    pub(crate) fn of(since: Option<When>, until: Option<When>, clock: &Clock) -> Result<Self, String> {
        let (since, until) = (since.map(|since| since.instant(clock)), until.map(|until| until.instant(clock)));
        match (since, until) {
            (Some(since), Some(until)) if since >= until => Err("--since must be before --until".to_owned()),
            (since, until) => Ok(Self { since, until }),
        }
    }

    pub(crate) fn holds(&self, at: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_ages_are_read_and_nothing_else() {
        let at = DateTime::from_timestamp_millis(1_790_000_000_500).unwrap();
        assert_eq!("2026-09-21T14:13:20.5Z".parse(), Ok(When::At(at)));
        assert_eq!("2026-09-21T16:13:20.5+02:00".parse(), Ok(When::At(at)));
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)] {
            assert_eq!(text.parse(), Ok(When::Ago(TimeDelta::seconds(seconds))), "{text}");
        }
        for wrong in ["", "2", "h", "-2h", "2 h", "1y", "yesterday", "2026-09-21", "ü", "4294967296s"] {
            assert!(wrong.parse::<When>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_range_runs_forward() {
        let clock = Clock::manual(DateTime::from_timestamp(1_790_000_000, 0).unwrap());
        let ago = |hours| Some(When::Ago(TimeDelta::hours(hours)));
        let range = Range::of(ago(2), ago(1), &clock).unwrap();
        let held = [121, 120, 61, 60].map(|minutes| range.holds(clock.now() - TimeDelta::minutes(minutes)));
        assert_eq!(held, [false, true, true, false]);
        assert!(Range::of(ago(1), ago(2), &clock).is_err());
        assert!(Range::of(ago(1), ago(1), &clock).is_err());
    }
}
