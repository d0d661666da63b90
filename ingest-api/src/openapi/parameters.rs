//! Parameters of several operations, and bodies that differ from one operation to another.

use std::borrow::Cow;

use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::read_message::PostMessage;

/// The header `Idempotency-Key`.
pub(crate) struct IdempotencyKey;

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The same key with the same request gives the same 202 and no second task; with another request it \
                           is a 409. Kept as long as the task is.";
        let schema = ObjectBuilder::new().schema_type(Type::String).max_length(Some(255)).pattern(Some("^[!-~]+$"));
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema.min_length(Some(1))));
        vec![parameter.build()]
    }
}

/// The message that begins a session: there is nothing that it could edit.
pub(crate) struct FirstMessage;

impl PartialSchema for FirstMessage {
    fn schema() -> RefOr<Schema> {
        PostMessage::schema()
    }
}

impl ToSchema for FirstMessage {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("FirstMessage")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        PostMessage::schemas(schemas);
    }
}
