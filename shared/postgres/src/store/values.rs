//! Between the domain's values and Postgres': times are of the millisecond, the precision that is shown; ids are text.

use std::{fmt::Display, str::FromStr};

use chrono::{DateTime, SubsecRound as _, Utc};
use parlance_shared::{
    session::Metadata,
    task::{Status, Usage},
};
use serde_json::Value;

pub(crate) fn to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// The time that a client's cursor names, within what Postgres can compare with.
pub(crate) fn page_time(millis: i64) -> DateTime<Utc> {
    const YEAR_1: i64 = -62_135_596_800_000;
    const YEAR_10000: i64 = 253_402_300_800_000;
    DateTime::from_timestamp_millis(millis.clamp(YEAR_1, YEAR_10000)).unwrap_or_default()
}

pub(crate) fn id<I: FromStr>(text: &str) -> sqlx::Result<I> {
    text.parse().map_err(|_| unreadable("an id", text))
}

pub(crate) fn status(word: &str) -> sqlx::Result<Status> {
    Status::from_word(word).ok_or_else(|| unreadable("a status", word))
}

pub(crate) fn is_terminal(word: &str) -> bool {
    Status::from_word(word).is_some_and(Status::is_terminal)
}

pub(crate) fn count(number: Option<u64>) -> Option<i64> {
    number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn usage(input: Option<i64>, output: Option<i64>, cached: Option<i64>) -> Usage {
    let read = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Usage { input_tokens: read(input), output_tokens: read(output), cached_tokens: read(cached) }
}

pub(crate) fn json(metadata: Option<&Metadata>) -> Option<String> {
    // A map of JSON values has no value that JSON can't hold; `Value` prints itself. U+0000 is printed as its escape.
    metadata.map(|metadata| Value::Object(metadata.clone()).to_string())
}

pub(crate) fn metadata(text: Option<String>) -> sqlx::Result<Option<Metadata>> {
    text.map(|text| serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))).transpose()
}

fn unreadable(what: &str, value: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{value} is stored as {what}").into())
}
