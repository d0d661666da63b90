//! Spans as OTLP messages.

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    resource::v1,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, SpanFlags, Status,
        span::{Event, Link, SpanKind},
        status::StatusCode,
    },
};
use parlance_shared::{
    settings::TraceSettings,
    trace::{FinishedSpan, Kind, TraceContext, Value},
};
use uuid::Uuid;

use crate::About;

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// What all spans of the process have in common.
pub(crate) struct Resource {
    resource: v1::Resource,
    scope: InstrumentationScope,
}

impl Resource {
    pub(crate) fn new(settings: &TraceSettings, about: About<'_>) -> Self {
        let name = settings.service_name.as_deref().unwrap_or(about.service);
        let mut attributes = vec![
            text("service.name", name),
            text("service.version", about.version),
            text("service.instance.id", &Uuid::new_v4().to_string()),
            text("telemetry.sdk.language", "rust"),
        ];
        // Cloud Trace's endpoint asks for it.
        attributes.extend(about.project.map(|project| text("gcp.project_id", project)));
        if let Some(revision) = &settings.revision {
            attributes.extend([text("cloud.platform", "gcp_cloud_run"), text("faas.version", revision)]);
        }
        // What the operator says goes before what we know, but for the name, which has a variable of its own.
        for (key, value) in settings.resource.iter().filter(|(key, _)| key != "service.name" || name == about.service) {
            attributes.retain(|known| known.key != *key);
            attributes.push(text(key, value));
        }
        let scope = InstrumentationScope {
            name: "parlance".to_owned(),
            version: about.version.to_owned(),
            ..Default::default()
        };
        Self { resource: v1::Resource { attributes, ..Default::default() }, scope }
    }

    pub(crate) fn request(&self, spans: impl Iterator<Item = FinishedSpan>) -> ExportTraceServiceRequest {
        let scope_spans = ScopeSpans {
            scope: Some(self.scope.clone()),
            spans: spans.map(span).collect(),
            schema_url: SCHEMA.to_owned(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![scope_spans],
                schema_url: SCHEMA.to_owned(),
            }],
        }
    }
}

fn span(span: FinishedSpan) -> Span {
    let parent = span.parent.as_ref();
    let status = span.error.map(|code| Status { message: code.into_owned(), code: StatusCode::Error.into() });
    Span {
        trace_id: span.context.trace_id_bytes().to_vec(),
        span_id: span.context.span_id_bytes().to_vec(),
        trace_state: span.context.state().unwrap_or_default().to_owned(),
        parent_span_id: parent.map(|parent| parent.span_id_bytes().to_vec()).unwrap_or_default(),
        flags: flags(&span.context, span.parent_is_remote),
        name: span.name.into_owned(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.start + span.took),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        events: span.moments.into_iter().map(|(name, at)| moment(name, at)).collect(),
        links: span.links.iter().map(|link| self::link(&link.0)).collect(),
        status: Some(status.unwrap_or_default()),
        ..Default::default()
    }
}

fn link(to: &TraceContext) -> Link {
    Link {
        trace_id: to.trace_id_bytes().to_vec(),
        span_id: to.span_id_bytes().to_vec(),
        trace_state: to.state().unwrap_or_default().to_owned(),
        flags: flags(to, true),
        ..Default::default()
    }
}

fn moment(name: &str, at: SystemTime) -> Event {
    Event { name: name.to_owned(), time_unix_nano: nanos(at), ..Default::default() }
}

fn flags(context: &TraceContext, is_remote: bool) -> u32 {
    let remote = if is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    SpanFlags::ContextHasIsRemoteMask as u32 | remote | u32::from(context.is_sampled())
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.into_owned()),
        Value::Number(number) => any_value::Value::IntValue(number),
        Value::List(words) => {
            let values = words.into_iter().map(|word| AnyValue { value: Some(any_value::Value::StringValue(word)) });
            any_value::Value::ArrayValue(ArrayValue { values: values.collect() })
        }
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::Text(value.to_owned().into()))
}
