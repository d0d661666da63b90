//! What the front door lets in: how often, how much at once, from where.
//!
//! A bound that is not set has a default only where callers prove who they are: on a machine of one's own, where everybody is
//! the one local user, it would be in the way of whoever sets it a test.

use std::time::Duration;

use super::read::Reader;

/// Bounds and origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontDoorSettings {
    /// `RATE_LIMIT_PER_USER`.
    pub rate_per_user: Bound<Rate>,
    /// `RATE_LIMIT_PER_IP`.
    pub rate_per_ip: Bound<Rate>,
    /// `MAX_TASKS_PER_USER`: tasks that have not ended.
    pub tasks_per_user: Bound<u32>,
    /// `MAX_STREAMS_PER_USER`: streams and long-polls at once, in one process.
    pub streams_per_user: Bound<u32>,
    /// `MAX_QUEUE_DELAY`: how long calls may wait for the process to get to them before new work is turned away.
    pub queue_delay: Bound<Duration>,
    /// `STREAM_MAX_DURATION`: after so long a stream is ended for its client to go on by another one; without it, none is.
    pub stream_max: Option<Duration>,
    /// `MAX_CONNECTIONS`: of one process.
    pub connections: usize,
    /// `TRUSTED_PROXIES`: how many proxies in front append to `X-Forwarded-For`.
    pub trusted_proxies: u8,
    /// `CORS_ORIGINS`; none where it is not set.
    pub cors_origins: Option<Vec<String>>,
}

/// A bound that may be left to the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<T> {
    /// Not set.
    Default,
    /// `off`.
    Off,
    /// Set.
    At(T),
}

impl<T> Bound<T> {
    /// The bound in force, if any, where `default` stands for what is not set.
    pub fn or(self, default: Option<T>) -> Option<T> {
        match self {
            Self::Default => default,
            Self::Off => None,
            Self::At(bound) => Some(bound),
        }
    }
}

/// So many requests in each such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; all of them may come at once.
    pub requests: u32,
    /// In what time.
    pub per: Duration,
}

const RATE_ACCEPTED: &str = "a number from 1 to 1000000 per s, min or h, such as 600/min, or off";
const ORIGINS_ACCEPTED: &str =
    "origins separated by commas, each as a browser sends it: https://app.example.com or http://localhost:3000";

impl Default for FrontDoorSettings {
    fn default() -> Self {
        Self {
            rate_per_user: Bound::Default,
            rate_per_ip: Bound::Default,
            tasks_per_user: Bound::Default,
            streams_per_user: Bound::Default,
            queue_delay: Bound::Default,
            stream_max: None,
            connections: 20_000,
            trusted_proxies: 0,
            cors_origins: None,
        }
    }
}

pub(super) fn read_front_door(read: &mut Reader<'_>) -> FrontDoorSettings {
    let default = FrontDoorSettings::default();
    // Where this is set, Google's front end is the one way in, and appends the address that called it.
    let on_cloud_run = read.text("K_SERVICE").is_some();
    FrontDoorSettings {
        rate_per_user: read_rate(read, "RATE_LIMIT_PER_USER"),
        rate_per_ip: read_rate(read, "RATE_LIMIT_PER_IP"),
        tasks_per_user: read_count(read, "MAX_TASKS_PER_USER", 10_000),
        streams_per_user: read_count(read, "MAX_STREAMS_PER_USER", 100_000),
        queue_delay: match read.text("MAX_QUEUE_DELAY").as_deref() {
            Some("off") => Bound::Off,
            _ => read.duration("MAX_QUEUE_DELAY").map_or(Bound::Default, Bound::At),
        },
        stream_max: read_stream_max(read),
        connections: read
            .number("MAX_CONNECTIONS", 10, 1_000_000)
            .map_or(default.connections, |number| number as usize),
        trusted_proxies: read.number("TRUSTED_PROXIES", 0, 10).map_or(u8::from(on_cloud_run), |number| number as u8),
        cors_origins: read_origins(read),
    }
}

/// Shorter ones would have clients do little but come back.
fn read_stream_max(read: &mut Reader<'_>) -> Option<Duration> {
    let name = "STREAM_MAX_DURATION";
    let duration = read.duration(name)?;
    if duration < Duration::from_secs(1) {
        read.refuse(name, format!("{duration:?} was given"), "from 1s to 24h, such as 55s");
    }
    Some(duration)
}

