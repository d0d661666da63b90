//! Setting up: made once, compared field by field, repaired where Pub/Sub allows it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::SubscriptionAdmin;
use parlance_pubsub::setup::{PushTarget, Report, SetupOptions, State};
use parlance_shared::{port::bus::Bus as _, topology};

use support::{MAIN, Process, event, next_is, project, publish};

/// Four topics, and a topic of dead letters, its subscription and a main subscription for each of five.
const RESOURCES: usize = 4 + 5 * 3;

fn states(report: &Report) -> Vec<State> {
    report.resources.iter().map(|resource| resource.state).collect()
}

#[tokio::test]
async fn it_is_planned_made_once_and_in_order_from_then_on() {
    let Some(process) = Process::on_emulator(&project()).await else { return };
    let options = SetupOptions::default();
    let plan = process.bus.plan(&topology::ALL, &options).await.unwrap();
    assert_eq!(states(&plan), [State::Missing; RESOURCES]);
    assert!(!plan.is_in_order());
    assert!(plan.to_string().contains("subscription llm-worker: missing"), "{plan}");
    let made = process.bus.apply(&topology::ALL, &options).await.unwrap();
    assert_eq!(states(&made), [State::Created; RESOURCES]);
    for report in [process.bus.plan(&topology::ALL, &options).await, process.bus.apply(&topology::ALL, &options).await]
    {
        let report = report.unwrap();
        assert!(report.is_in_order(), "{report}");
        assert_eq!(states(&report), [State::InOrder; RESOURCES]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["resources"][0]["kind"], "topic");
        assert_eq!(json["resources"][0]["state"], "in_order");
    }
    // What a service makes for itself is the same.
    process.bus.ensure(&topology::ALL).await.unwrap();
    assert!(process.bus.plan(&topology::ALL, &options).await.unwrap().is_in_order());
}

#[tokio::test]
async fn drift_is_named_and_repaired_where_it_can_be() {
    let project = project();
    let Some(process) = Process::on_emulator(&project).await else { return };
    let options = SetupOptions::default();
    process.bus.apply(&[MAIN], &options).await.unwrap();
    let host = support::emulator().unwrap();
    let admin = SubscriptionAdmin::builder()
        .with_endpoint(format!("http://{host}"))
        .with_credentials(anonymous::Builder::new().build())
        .build()
        .await
        .unwrap();
    let name = format!("projects/{project}/subscriptions/{}", MAIN.name);
    admin.delete_subscription().set_subscription(&name).send().await.unwrap();
    let topic = format!("projects/{project}/topics/{}", MAIN.topic.0);
    let by_hand = admin.create_subscription().set_name(&name).set_topic(topic).set_ack_deadline_seconds(77);
    by_hand.send().await.unwrap();

    let plan = process.bus.plan(&[MAIN], &options).await.unwrap();
    let found = plan.resources.last().unwrap();
    assert_eq!(found.state, State::Differs);
    let fields: Vec<_> = found.drift.iter().map(|drift| (drift.field, drift.changeable)).collect();
    assert!(fields.contains(&("enable_message_ordering", false)), "{fields:?}");
    for field in ["ack_deadline_seconds", "retain_acked_messages", "dead_letter_policy"] {
        assert!(fields.contains(&(field, true)), "{fields:?}");
    }
    assert!(plan.to_string().contains("ack_deadline_seconds: is 77, should be 10"), "{plan}");

    let applied = process.bus.apply(&[MAIN], &options).await.unwrap();
    let repaired = applied.resources.last().unwrap();
    assert_eq!(repaired.state, State::Differs, "the order can't be changed");
    assert!(repaired.drift.iter().all(|drift| drift.changed == drift.changeable), "{applied}");
    assert!(applied.to_string().contains("delete it and set up again"), "{applied}");
    let plan = process.bus.plan(&[MAIN], &options).await.unwrap();
    let left: Vec<_> = plan.resources.last().unwrap().drift.iter().map(|drift| drift.field).collect();
    // The emulator can't change the other one either.
    assert_eq!(left, ["enable_message_ordering", "expiration_policy"], "{plan}");
}

#[tokio::test]
async fn a_subscription_is_turned_into_one_that_pushes_and_back() {
    let Some(process) = Process::on_emulator(&project()).await else { return };
    let pull = SetupOptions::default();
    process.bus.apply(&[MAIN], &pull).await.unwrap();
    let target = PushTarget {
        subscription: MAIN.name.into(),
        endpoint: "http://127.0.0.1:9/push".into(),
        service_account: Some("pusher@example.iam.gserviceaccount.com".into()),
        ..PushTarget::default()
    };
    let push = SetupOptions { push: vec![target.clone()] };
    let plan = process.bus.plan(&[MAIN], &push).await.unwrap();
    assert!(plan.to_string().contains("push_config: is pull, should be push to http://127.0.0.1:9/push"), "{plan}");
    process.bus.apply(&[MAIN], &push).await.unwrap();
    let plan = process.bus.plan(&[MAIN], &push).await.unwrap();
    assert!(plan.is_in_order(), "{plan}");
    let applied = process.bus.apply(&[MAIN], &pull).await.unwrap();
    assert!(applied.is_in_order(), "{applied}");
    let mut consumer = process.bus.subscribe(MAIN, 1).await.unwrap();
    publish(&process.bus, "a", "a1").await;
    assert_eq!(next_is(&mut consumer, "a1").await.received.event, event("a1"));

    let nobody = SetupOptions { push: vec![PushTarget { subscription: "nobody".into(), ..target }] };
    let refused = process.bus.plan(&[MAIN], &nobody).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("\"nobody\""), "{refused}");
}
