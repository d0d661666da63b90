//! Between the domain's values and SQLite's: times are milliseconds since 1970, ids and JSON are text.

use std::{fmt::Display, str::FromStr};

use chrono::{DateTime, Utc};
use parlance_shared::{
    session::Metadata,
    task::{Status, Timings, Usage},
};
use serde_json::Value;

pub(crate) fn millis(time: Option<DateTime<Utc>>) -> Option<i64> {
    time.map(|time| time.timestamp_millis())
}

pub(crate) fn time(millis: i64) -> sqlx::Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| unreadable("a time", millis))
}

pub(crate) fn time_micros(micros: i64) -> sqlx::Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable("a time", micros))
}

pub(crate) fn id<I: FromStr>(text: &str) -> sqlx::Result<I> {
    text.parse().map_err(|_| unreadable("an id", text))
}

pub(crate) fn status(word: &str) -> sqlx::Result<Status> {
    Status::from_word(word).ok_or_else(|| unreadable("a status", word))
}

pub(crate) fn count(number: Option<u64>) -> Option<i64> {
    number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn usage(input: Option<i64>, output: Option<i64>, cached: Option<i64>) -> Usage {
    let read = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Usage { input_tokens: read(input), output_tokens: read(output), cached_tokens: read(cached) }
}

pub(crate) fn timings(
    accepted: Option<i64>,
    started: Option<i64>,
    first_token: Option<i64>,
    finished: Option<i64>,
) -> sqlx::Result<Timings> {
    let read = |millis: Option<i64>| millis.map(time).transpose();
    Ok(Timings::from_instants(read(accepted)?, read(started)?, read(first_token)?, read(finished)?))
}

pub(crate) fn json(metadata: Option<&Metadata>) -> Option<String> {
    // A map of JSON values has no value that JSON can't hold; `Value` prints itself.
    metadata.map(|metadata| Value::Object(metadata.clone()).to_string())
}

pub(crate) fn metadata(text: Option<String>) -> sqlx::Result<Option<Metadata>> {
    text.map(|text| serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))).transpose()
}

fn unreadable(what: &str, value: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{value} is stored as {what}").into())
}
