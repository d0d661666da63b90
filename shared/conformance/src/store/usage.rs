//! What a user's tasks used, summed up: derived from the record, so exact.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parlance_shared::{
    TaskId, UserId,
    budget::Spent,
    event::{HeadingMade, ReplyCompleted, SummaryMade},
    port::{
        store::{Lookup, Store},
        turns::{Summary, Turns},
    },
    task::{Status, Timings, Usage},
    usage::{GroupBy, Speed, UsageGroup, UsageQuery, UsageReport, UsageSums},
};

use super::script::{Fact, Talk, at, ended, fresh, tell, user};

const HOUR: i64 = 3_600_000;

/// A midnight, in the milliseconds of [`at`].
fn midnight() -> i64 {
    let day = 24 * HOUR;
    day - at(0).timestamp_millis() % day
}

fn query(group_by: GroupBy) -> UsageQuery {
    UsageQuery { from: at(0), to: at(1_000 * HOUR), group_by, after: None, limit: 100 }
}

async fn report(store: &dyn Store, user: &UserId, query: &UsageQuery) -> UsageReport {
    store.usage(user, query).await.unwrap()
}

/// A task that was answered at a time, by a model, with so many tokens in, cached and out, for so much money.
fn used(talk: &Talk, millis: i64, model: &str, tokens: [u64; 3], cost: Option<u64>) -> [Fact; 2] {
    let request = talk.submitted("how much?", millis - 100);
    let mut reply = ended(&request, Status::Completed, 1, "so much", millis);
    reply.task.model = Some(model.to_owned());
    let [input, cached, output] = tokens.map(Some);
    reply.task.usage = Usage { input_tokens: input, cached_tokens: cached, output_tokens: output };
    reply.task.details.cost_micro_usd = cost;
    [Fact::Submitted(request), Fact::Replied(reply)]
}

fn summary(talk: &Talk, version: u32, millis: i64, model: &str) -> SummaryMade {
    SummaryMade {
        session_id: talk.session,
        user_id: talk.user.clone(),
        summary: Summary {
            version,
            text: "they talked".to_owned(),
            through: fresh::<TaskId>(),
            turns: 3,
            tokens: 4,
            made_at: at(millis),
            through_at: None,
            model: None,
            usage: Usage::default(),
        },
        model: Some(model.to_owned()),
        usage: Usage { input_tokens: Some(1_000), output_tokens: Some(50), cached_tokens: Some(0) },
        cost_micro_usd: Some(7),
    }
}

fn sums(tasks: u64, [input, cached, output]: [u64; 3], cost: Option<u64>) -> UsageSums {
    UsageSums {
        tasks,
        input_tokens: input,
        cached_tokens: cached,
        output_tokens: output,
        cost_micro_usd: cost,
        first_token_ms_p50: (tasks > 0).then_some(100),
        ..UsageSums::default()
    }
}

fn group(key: impl Into<String>, sums: UsageSums) -> UsageGroup {
    UsageGroup { key: key.into(), sums }
}

fn day(millis: i64) -> String {
    at(millis).format("%Y-%m-%d").to_string()
}

