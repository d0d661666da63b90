//! Reads what a request carries, and says precisely what is wrong with it.

mod json_body;
mod path_id;
mod path_text;
mod query;
mod read_body;

pub(crate) use self::{
    json_body::{Field, JsonBody, OptionalJsonBody, RequestBody, present},
    path_id::PathId,
    path_text::PathText,
    query::Query,
};
