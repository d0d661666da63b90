//! `GET /v1/usage?from=&to=&group_by=&limit=&after=`: what the caller's replies used, by day, session or model.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use parlance_shared::{
    budget::day_ends,
    usage::{GroupBy, UsageGroup, UsageQuery, UsageReport, UsageSums},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    bounded::bounded,
    call::Call,
    extract::Query,
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

/// The longest time that is summed up at once.
const MOST_DAYS: i64 = 366;

/// What is summed up unless the call says otherwise: today and the days before it.
const USUAL_DAYS: i64 = 30;

/// Keys are days, ids and names of models; cursors hold one.
const LONGEST_CURSOR: usize = 1_000;

/// The sums of a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageReport)]
pub(crate) struct UsageAnswer {
    /// The first instant that is included.
    from: DateTime<Utc>,
    /// The first instant that is not included.
    to: DateTime<Utc>,
    /// What the sums are told apart by.
    group_by: &'static str,
    /// In the order of days, ids or names.
    data: Vec<Group>,
    /// Of all groups, also those of other pages.
    total: UsageSums,
    /// Pass it as `after` to get what follows; null on the last page.
    next: Option<String>,
}

/// One group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageGroup)]
struct Group {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    sums: UsageSums,
}

/// Under the name of what the groups are told apart by.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageKey)]
#[serde(rename_all = "snake_case")]
enum Key {
    Day(String),
    SessionId(String),
    Model(Option<String>),
}

impl Group {
    fn new(group_by: GroupBy, UsageGroup { key, sums }: UsageGroup) -> Self {
        let key = match group_by {
            GroupBy::Day => Key::Day(key),
            GroupBy::Session => Key::SessionId(key),
            GroupBy::Model => Key::Model(Some(key).filter(|key| !key.is_empty())),
        };
        Self { key, sums }
    }
}

#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "getUsage",
    tag = "tasks",
    summary = "What your replies used and cost",
    params(
        ("from" = Option<String>, Query,
            description = "A date of UTC, or a time. 30 days before `to` unless given; at most 366 days before."),
        ("to" = Option<String>, Query,
            description = "A date of UTC, which is included, or a time, which is not. Today unless given."),
        ("group_by" = Option<String>, Query, pattern = "^(day|session|model)$",
            description = "What the sums are told apart by; `day` unless given."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 400,
            description = "Groups on a page, 100 unless given; the total is always that of all."),
        ("after" = Option<String>, Query, description = "The `next` of an earlier page."),
    ),
    responses((status = 200, description = "The sums. A reply counts once it is in the record, a moment after its end.", body = UsageAnswer)),
    extensions(("x-problems" = json!(problems(&[Code::UnknownCursor, Code::Unavailable])))),
)]
pub(crate) async fn get_usage(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Json<UsageAnswer>, Problem> {
    let query = Query::parse(query.as_deref(), &["from", "to", "group_by", "limit", "after"])?;
    let asked = usage_query(&query, state.clock.now())?;
    let report = bounded(state.limits.read_timeout, "store", state.store.usage(&call.caller.user, &asked)).await?;
    let UsageReport { groups, has_more, total } = report;
    let next = groups.last().filter(|_| has_more).map(|group| cursor(asked.group_by, &group.key));
    let data = groups.into_iter().map(|group| Group::new(asked.group_by, group)).collect();
    let UsageQuery { from, to, group_by, .. } = asked;
    Ok(Json(UsageAnswer { from, to, group_by: group_by.as_str(), data, total, next }))
}

fn usage_query(query: &Query, now: DateTime<Utc>) -> Result<UsageQuery, Problem> {
    let group_by = match query.get("group_by") {
        None => GroupBy::Day,
        Some(word) => GroupBy::from_word(word).ok_or_else(|| {
            let detail = "must be what the sums are told apart by.";
            Problem::with_field("group_by", Code::InvalidParameter, detail, &["day", "session", "model"])
        })?,
    };
    let to = match query.get("to") {
        None => day_ends(now).0,
        Some(text) => instant("to", text, 1)?,
    };
    let from = match query.get("from") {
        None => to.checked_sub_signed(TimeDelta::days(USUAL_DAYS)).unwrap_or(to),
        Some(text) => instant("from", text, 0)?,
    };
    if from >= to {
        return Err(Problem::with_field("from", Code::InvalidParameter, "must be before `to`.", &["an earlier time"]));
    }
    if to - from > TimeDelta::days(MOST_DAYS) {
        let detail = format!("is more than {MOST_DAYS} days before `to`.");
        return Err(Problem::with_field("from", Code::InvalidParameter, detail, &["a later time"]));
    }
    let after = match query.get("after") {
        None => None,
        Some(text) => Some(key_of(group_by, text).ok_or_else(|| {
            let detail = "must be the `next` of an earlier page of these sums.";
            Problem::with_field("after", Code::UnknownCursor, detail, &["the `next` of an earlier page"])
        })?),
    };
    Ok(UsageQuery { from, to, group_by, after, limit: query.number("limit", 1..=400, 100)? })
}

/// A time, or a day of UTC: its beginning, and so many days later.
fn instant(name: &str, text: &str, days: u64) -> Result<DateTime<Utc>, Problem> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.checked_add_days(Days::new(days));
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
    let time = time.or_else(|| Some(day()?.and_time(NaiveTime::MIN).and_utc()));
    // What databases can compare with, and nobody asks for anything else.
    time.filter(|time| (0..=253_402_300_799).contains(&time.timestamp())).ok_or_else(|| {
        let detail = "must be a date or a time of RFC 3339 since 1970, with any + in it written as %2B.";
        let accepted = ["a date such as 2026-01-31", "a time such as 2026-01-31T18:00:00Z"];
        Problem::with_field(name, Code::InvalidParameter, detail, &accepted)
    })
}