/// Sums by day, session and model, with summaries, of one user alone.
pub async fn usage_is_grouped_and_nobody_elses(store: Arc<dyn Store>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let (one, two, other) = (Talk::of(&alice), Talk::of(&alice), Talk::of(&bob));
    let noon = midnight() + 12 * HOUR;
    let next = noon + 24 * HOUR;
    tell(&*store, &used(&one, noon, "model-a", [100, 40, 10], Some(5))).await;
    tell(&*store, &used(&one, next, "model-b", [200, 0, 20], Some(6))).await;
    tell(&*store, &used(&two, next, "model-a", [300, 0, 30], Some(0))).await;
    tell(&*store, &used(&other, next, "model-a", [9_000, 0, 9_000], Some(9_000))).await;
    // Not over, so nothing is known of what it uses.
    tell(&*store, &[Fact::Submitted(two.submitted("and now?", next))]).await;
    let made = summary(&one, 1, next, "model-s");
    store.record_summary_made(&made).await.unwrap();
    store.record_summary_made(&made).await.unwrap();
    store.record_summary_made(&summary(&other, 1, next, "model-s")).await.unwrap();
    store.record_heading_made(&heading(&other, next)).await.unwrap();

    let summed = |sums: UsageSums| UsageSums {
        summaries: 1,
        input_tokens: sums.input_tokens + 1_000,
        output_tokens: sums.output_tokens + 50,
        cost_micro_usd: sums.cost_micro_usd.map(|cost| cost + 7),
        ..sums
    };
    let total = summed(sums(3, [600, 40, 60], Some(11)));
    let by_day = report(&*store, &alice, &query(GroupBy::Day)).await;
    let second = summed(sums(2, [500, 0, 50], Some(6)));
    let days = vec![group(day(noon), sums(1, [100, 40, 10], Some(5))), group(day(next), second)];
    assert_eq!(by_day, UsageReport { groups: days, has_more: false, total });

    let by_model = report(&*store, &alice, &query(GroupBy::Model)).await;
    let models = vec![
        group("model-a", sums(2, [400, 40, 40], Some(5))),
        group("model-b", sums(1, [200, 0, 20], Some(6))),
        group("model-s", summed(sums(0, [0, 0, 0], Some(0)))),
    ];
    assert_eq!(by_model, UsageReport { groups: models, has_more: false, total });

    let by_session = report(&*store, &alice, &query(GroupBy::Session)).await;
    let mut sessions = vec![
        group(one.session.to_string(), summed(sums(2, [300, 40, 30], Some(11)))),
        group(two.session.to_string(), sums(1, [300, 0, 30], Some(0))),
    ];
    sessions.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(by_session, UsageReport { groups: sessions, has_more: false, total });

    let nobody = report(&*store, &user("carol"), &query(GroupBy::Day)).await;
    assert_eq!(nobody, UsageReport { total: UsageSums::nothing(), ..UsageReport::default() });
}

/// Events that come again, in another order, or a week later count once; the end of a later attempt counts instead of the
/// earlier one.
pub async fn usage_is_the_same_after_duplicates_and_replays(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let facts = used(&talk, 1_000, "m", [10, 0, 1], Some(3));
    let [_, Fact::Replied(end)] = &facts else { unreachable!() };
    let again = |attempt: u32, cost: u64| {
        let mut end: ReplyCompleted = end.clone();
        end.task.attempt = attempt;
        end.task.details.cost_micro_usd = Some(cost);
        Fact::Replied(end)
    };
    tell(&*store, &facts).await;
    let once = report(&*store, &alice, &query(GroupBy::Day)).await;
    assert_eq!(once.total, sums(1, [10, 0, 1], Some(3)));
    tell(&*store, &[facts[1].clone(), facts[0].clone(), facts[0].clone(), again(1, 99)]).await;
    assert_eq!(report(&*store, &alice, &query(GroupBy::Day)).await, once);
    tell(&*store, &[again(2, 4), again(1, 3), facts[0].clone()]).await;
    assert_eq!(report(&*store, &alice, &query(GroupBy::Day)).await.total, sums(1, [10, 0, 1], Some(4)));
}

/// Days are those of UTC, and a time has its first instant and not its last.
pub async fn days_begin_at_midnight_utc(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let midnight = midnight();
    for (millis, output) in [(midnight - 1, 1), (midnight, 2), (midnight + 24 * HOUR - 1, 4), (midnight + 24 * HOUR, 8)]
    {
        tell(&*store, &used(&talk, millis, "m", [0, 0, output], Some(output))).await;
    }
    let days = async |from: i64, to: i64| {
        let query = UsageQuery { from: at(from), to: at(to), ..query(GroupBy::Day) };
        let report = report(&*store, &alice, &query).await;
        let sum = report.groups.iter().map(|group| group.sums.output_tokens).sum::<u64>();
        assert_eq!(report.total.output_tokens, sum);
        report.groups.into_iter().map(|group| (group.key, group.sums.output_tokens)).collect::<Vec<_>>()
    };
    let next = midnight + 24 * HOUR;
    let all = [(day(midnight - 1), 1), (day(midnight), 6), (day(next), 8)];
    assert_eq!(days(midnight - HOUR, next + HOUR).await, all);
    assert_eq!(days(midnight, next).await, [(day(midnight), 6)]);
    assert_eq!(days(midnight - 1, next + 1).await, all);
    assert_eq!(days(midnight + 1, next - 1).await, []);
}

