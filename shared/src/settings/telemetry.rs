//! Where traces and metrics go. Names that OpenTelemetry has for a setting are its names.

use std::time::Duration;

use url::Url;

use super::{Secret, Settings, read::Reader};
use crate::trace::Sampler;

/// `METRICS_PORT`, `OTEL_…`, and the project that logs and traces are in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TelemetrySettings {
    /// `METRICS_PORT`: `/metrics` without credentials, on 127.0.0.1 alone.
    pub metrics_port: Option<u16>,
    /// `GOOGLE_CLOUD_PROJECT`.
    pub google_cloud_project: Option<String>,
    /// `OTEL_EXPORTER_OTLP_…`; none: spans are not made.
    pub traces: Option<TraceSettings>,
}

/// Who is sent which spans.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: Vec<(String, Secret)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: for one request.
    pub timeout: Duration,
    /// `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Sampler,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource: Vec<(String, String)>,
    /// `K_REVISION`: what Cloud Run calls the revision.
    pub revision: Option<String>,
}

const ENDPOINT_ACCEPTED: &str =
    "the http or https URL of an OTLP/HTTP collector such as http://localhost:4318, without /v1/traces";
const SHARE_ACCEPTED: &str = "a number from 0 to 1 such as 0.1";
const PAIRS_ACCEPTED: &str = "NAME=VALUE pairs separated by commas, values percent-encoded";

/// Which traces are recorded.
#[derive(Clone, Copy)]
enum Share {
    Given,
    All,
    None,
}

const SAMPLERS: [(&str, (bool, Share)); 6] = [
    ("parentbased_traceidratio", (true, Share::Given)),
    ("traceidratio", (false, Share::Given)),
    ("parentbased_always_on", (true, Share::All)),
    ("always_on", (false, Share::All)),
    ("parentbased_always_off", (true, Share::None)),
    ("always_off", (false, Share::None)),
];

pub(super) fn read_telemetry(read: &mut Reader<'_>, port: u16) -> TelemetrySettings {
    let metrics_port = read.number("METRICS_PORT", 1, 65_535).and_then(|port| u16::try_from(port).ok());
    if metrics_port == Some(port) {
        let problem = format!("{port} is also PORT, which is reached from elsewhere");
        read.refuse("METRICS_PORT", problem, "a port number from 1 to 65535 that is not PORT");
    }
    TelemetrySettings {
        metrics_port,
        google_cloud_project: read.text("GOOGLE_CLOUD_PROJECT"),
        traces: read_traces(read),
    }
}

fn read_traces(read: &mut Reader<'_>) -> Option<TraceSettings> {
    let (parent_based, share) = read.choice("OTEL_TRACES_SAMPLER", &SAMPLERS).unwrap_or((true, Share::Given));
    let given = read.parsed("OTEL_TRACES_SAMPLER_ARG", SHARE_ACCEPTED).unwrap_or(1.0);
    if !(0.0..=1.0).contains(&given) {
        read.refuse("OTEL_TRACES_SAMPLER_ARG", format!("\"{given}\" was given"), SHARE_ACCEPTED);
    }
    let share = match share {
        Share::Given => given,
        Share::All => 1.0,
        Share::None => 0.0,
    };
    read.choice("OTEL_EXPORTER_OTLP_PROTOCOL", &[("http/protobuf", ())]);
    let timeout = read.number("OTEL_EXPORTER_OTLP_TIMEOUT", 1, 60_000).unwrap_or(10_000);
    let headers = read.secret::<Pairs>("OTEL_EXPORTER_OTLP_HEADERS", PAIRS_ACCEPTED).unwrap_or_default().0;
    let resource = read.parsed::<Pairs>("OTEL_RESOURCE_ATTRIBUTES", PAIRS_ACCEPTED).unwrap_or_default().0;
    let service_name = read.text("OTEL_SERVICE_NAME");
    let base = read.url("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT_ACCEPTED)?;
    let Some(endpoint) = below(base, ["v1", "traces"]) else {
        read.refuse("OTEL_EXPORTER_OTLP_ENDPOINT", "the given value has no path".to_owned(), ENDPOINT_ACCEPTED);
        return None;
    };
    Some(TraceSettings {
        endpoint,
        headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        timeout: Duration::from_millis(timeout),
        sampler: Sampler { parent_based, share },
        service_name,
        resource,
        revision: read.text("K_REVISION"),
    })
}

fn below(mut base: Url, path: [&str; 2]) -> Option<Url> {
    base.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(base)
}

/// As in W3C Baggage, without properties.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl std::str::FromStr for Pairs {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(())?;
            let name = name.trim();
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            if is_name { Ok((name.to_owned(), decoded(value.trim())?)) } else { Err(()) }
        });
        pairs.collect::<Result<_, ()>>().map(Self)
    }
}