/// A cursor goes with what it was made for.
fn cursor(group_by: GroupBy, key: &str) -> String {
    format!("{}.{key}", group_by.as_str())
}

fn key_of(group_by: GroupBy, cursor: &str) -> Option<String> {
    let key = cursor.strip_prefix(group_by.as_str())?.strip_prefix('.')?;
    (cursor.len() <= LONGEST_CURSOR && !key.contains('\0')).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(raw: &str) -> Result<UsageQuery, Problem> {
        let query = Query::parse(Some(raw), &["from", "to", "group_by", "limit", "after"]).unwrap();
        usage_query(&query, "2026-03-15T11:22:33Z".parse().unwrap())
    }

    fn times(raw: &str) -> (String, String) {
        let UsageQuery { from, to, .. } = asked(raw).unwrap();
        (from.to_rfc3339(), to.to_rfc3339())
    }

    #[test]
    fn times_are_whole_days_unless_they_say_more() {
        let day = |day: &str| format!("{day}T00:00:00+00:00");
        assert_eq!(times(""), (day("2026-02-14"), day("2026-03-16")));
        assert_eq!(times("from=2026-03-01"), (day("2026-03-01"), day("2026-03-16")));
        assert_eq!(times("from=2026-02-28&to=2026-02-28"), (day("2026-02-28"), day("2026-03-01")));
        assert_eq!(times("to=2026-02-28T02:00:00%2B02:00"), (day("2026-01-29"), day("2026-02-28")));
        assert_eq!(times("from=2025-02-28&to=2026-02-28"), (day("2025-02-28"), day("2026-03-01")));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "from=yesterday",
            "from=2026-02-30",
            "to=1969-01-01",
            "to=9999-12-31",
            "from=",
            "from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z",
            "from=2026-03-03&to=2026-03-01",
            "from=2024-01-01&to=2026-01-01",
            "group_by=user",
            "group_by=Day",
            "limit=0",
            "limit=401",
            "after=session.x",
            "after=day",
            "after=",
        ] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_refused(text in "[0-9T:Z.+\\-]{0,30}") {
            if let Ok(time) = instant("to", &text, 1) {
                prop_assert!((0..=253_402_300_799).contains(&time.timestamp()));
            }
        }

        #[test]
        fn a_cursor_names_its_key(key in "\\PC{0,60}") {
            let cursor = cursor(GroupBy::Model, &key);
            prop_assert_eq!(key_of(GroupBy::Model, &cursor), Some(key));
            prop_assert_eq!(key_of(GroupBy::Day, &cursor), None);
        }
    }
}
