//! A span as a test looks at it.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};

pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// One that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenSpan {
    /// `service.name` of its resource.
    pub service: String,
    /// All that is said of its resource.
    pub resource: BTreeMap<String, String>,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// 16 hexadecimal digits; none at the root.
    pub parent: Option<String>,
    /// What vendors added.
    pub state: String,
    /// Its name.
    pub name: String,
    /// Its side.
    pub kind: SpanKind,
    /// When it began.
    pub start_nanos: u64,
    /// When it ended.
    pub end_nanos: u64,
    /// What is said of it, as text.
    pub attributes: BTreeMap<String, String>,
    /// What it is tied to.
    pub links: Vec<Link>,
    /// Names of the moments in it.
    pub events: Vec<String>,
    /// The message of an error.
    pub error: Option<String>,
}

/// Another span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
}

impl TakenSpan {
    /// One attribute; empty when it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

pub(crate) fn all_of(request: ExportTraceServiceRequest) -> Vec<TakenSpan> {
    let mut taken = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            taken.push(one(&resource, span));
        }
    }
    taken
}

fn one(resource: &BTreeMap<String, String>, span: Span) -> TakenSpan {
    let status = span.status.clone().unwrap_or_default();
    TakenSpan {
        service: resource.get("service.name").cloned().unwrap_or_default(),
        resource: resource.clone(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: Some(hex(&span.parent_span_id)).filter(|parent| !parent.is_empty()),
        state: span.trace_state.clone(),
        kind: span.kind(),
        name: span.name,
        start_nanos: span.start_time_unix_nano,
        end_nanos: span.end_time_unix_nano,
        attributes: texts(span.attributes),
        links: span
            .links
            .iter()
            .map(|link| Link { trace_id: hex(&link.trace_id), span_id: hex(&link.span_id) })
            .collect(),
        events: span.events.into_iter().map(|event| event.name).collect(),
        error: (status.code() == StatusCode::Error).then_some(status.message),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.unwrap_or_default()))).collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::ArrayValue(values)) => values.values.into_iter().map(text).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
