//! What replies used, summed up, and budgets that are used up.

use chrono::{DateTime, Utc};
use ingest_api::BudgetGuard;
use parlance_shared::{
    Clock, UserId,
    budget::Budgets,
    event::{MessageSubmitted, ReplyCompleted, from_cloud_event},
    port::store::Store as _,
    task::{Status, Task},
};
use serde_json::{Value, json};

use crate::{
    description::conforms,
    support::{Answer, App, Fault},
};

async fn submit(app: &App) -> MessageSubmitted {
    let accepted = app.post("/v1/messages", &json!({"content": "a"})).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    from_cloud_event(&app.event().await).unwrap()
}

/// A task that was answered with 3 tokens in and 5 out.
async fn answered(app: &App) -> Task {
    let submitted = submit(app).await;
    let attempt = app.claim(&submitted).await;
    app.end(attempt, Status::Completed).await
}

/// As if it had ended then, in the record.
async fn recorded_at(app: &App, mut task: Task, at: DateTime<Utc>, model: &str, cost: Option<u64>) {
    task.timings.finished_at = Some(at);
    task.model = Some(model.to_owned());
    task.details.cost_micro_usd = cost;
    app.persist_end(task).await;
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn usage_is_summed_up_by_day_session_and_model() {
    let clock = Clock::manual(at("2026-03-15T11:00:00Z"));
    let app = App::start_with(|state| state.clock = clock).await;
    let (one, two, three) = (answered(&app).await, answered(&app).await, answered(&app).await);
    let session = one.session_id.unwrap().to_string();
    recorded_at(&app, one, at("2026-03-14T23:59:59.999Z"), "m-a", Some(7)).await;
    recorded_at(&app, two.clone(), at("2026-03-15T00:00:00Z"), "m-b", None).await;
    recorded_at(&app, two, at("2026-03-15T00:00:00Z"), "m-b", None).await;
    recorded_at(&app, three, at("2026-01-01T00:00:00Z"), "m-b", Some(1_000)).await;

    let answer = app.get("/v1/usage").await;
    conforms("get", "/v1/usage", &answer);
    let days = answer.json();
    assert_eq!((&days["from"], &days["to"]), (&json!("2026-02-14T00:00:00Z"), &json!("2026-03-16T00:00:00Z")));
    assert_eq!((&days["group_by"], &days["next"]), (&json!("day"), &Value::Null));
    let group = |tasks: u64, cost: Value, unpriced: u64| {
        json!({"tasks": tasks, "summaries": 0, "headings": 0, "input_tokens": 3 * tasks, "output_tokens": 5 * tasks, "cached_tokens": 0,
               "cost_micro_usd": cost, "unpriced": unpriced})
    };
    let without_times = |mut value: Value| {
        let sums = value.as_object_mut().unwrap();
        assert!(sums.remove("first_token_ms_p50").is_some_and(|median| median.is_i64()));
        assert!(sums.remove("tokens_per_second").is_some());
        value
    };
    let named = |mut group: Value, name: &str, key: &str| {
        group[name] = json!(key);
        group
    };
    assert_eq!(without_times(days["total"].clone()), group(2, json!(7), 1));
    assert_eq!(without_times(days["data"][0].clone()), named(group(1, json!(7), 0), "day", "2026-03-14"));
    assert_eq!(without_times(days["data"][1].clone()), named(group(1, Value::Null, 1), "day", "2026-03-15"));
    assert_eq!(days["data"].as_array().unwrap().len(), 2);

    let models = app.get("/v1/usage?group_by=model&from=2026-01-01&to=2026-03-14").await;
    conforms("get", "/v1/usage", &models);
    let models = models.json();
    assert_eq!(without_times(models["data"][0].clone()), named(group(1, json!(7), 0), "model", "m-a"));
    assert_eq!(without_times(models["data"][1].clone()), named(group(1, json!(1_000), 0), "model", "m-b"));
    let sessions = app.get("/v1/usage?group_by=session&to=2026-03-14T23:59:59.999%2B00:00").await.json();
    assert_eq!(sessions["data"], json!([]));
    assert_eq!((&sessions["total"]["tasks"], &sessions["total"]["cost_micro_usd"]), (&json!(0), &json!(0)));
    let sessions = app.get("/v1/usage?group_by=session&to=2026-03-14").await;
    conforms("get", "/v1/usage", &sessions);
    let sessions = sessions.json();
    assert_eq!(without_times(sessions["data"][0].clone()), named(group(1, json!(7), 0), "session_id", &session));
}

#[tokio::test]
async fn pages_of_usage_hold_each_group_once() {
    let app = App::start().await;
    for model in ["m-a", "m b+%&", "m-é", "m.c"] {
        let task = answered(&app).await;
        recorded_at(&app, task, app.state.clock.now(), model, Some(1)).await;
    }
    let whole = app.get("/v1/usage?group_by=model").await.json();
    let mut seen = Vec::new();
    let mut path = "/v1/usage?group_by=model&limit=1".to_owned();
    loop {
        let page = app.get(&path).await.json();
        assert_eq!(page["total"], whole["total"]);
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        path = format!("/v1/usage?group_by=model&limit=1&after={next}");
    }
    assert_eq!(json!(seen), whole["data"]);
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn nobody_elses_usage_is_seen() {
    let app = App::start().await;
    let task = answered(&app).await;
    let event = ReplyCompleted {
        user_id: UserId::new("somebody else"),
        session_id: task.session_id.unwrap(),
        task,
        webhook: None,
    };
    app.store.record_reply_completed(&event).await.unwrap();
    let usage = app.get("/v1/usage?group_by=session").await.json();
    assert_eq!((&usage["data"], &usage["total"]["tasks"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn what_can_not_be_summed_up_is_refused_with_the_parameter() {
    let app = App::start().await;
    for (query, field, code) in [
        ("from=tomorrow", "from", "invalid_parameter"),
        ("from=2026-02-30", "from", "invalid_parameter"),
        ("to=2026-01-01T00:00:00", "to", "invalid_parameter"),
        ("from=2026-02-02&to=2026-02-01", "from", "invalid_parameter"),
        ("from=2024-01-01&to=2026-01-01", "from", "invalid_parameter"),
        ("group_by=user", "group_by", "invalid_parameter"),
        ("limit=401", "limit", "invalid_parameter"),
        ("after=x", "after", "unknown_cursor"),
        ("user=bob", "user", "unknown_parameter"),
        ("from=2026-01-01&from=2026-01-02", "from", "duplicate_parameter"),
    ] {
        let problem = app.get(&format!("/v1/usage?{query}")).await.problem(400, code);
        assert_eq!(problem["field"], field, "{query}");
    }
    app.store.faults.set(Fault::Unavailable);
    app.get("/v1/usage").await.problem(503, "unavailable");
}

async fn with_budget(budgets: Budgets) -> (App, Clock) {
    let clock = Clock::manual(Clock::system().now());
    let app = App::start_with(|state| {
        state.budgets = BudgetGuard::new(budgets);
        state.clock = clock.clone();
    })
    .await;
    (app, clock)
}

async fn post(app: &App) -> Answer {
    app.post("/v1/messages", &json!({"content": "a"})).await
}

#[tokio::test]
async fn past_a_budget_messages_are_refused_until_the_next_day() {
    let (app, clock) = with_budget(Budgets { daily_tokens: Some(10), daily_micro_usd: None }).await;
    answered(&app).await;
    // Two of ten are left, which allows one more reply. Nothing of all this is in the record yet.
    answered(&app).await;
    for _ in 0..2 {
        let refused = post(&app).await;
        conforms("post", "/v1/messages", &refused);
        let problem = refused.problem(429, "budget_exhausted");
        assert_eq!(
            (&problem["budget"], &problem["limit"], &problem["used"]),
            (&json!("tokens"), &json!(10), &json!(16))
        );
        let resets_at: DateTime<Utc> = problem["resets_at"].as_str().unwrap().parse().unwrap();
        let left = (resets_at - clock.now()).num_seconds();
        assert!((0..86_400).contains(&left) && resets_at.timestamp() % 86_400 == 0, "{problem}");
        let retry_after: i64 = refused.header("retry-after").parse().unwrap();
        assert!((left..=left + 2).contains(&retry_after), "{retry_after} {left}");
    }
    app.assert_no_event().await;
    clock.advance(std::time::Duration::from_secs(86_400));
    assert_eq!(post(&app).await.status, 202);
}

#[tokio::test]
async fn a_repeat_of_what_was_accepted_is_not_refused() {
    let (app, _) = with_budget(Budgets { daily_tokens: Some(8), daily_micro_usd: None }).await;
    let accepted = app.post_with_key("/v1/messages", "k", &json!({"content": "a"})).await;
    let submitted = from_cloud_event(&app.event().await).unwrap();
    let attempt = app.claim(&submitted).await;
    app.end(attempt, Status::Completed).await;
    let again = app.post_with_key("/v1/messages", "k", &json!({"content": "a"})).await;
    assert_eq!((again.status.as_u16(), again.json()), (202, accepted.json()));
    app.post_with_key("/v1/messages", "l", &json!({"content": "a"})).await.problem(429, "budget_exhausted");
}
