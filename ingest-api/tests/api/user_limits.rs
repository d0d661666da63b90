//! One user at a limit, and another beside them: each has what is theirs, by whatever credential they come.

use std::time::Duration;

use http::Request;
use ingest_api::FrontDoor;
use parlance_shared::settings::{AuthSettings, Bound, Environment, FrontDoorSettings, Rate};
use serde_json::{Value, json};

use crate::support::{
    Answer, App,
    issuer::{AUDIENCE, Issuer, Pen},
};

struct Site {
    app: App,
    issuer: Issuer,
    pen: Pen,
}

impl Site {
    async fn start(door: FrontDoorSettings) -> Self {
        let (issuer, pen) = (Issuer::start().await, Pen::ec("first"));
        issuer.publish(&pen);
        let oidc = vec![parlance_shared::settings::OidcIssuer {
            issuer: issuer.url.clone(),
            audiences: vec![AUDIENCE.into()],
        }];
        let auth = AuthSettings { oidc, ..AuthSettings::default() };
        let app = App::start_so(&auth, |state| state.door = FrontDoor::new(&door, Environment::Production, true)).await;
        Self { app, issuer, pen }
    }

    fn of(&self, user: &str) -> User<'_> {
        User { app: &self.app, authorization: format!("Bearer {}", self.pen.token(&self.issuer.claims(user))) }
    }
}

struct User<'a> {
    app: &'a App,
    authorization: String,
}

impl User<'_> {
    fn with(&self, request: http::request::Builder) -> http::request::Builder {
        request.header("authorization", &self.authorization).header("content-type", "application/json")
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.send(self.with(Request::get(path)), "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.app.send(self.with(Request::post(path)), body.to_string()).await
    }

    /// The path of a new task.
    async fn says(&self, content: &str) -> String {
        let answer = self.post("/v1/messages", &json!({"content": content})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").to_owned()
    }
}

#[tokio::test]
async fn a_users_calls_are_not_counted_against_another() {
    let rate = Bound::At(Rate { requests: 3, per: Duration::from_secs(60) });
    let site = Site::start(FrontDoorSettings { rate_per_user: rate, ..Default::default() }).await;
    let (ann, bob) = (site.of("ann"), site.of("bob"));
    while ann.get("/v1/sessions").await.status == 200 {}
    for _ in 0..3 {
        ann.get("/v1/sessions").await.problem(429, "rate_limited");
    }
    for left in [2, 1, 0] {
        let answer = bob.get("/v1/sessions").await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("ratelimit").starts_with(&format!(r#""user";r={left};t="#)), "{answer:?}");
    }
    bob.get("/v1/sessions").await.problem(429, "rate_limited");
    // Another token of hers is the same user.
    site.of("ann").get("/v1/sessions").await.problem(429, "rate_limited");
}

#[tokio::test]
async fn a_users_tasks_and_streams_leave_room_for_another() {
    let one = FrontDoorSettings { tasks_per_user: Bound::At(1), streams_per_user: Bound::At(1), ..Default::default() };
    let site = Site::start(one).await;
    let (ann, bob) = (site.of("ann"), site.of("bob"));
    let tasks = [ann.says("a").await, bob.says("b").await];
    let mut streams = Vec::new();
    for (user, task) in [&ann, &bob].into_iter().zip(&tasks) {
        streams.push(site.app.stream_with(user.with(Request::get(format!("{task}/stream")))).await);
    }
    for (user, task) in [&ann, &bob].into_iter().zip(&tasks) {
        user.post("/v1/messages", &json!({"content": "more"})).await.problem(429, "too_many_tasks");
        user.get(&format!("{task}/stream")).await.problem(429, "too_many_streams");
        user.get(&format!("{task}?wait=5")).await.problem(429, "too_many_streams");
        assert_eq!(user.get(task).await.status, 200);
    }
    // Somebody who holds nothing is served at once, while both are at their bounds.
    let eve = site.of("eve");
    let task = eve.says("c").await;
    drop(site.app.stream_with(eve.with(Request::get(format!("{task}/stream")))).await);
    assert_eq!(eve.get(&tasks[0]).await.status, 404, "and sees nothing of theirs");
    drop(streams);
}