fn decoded(value: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(());
                digit(*high)? << 4 | digit(*low)?
            }
            (b'%', _) => return Err(()),
            (byte, _) if byte.is_ascii_control() => return Err(()),
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).map_err(drop)
}

impl Settings {
    /// The Google Cloud project that logs and traces are in, if one is named.
    pub fn project(&self) -> Option<&str> {
        let of_bus = self.pubsub.as_ref().map(|pubsub| pubsub.project.as_str());
        self.telemetry.google_cloud_project.as_deref().or(of_bus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    #[test]
    fn nothing_is_exported_unless_it_is_asked_for() {
        let settings = read(&[("OTEL_TRACES_SAMPLER_ARG", "0.5")]).unwrap();
        assert_eq!(settings.telemetry, TelemetrySettings::default());
        assert_eq!(settings.project(), None);
    }

    #[test]
    fn everything_has_the_name_that_opentelemetry_gives_it() {
        let settings = read(&[
            ("METRICS_PORT", "9090"),
            ("GOOGLE_CLOUD_PROJECT", "my-project"),
            ("PUBSUB_PROJECT_ID", "its-bus"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318/otlp/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key, x-team = blue"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_SERVICE_NAME", "chat"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,team=caf%C3%A9"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.project(), Some("my-project"));
        assert_eq!(settings.telemetry.metrics_port, Some(9090));
        let traces = settings.telemetry.traces.unwrap();
        assert_eq!(traces.endpoint.as_str(), "http://localhost:4318/otlp/v1/traces");
        let headers: Vec<_> = traces.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("authorization", "Bearer key"), ("x-team", "blue")]);
        assert_eq!((traces.timeout, traces.service_name.as_deref()), (Duration::from_millis(2500), Some("chat")));
        assert_eq!(traces.sampler, Sampler { parent_based: false, share: 0.25 });
        assert_eq!(traces.resource[1], ("team".to_owned(), "café".to_owned()));
        assert!(!format!("{:?}", traces.headers).contains("key"));
    }

    #[test]
    fn the_samplers_are_opentelemetrys() {
        for (name, parent_based, share) in [
            ("parentbased_always_on", true, 1.0),
            ("parentbased_always_off", true, 0.0),
            ("always_on", false, 1.0),
            ("always_off", false, 0.0),
            ("parentbased_traceidratio", true, 0.5),
        ] {
            let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
            let settings =
                read(&[endpoint, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]).unwrap();
            assert_eq!(settings.telemetry.traces.unwrap().sampler, Sampler { parent_based, share }, "{name}");
        }
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (name, value) in [
            ("METRICS_PORT", "8080"),
            ("METRICS_PORT", "0"),
            ("METRICS_PORT", "65536"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
            ("OTEL_TRACES_SAMPLER_ARG", "half"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ] {
            let errors = read(&[(name, value)]).expect_err(value);
            assert_eq!(errors.0.iter().map(|error| error.name).collect::<Vec<_>>(), [name], "{value}: {errors}");
        }
    }
}
