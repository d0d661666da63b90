//! How the API describes domain types where what is sent is not what a derive would see.

use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::task::Timings;

/// What an id looks like: a UUID of version 7 or 8 behind its prefix.
pub fn id_pattern(prefix: &str) -> String {
    format!("^{prefix}_[0-9a-f]{{12}}[78][0-9a-f]{{3}}[89ab][0-9a-f]{{15}}$")
}

/// An id, with its pattern.
pub(crate) fn id_schema(prefix: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(id_pattern(prefix))).into()
}

/// Data of the client's own, at most 16384 bytes as JSON, without the character U+0000.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub struct Metadata(pub crate::session::Metadata);

/// When what happened to a task, and how fast its reply was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskTimings {
    /// The instants.
    #[serde(flatten)]
    pub timings: Timings,
    /// Tokens of the reply in each second from the first of them to the end.
    pub tokens_per_second: Option<f64>,
}