/// Pages give every group once, in the order of their keys, with the total of all.
pub async fn pages_of_usage_hold_every_group_once(store: Arc<dyn Store>) {
    let alice = user("alice");
    for n in 0..5 {
        tell(&*store, &used(&Talk::of(&alice), n, "m", [1, 0, 1], Some(1))).await;
    }
    let whole = report(&*store, &alice, &query(GroupBy::Session)).await;
    assert_eq!((whole.groups.len(), whole.has_more, whole.total.tasks), (5, false, 5));
    let mut paged = Vec::new();
    let mut after = None;
    for (groups, has_more) in [(2, true), (2, true), (1, false)] {
        let query = UsageQuery { after: after.take(), limit: 2, ..query(GroupBy::Session) };
        let page = report(&*store, &alice, &query).await;
        assert_eq!((page.groups.len(), page.has_more, page.total), (groups, has_more, whole.total));
        after = page.groups.last().map(|group| group.key.clone());
        paged.extend(page.groups);
    }
    assert_eq!(paged, whole.groups);
    let full = UsageQuery { limit: 5, ..query(GroupBy::Session) };
    assert!(!report(&*store, &alice, &full).await.has_more);
    for strange in ["", "\u{10ffff}", "'; --"] {
        report(&*store, &alice, &UsageQuery { after: Some(strange.to_owned()), ..query(GroupBy::Model) }).await;
    }
}

/// No price is no amount, never nothing; what used no tokens is not missed.
pub async fn what_has_no_price_costs_an_unknown_amount(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let request = talk.submitted("never mind", 0);
    let mut cancelled = ended(&request, Status::Cancelled, 1, "", 1);
    (cancelled.task.model, cancelled.task.usage) = (None, Usage::default());
    cancelled.task.timings = Timings::from_instants(Some(request.accepted_at), None, None, Some(at(1)));
    tell(&*store, &[Fact::Submitted(request), Fact::Replied(cancelled)]).await;
    let total = async || report(&*store, &alice, &query(GroupBy::Model)).await.total;
    let (none, unpriced) = (total().await, async || {
        let total = total().await;
        (total.cost_micro_usd, total.unpriced)
    });
    assert_eq!((none.tasks, none.cost_micro_usd, none.unpriced), (1, Some(0), 0));
    assert_eq!(none.first_token_ms_p50, None);
    tell(&*store, &used(&talk, 2, "unknown", [5, 0, 5], None)).await;
    assert_eq!(unpriced().await, (None, 1));
    tell(&*store, &used(&talk, 3, "known", [5, 0, 5], Some(8))).await;
    assert_eq!(unpriced().await, (Some(8), 1));
    let models = report(&*store, &alice, &query(GroupBy::Model)).await;
    let models: Vec<_> = models
        .groups
        .iter()
        .map(|group| (group.key.as_str(), group.sums.cost_micro_usd, group.sums.unpriced))
        .collect();
    assert_eq!(models, [("", Some(0), 0), ("known", Some(8), 0), ("unknown", None, 1)]);
}

/// The median time to the first token and the speed of writing, from those tasks of which they are known.
pub async fn speed_and_patience_are_measured_where_they_are_known(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let instants = |millis: [i64; 4]| -> [Option<DateTime<Utc>>; 4] { millis.map(|millis| Some(at(millis))) };
    for (millis, output) in [([0, 1, 30, 1_030], 100), ([0, 1, 10, 10], 5), ([0, 1, 400, 2_400], 50), ([9, 9, 5, 9], 0)]
    {
        let mut facts = used(&talk, 9, "m", [1, 0, output], Some(1));
        if let Fact::Replied(end) = &mut facts[1] {
            let [accepted, started, first, finished] = instants(millis);
            end.task.timings = Timings::from_instants(accepted, started, first, finished);
        }
        if let Fact::Submitted(request) = &mut facts[0] {
            request.accepted_at = at(millis[0]);
        }
        tell(&*store, &facts).await;
    }
    let total = report(&*store, &alice, &query(GroupBy::Day)).await.total;
    // 0, 10, 30 and 400 ms; of four the second.
    assert_eq!(total.first_token_ms_p50, Some(10));
    assert_eq!(total.speed, Speed { tokens: 150, millis: 3_000 });
    assert_eq!(serde_json::to_value(total).unwrap()["tokens_per_second"], 50.0);
}