fn read_rate(read: &mut Reader<'_>, name: &'static str) -> Bound<Rate> {
    let Some(text) = read.text(name) else { return Bound::Default };
    if text == "off" {
        return Bound::Off;
    }
    match parse_rate(&text) {
        Some(rate) => Bound::At(rate),
        None => {
            read.refuse(name, format!("{text:?} was given"), RATE_ACCEPTED);
            Bound::Default
        }
    }
}

fn parse_rate(text: &str) -> Option<Rate> {
    let (requests, unit) = text.split_once('/')?;
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let requests = requests.parse().ok().filter(|requests| (1..=1_000_000).contains(requests))?;
    Some(Rate { requests, per: Duration::from_secs(seconds) })
}

fn read_count(read: &mut Reader<'_>, name: &'static str, most: u64) -> Bound<u32> {
    match read.text(name) {
        None => Bound::Default,
        Some(text) if text == "off" => Bound::Off,
        Some(text) => match text.parse::<u32>() {
            Ok(number) if number > 0 && u64::from(number) <= most => Bound::At(number),
            _ => {
                read.refuse(name, format!("{text:?} was given"), format!("a whole number from 1 to {most}, or off"));
                Bound::Default
            }
        },
    }
}

fn read_origins(read: &mut Reader<'_>) -> Option<Vec<String>> {
    read.text("CORS_ORIGINS")?;
    let origins = read.list("CORS_ORIGINS");
    if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
        read.refuse("CORS_ORIGINS", format!("{wrong:?} was given"), ORIGINS_ACCEPTED);
    }
    Some(origins)
}

/// Whether a browser could send it: scheme, host and a port that is not the scheme's own, all in lower case, and no more.
fn is_origin(text: &str) -> bool {
    let url = url::Url::parse(text).ok();
    url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    #[test]
    fn bounds_are_set_left_or_turned_off() {
        assert_eq!(read(&[]).unwrap().front_door, FrontDoorSettings::default());
        let set = read(&[
            ("RATE_LIMIT_PER_USER", "10/s"),
            ("RATE_LIMIT_PER_IP", "off"),
            ("MAX_TASKS_PER_USER", "7"),
            ("MAX_STREAMS_PER_USER", "off"),
            ("MAX_QUEUE_DELAY", "20ms"),
            ("STREAM_MAX_DURATION", "55s"),
            ("MAX_CONNECTIONS", "50"),
            ("TRUSTED_PROXIES", "2"),
            ("CORS_ORIGINS", "https://app.example.com, http://localhost:3000"),
        ]);
        let expected = FrontDoorSettings {
            rate_per_user: Bound::At(Rate { requests: 10, per: Duration::from_secs(1) }),
            rate_per_ip: Bound::Off,
            tasks_per_user: Bound::At(7),
            streams_per_user: Bound::Off,
            queue_delay: Bound::At(Duration::from_millis(20)),
            stream_max: Some(Duration::from_secs(55)),
            connections: 50,
            trusted_proxies: 2,
            cors_origins: Some(vec!["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()]),
        };
        assert_eq!(set.unwrap().front_door, expected);
        assert_eq!(read(&[("K_SERVICE", "api")]).unwrap().front_door.trusted_proxies, 1);
        assert_eq!(
            (Bound::Default.or(Some(1)), Bound::Off.or(Some(1)), Bound::At(2).or(None)),
            (Some(1), None, Some(2))
        );
    }

    #[test]
    fn wrong_bounds_are_refused_by_name() {
        for (name, value) in [
            ("RATE_LIMIT_PER_USER", "600"),
            ("RATE_LIMIT_PER_USER", "0/min"),
            ("RATE_LIMIT_PER_IP", "5/day"),
            ("MAX_TASKS_PER_USER", "0"),
            ("MAX_STREAMS_PER_USER", "none"),
            ("MAX_QUEUE_DELAY", "20"),
            ("STREAM_MAX_DURATION", "55"),
            ("STREAM_MAX_DURATION", "999ms"),
            ("MAX_CONNECTIONS", "1"),
            ("TRUSTED_PROXIES", "-1"),
            ("CORS_ORIGINS", "*"),
            ("CORS_ORIGINS", "https://app.example.com/"),
            ("CORS_ORIGINS", "https://App.example.com"),
            ("CORS_ORIGINS", "https://app.example.com:443"),
            ("CORS_ORIGINS", "null"),
            ("CORS_ORIGINS", "app.example.com"),
        ] {
            let errors = read(&[(name, value)]).expect_err(value);
            assert_eq!(errors.0.iter().map(|error| error.name).collect::<Vec<_>>(), [name], "{value}: {errors}");
        }
    }
}