/// What was said is forgotten, what it cost is not.
pub async fn a_deleted_session_was_used_all_the_same(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    tell(&*store, &used(&talk, 1, "m", [10, 0, 1], Some(3))).await;
    store.record_session_deleted(&talk.deleted(2)).await.unwrap();
    let total = report(&*store, &alice, &query(GroupBy::Day)).await.total;
    assert_eq!((total.tasks, total.input_tokens, total.cost_micro_usd), (1, 10, Some(3)));
}

fn heading(talk: &Talk, millis: i64) -> HeadingMade {
    HeadingMade {
        session_id: talk.session,
        user_id: talk.user.clone(),
        heading: "A heading".to_owned(),
        made_at: at(millis),
        model: Some("model-h".to_owned()),
        usage: Usage { input_tokens: Some(70), output_tokens: Some(3), cached_tokens: Some(1) },
        cost_micro_usd: Some(2),
        through: None,
    }
}

/// What a heading took counts once, however often it is told; it is no summary, and one that no model was asked for is nothing.
pub async fn headings_count_and_are_no_summaries(store: Arc<dyn Store>) {
    let alice = user("alice");
    let (talk, offline) = (Talk::of(&alice), Talk::of(&alice));
    let made = heading(&talk, 1_000);
    tell(&*store, &used(&talk, 900, "m", [10, 0, 1], Some(3))).await;
    for _ in 0..2 {
        store.record_heading_made(&made).await.unwrap();
    }
    // Found twice, as after a crash: the first one counts.
    let again = HeadingMade { usage: Usage { input_tokens: Some(1_000), ..made.usage }, ..made.clone() };
    store.record_heading_made(&again).await.unwrap();
    let words = HeadingMade { model: None, usage: Usage::default(), cost_micro_usd: None, ..heading(&offline, 1_000) };
    store.record_heading_made(&words).await.unwrap();
    let sums = report(&*store, &alice, &query(GroupBy::Day)).await.total;
    assert_eq!((sums.tasks, sums.summaries, sums.headings), (1, 0, 1));
    assert_eq!((sums.input_tokens, sums.output_tokens, sums.cached_tokens), (80, 4, 1));
    assert_eq!((sums.cost_micro_usd, sums.unpriced), (Some(5), 0));
    let by_model = report(&*store, &alice, &query(GroupBy::Model)).await;
    let keys: Vec<&str> = by_model.groups.iter().map(|group| group.key.as_str()).collect();
    assert_eq!(keys, ["m", "model-h"]);
    for version in [None, Some(0)] {
        let found = store.summary(&alice, talk.session, version).await.unwrap();
        assert!(matches!(found, Lookup::Unknown), "{found:?}");
    }
    store.record_summary_made(&summary(&talk, 1, 1_100, "model-s")).await.unwrap();
    let found = store.summary(&alice, talk.session, None).await.unwrap();
    assert!(matches!(&found, Lookup::Found(summary) if summary.version == 1), "{found:?}");
    let sums = report(&*store, &alice, &query(GroupBy::Session)).await.total;
    assert_eq!((sums.summaries, sums.headings), (1, 1));
}

/// What summaries and headings took counts against the budget of their user. `turns` are those of the same database.
pub async fn summaries_and_headings_count_against_the_budget(store: Arc<dyn Store>, turns: Arc<dyn Turns>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let talk = Talk::of(&alice);
    for _ in 0..2 {
        store.record_summary_made(&summary(&talk, 1, 1_000, "m")).await.unwrap();
        store.record_heading_made(&heading(&talk, 1_000)).await.unwrap();
    }
    assert_eq!(turns.spent(&alice, at(1_000)).await.unwrap(), Spent { tokens: 1_050 + 73, micro_usd: 9 });
    assert_eq!(turns.spent(&alice, at(1_001)).await.unwrap(), Spent::default());
    assert_eq!(turns.spent(&bob, at(0)).await.unwrap(), Spent::default());
}
