//! Who calls: keys, tokens, roles, and who may say that they call for someone else.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::Request;
use parlance_conformance::wait::eventually;
use parlance_shared::{
    Clock, UserId,
    caller::Role,
    event::MessageSubmitted,
    key_mint::{FreshKey, KeyMint},
    port::{
        audit::Audit as _,
        keys::{ApiKey, KeyAdmin as _, Scope},
    },
    settings::{AuthSettings, OidcIssuer},
};
use parlance_sqlite::{SqliteAudit, SqliteKeys};
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{
    Answer, App, Fault,
    issuer::{AUDIENCE, Issuer, Pen, unsigned},
};

/// Wall-clock time, as issuers and the API have it.
fn now() -> DateTime<Utc> {
    Clock::system().now()
}

fn by_keys() -> AuthSettings {
    AuthSettings { api_keys: true, ..AuthSettings::default() }
}

fn by_issuers(issuers: &[&Issuer]) -> AuthSettings {
    let oidc = |issuer: &&Issuer| OidcIssuer { issuer: issuer.url.clone(), audiences: vec![AUDIENCE.into()] };
    AuthSettings { oidc: issuers.iter().map(oidc).collect(), ..AuthSettings::default() }
}

impl App {
    async fn make_key(&self, user: &str, change: impl FnOnce(&mut ApiKey)) -> FreshKey {
        let fresh = self.database.key_mint().fresh();
        let mut key = ApiKey {
            id: fresh.id.clone(),
            name: "test".into(),
            user: UserId::new(user),
            role: Role::User,
            scopes: vec![Scope::Chat],
            webhook_url: None,
            created_at: now(),
            expires_at: None,
            revoked_at: None,
            rotated_to: None,
            last_used_at: None,
        };
        change(&mut key);
        SqliteKeys::new(self.database.clone()).create(&key, &fresh.hash).await.unwrap();
        fresh
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request, "").await
    }

    async fn get_as(&self, path: &str, credential: &str) -> Answer {
        self.get_with(path, &[("authorization", &format!("Bearer {credential}"))]).await
    }

    /// Who a message is from that comes with these headers.
    async fn user_of(&self, headers: &[(&str, &str)]) -> String {
        let request = Request::post("/v1/messages").header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = self.send(request, json!({"content": "a"}).to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let submitted: MessageSubmitted = parlance_shared::event::from_cloud_event(&self.event().await).unwrap();
        submitted.user_id.to_string()
    }

    async fn user_of_token(&self, token: &str) -> String {
        self.user_of(&[("authorization", &format!("Bearer {token}"))]).await
    }
}

#[tokio::test]
async fn without_a_credential_only_probes_and_the_description_answer() {
    let app = App::start_as(&by_keys()).await;
    for path in ["/", "/metrics", "/v1/sessions", "/v1/models", "/nothing", "/v1/tasks/x"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"parlance\"");
        let basic = app.get_with(path, &[("authorization", "Basic dTpw")]).await;
        assert_eq!((basic.status.as_u16(), basic.header("www-authenticate").is_empty()), (401, false));
    }
    app.get("/v1/sessions").await.problem(401, "unauthenticated");
    for path in ["/health", "/openapi.json", "/docs"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    assert_eq!(app.get("/health/ready").await.json(), json!({"status": "ready"}), "strangers are told no more");
    let key = app.make_key("ann", |_| {}).await;
    let ready = app.get_as("/health/ready", key.key.expose()).await;
    assert_eq!(ready.json(), json!({"status": "ready", "degraded": []}));
    assert_eq!(app.get_as("/health/ready", "wrong").await.status, 200, "a probe is answered whatever it shows");
}

#[tokio::test]
async fn a_key_works_in_either_header_and_names_its_user() {
    let app = App::start_as(&by_keys()).await;
    let key = app.make_key("ann", |_| {}).await;
    let key = key.key.expose();
    let bearer = format!("Bearer {key}");
    for headers in [
        &[("x-api-key", key)][..],
        &[("authorization", &bearer)],
        &[("x-api-key", key), ("authorization", "Bearer something else")],
        &[("x-api-key", key), ("host", "parlance.example.com")],
    ] {
        assert_eq!(app.user_of(headers).await, "ann", "{:?}", headers.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    assert_eq!(app.get_as("/", key).await.status, 200);
}

#[tokio::test]
async fn a_wrong_key_is_a_403_that_says_where_and_why_but_not_what() {
    let app = App::start_as(&by_keys()).await;
    let (past, far) = (now() - TimeDelta::seconds(1), now() + TimeDelta::days(1));
    let expired = app.make_key("ann", |key| key.expires_at = Some(past)).await;
    let revoked = app.make_key("ann", |key| key.expires_at = Some(far)).await;
    SqliteKeys::new(app.database.clone()).revoke(&revoked.id, past).await.unwrap();
    let unknown = app.database.key_mint().fresh();
    let others = KeyMint::new(&[9; 32]).fresh();
    for (key, why) in [
        (expired.key.expose(), "expired"),
        (revoked.key.expose(), "revoked"),
        (unknown.key.expose(), "not known"),
        (others.key.expose(), "not known"),
        ("plk_short", "not known"),
        ("sk-something-else", "not"),
    ] {
        for (name, value, written) in
            [("x-api-key", key.to_owned(), "X-API-Key"), ("authorization", format!("Bearer {key}"), "Authorization")]
        {
            let answer = app.get_with("/v1/sessions", &[(name, &value)]).await;
            let problem = answer.problem(403, "invalid_credential");
            assert_eq!(problem["field"], written);
            assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
            assert!(!format!("{answer:?}").contains(key), "{answer:?}");
        }
    }
    let token = app.get_as("/v1/sessions", "a.b.c").await;
    assert!(token.problem(403, "invalid_credential")["detail"].as_str().unwrap().contains("tokens are not accepted"));
}

#[tokio::test]
async fn a_key_is_for_what_it_was_made_for() {
    let app = App::start_as(&by_keys()).await;
    let plain = app.make_key("ann", |_| {}).await;
    let scraper = app
        .make_key("metrics", |key| {
            key.role = Role::Operator;
            key.scopes = Vec::new();
        })
        .await;
    let admin = app.make_key("root", |key| key.role = Role::Admin).await;
    app.get_as("/metrics", plain.key.expose()).await.problem(403, "forbidden");
    app.get_as("/v1/sessions", scraper.key.expose()).await.problem(403, "forbidden");
    assert_eq!(app.get_as("/v1/sessions", admin.key.expose()).await.status, 200);
    for key in [&scraper, &admin, &scraper] {
        assert_eq!(app.get_as("/metrics", key.key.expose()).await.status, 200);
    }
    let audit = SqliteAudit::new(app.database.clone());
    let noted = parlance_conformance::wait::eventually("both are noted", async || {
        let entries = audit.entries(now() - TimeDelta::hours(1), None, 10).await.unwrap();
        (entries.len() >= 2).then_some(entries)
    });
    let noted = noted.await;
    assert_eq!(noted.len(), 2, "who comes again and again is noted once in a while: {noted:?}");
    let first = &noted[0];
    assert_eq!(
        (first.actor.as_str(), first.role.as_str(), first.action.as_str()),
        ("metrics", "operator", "GET /metrics")
    );
    assert_eq!((first.key_id.as_deref(), first.status), (Some(scraper.id.as_str()), Some(200)));
    assert_eq!(first.client.as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_backend_names_its_users_and_reaches_no_others() {
    let app = App::start_as(&by_keys()).await;
    let act = |key: &mut ApiKey| key.scopes = vec![Scope::ActAsUsers];
    let (one, two) = (app.make_key("shop", act).await, app.make_key("forum", act).await);
    let plain = app.make_key("shop|ann", |_| {}).await;
    let (one, two) = (one.key.expose(), two.key.expose());
    let as_user = |key: &str, user: &str| -> [(&'static str, String); 2] {
        [("x-api-key", key.to_owned()), ("x-user-id", user.to_owned())]
    };
    let user_of = async |headers: &[(&str, String)]| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        app.user_of(&headers).await
    };
    assert_eq!(user_of(&as_user(one, "ann")).await, "shop|ann");
    assert_eq!(user_of(&as_user(two, "ann")).await, "forum|ann");
    assert_eq!(user_of(&as_user(one, "https://accounts.google.com|1")).await, "shop|https://accounts.google.com|1");
    assert_eq!(app.user_of(&[("x-api-key", one)]).await, "shop", "for itself");
    assert_eq!(app.user_of(&[("x-api-key", plain.key.expose())]).await, "shop|ann", "as an operator has made it");

    let request = Request::post("/v1/sessions").header("content-type", "application/json");
    let request = request.header("x-api-key", one).header("x-user-id", "ann");
    let session = app.send(request, "{}").await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/sessions/{session}");
    let status = async |key: &str, user: &str| {
        app.get_with(&path, &[("x-api-key", key), ("x-user-id", user)]).await.status.as_u16()
    };
    assert_eq!([status(one, "ann").await, status(one, "bob").await, status(two, "ann").await], [200, 404, 404]);

    let long = "a".repeat(129);
    for wrong in ["a b", "ä", long.as_str()] {
        let request = Request::get("/v1/sessions").header("x-api-key", one);
        let answer = app.send(request.header("x-user-id", wrong.as_bytes()), "").await;
        assert_eq!(answer.problem(400, "invalid_header")["field"], "X-User-Id", "{wrong:?}");
    }
    let refused = app.get_with("/v1/sessions", &[("x-api-key", plain.key.expose()), ("x-user-id", "ann")]).await;
    assert_eq!(refused.problem(403, "forbidden")["field"], "X-User-Id");
    let local = App::start().await.get_with("/v1/sessions", &[("x-user-id", "ann")]).await;
    assert_eq!(local.problem(403, "forbidden")["field"], "X-User-Id");
}

#[tokio::test]
async fn what_an_admin_may_do_is_not_its_end_users() {
    let app = App::start_as(&by_keys()).await;
    let key = app
        .make_key("shop", |key| {
            key.role = Role::Admin;
            key.scopes = vec![Scope::ActAsUsers];
        })
        .await;
    let key = key.key.expose();
    assert_eq!(app.get_with("/metrics", &[("x-api-key", key)]).await.status, 200);
    app.get_with("/metrics", &[("x-api-key", key), ("x-user-id", "ann")]).await.problem(403, "forbidden");
}

#[tokio::test]
async fn tokens_of_known_issuers_name_their_users_and_issuers_never_meet() {
    let (one, two) = (Issuer::start().await, Issuer::start().await);
    let (rsa, ec) = (Pen::rsa("signer"), Pen::ec("curve"));
    one.publish(&rsa);
    one.publish(&ec);
    two.publish(&ec);
    let app = App::start_as(&by_issuers(&[&one, &two])).await;
    assert_eq!(one.fetches(), 0, "nothing is asked before it is needed");
    for pen in [&rsa, &ec] {
        let token = pen.token(&one.claims("7"));
        for _ in 0..3 {
            assert_eq!(app.user_of_token(&token).await, format!("{}|7", one.url), "{}", pen.algorithm());
        }
    }
    assert_eq!(app.user_of_token(&ec.token(&two.claims("7"))).await, format!("{}|7", two.url));
    let several = one.claims_with("7", "aud", json!(["other", AUDIENCE]));
    assert_eq!(app.user_of_token(&ec.token(&several)).await, format!("{}|7", one.url));
    assert_eq!((one.fetches(), two.fetches()), (1, 1));
    app.get_with(
        "/v1/sessions",
        &[("x-user-id", "8"), ("authorization", &format!("Bearer {}", ec.token(&one.claims("7"))))],
    )
    .await
    .problem(403, "forbidden");
    let key = app.make_key("ann", |_| {}).await;
    let refused = app.get_as("/v1/sessions", key.key.expose()).await.problem(403, "invalid_credential");
    assert!(refused["detail"].as_str().unwrap().contains("API keys are not accepted"), "{refused}");
}

#[tokio::test]
async fn what_proves_nothing_is_refused() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let (rsa, ec, stranger) = (Pen::rsa("signer"), Pen::ec("curve"), Pen::rsa("stranger"));
    issuer.publish(&rsa);
    issuer.publish(&ec);
    other.publish(&rsa);
    let app = App::start_as(&by_issuers(&[&issuer])).await;
    let seconds = now().timestamp();
    let claims = issuer.claims("7");
    let with = |name: &str, value: Value| rsa.token(&issuer.claims_with("7", name, value));
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let by_hmac = |secret: &[u8]| {
        let message = unsigned(&header("HS256", rsa.id), &claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        format!("{message}.{}", base64::Engine::encode(&engine, tag))
    };
    let valid = rsa.token(&claims);
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let changed = unsigned(&header("RS256", rsa.id), &issuer.claims("8"));
    for (what, token) in [
        ("another issuer", rsa.token(&other.claims("7"))),
        ("no issuer", with("iss", Value::Null)),
        ("another audience", with("aud", json!("other"))),
        ("no audience", with("aud", Value::Null)),
        ("expired", with("exp", json!(seconds - 60))),
        ("no end", with("exp", Value::Null)),
        ("of the future", with("iat", json!(seconds + 600))),
        ("not yet", with("nbf", json!(seconds + 600))),
        ("no subject", with("sub", Value::Null)),
        ("an empty subject", with("sub", json!(""))),
        ("a subject that is none", with("sub", json!("a\nb"))),
        ("alg none", format!("{}.", unsigned(&header("none", rsa.id), &claims))),
        ("no signature", format!("{message}.")),
        ("another's claims", format!("{changed}.{signature}")),
        ("HS256 with the public modulus", by_hmac(&rsa.public())),
        ("HS256 with the public point", by_hmac(&ec.public())),
        ("the other kind's algorithm", rsa.sign(&header("ES256", ec.id), &claims)),
        ("the other kind's key", ec.sign(&header("ES256", rsa.id), &claims)),
        ("RS256 by a curve", ec.sign(&header("RS256", ec.id), &claims)),
        ("a stranger's", stranger.sign(&header("RS256", rsa.id), &claims)),
        ("an unknown key", stranger.token(&claims)),
        ("no key id", rsa.sign(&json!({"alg": "RS256"}), &claims)),
        ("nothing at all", "a.b.c".to_owned()),
        ("two dots", "..".to_owned()),
    ] {
        let answer = app.get_as("/v1/sessions", &token).await;
        assert_eq!(answer.problem(403, "invalid_credential")["field"], "Authorization", "{what}");
        assert!(!format!("{answer:?}").contains(&token), "{what}");
    }
    assert_eq!(app.get_as("/v1/sessions", &valid).await.status, 200);
}

#[tokio::test]
async fn keys_change_and_issuers_go_away() {
    let issuer = Issuer::start().await;
    let (first, second) = (Pen::ec("first"), Pen::ec("second"));
    issuer.publish(&first);
    let app = App::start_as(&by_issuers(&[&issuer])).await;
    assert_eq!(app.get_as("/v1/sessions", &first.token(&issuer.claims("1"))).await.status, 200);
    issuer.away.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(app.get_as("/v1/sessions", &first.token(&issuer.claims("2"))).await.status, 200, "its key is known");
    issuer.publish(&second);
    issuer.away.store(false, std::sync::atomic::Ordering::SeqCst);
    let fetched = issuer.fetches();
    let token = second.token(&issuer.claims("1"));
    // A key that is not known is asked for, but not more often than every few seconds.
    eventually("the new key is found", async || (app.get_as("/v1/sessions", &token).await.status == 200).then_some(()))
        .await;
    assert!(issuer.fetches() - fetched <= 2, "asked {} times", issuer.fetches() - fetched);
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_our_fault() {
    let issuer = Issuer::start().await;
    issuer.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let app = App::start_as(&by_issuers(&[&issuer])).await;
    let answer = app.get_as("/v1/sessions", &Pen::ec("first").token(&issuer.claims("1"))).await;
    answer.problem(503, "unavailable");
    assert!(!answer.header("retry-after").is_empty() && !format!("{answer:?}").contains(&issuer.url));
}

#[tokio::test]
async fn googles_tokens_are_one_issuers_however_it_is_written() {
    let google = Issuer::start().await;
    let pen = Pen::rsa("signer");
    google.publish(&pen);
    let jwks = format!("{}/certs", google.url).parse().unwrap();
    let app = App::start_as(&AuthSettings {
        google_audiences: vec!["32555940559.apps.googleusercontent.com".into()],
        google_jwks_url: Some(jwks),
        operators: vec!["ops@example.com".into()],
        admins: vec!["https://accounts.google.com|9".into()],
        ..AuthSettings::default()
    })
    .await;
    let claims = |subject: &str, issuer: &str, more: Value| {
        let now = now().timestamp();
        let mut claims = json!({"iss": issuer, "aud": "32555940559.apps.googleusercontent.com", "sub": subject,
            "azp": "32555940559.apps.googleusercontent.com", "iat": now, "exp": now + 3_600});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pen.token(&claims)
    };
    for issuer in ["https://accounts.google.com", "accounts.google.com"] {
        let token = claims("7", issuer, json!({}));
        assert_eq!(app.user_of_token(&token).await, "https://accounts.google.com|7");
    }
    let metrics = async |token: String| app.get_as("/metrics", &token).await.status.as_u16();
    let google = "https://accounts.google.com";
    assert_eq!(metrics(claims("9", google, json!({}))).await, 200, "by user");
    let verified = json!({"email": "Ops@example.com", "email_verified": true});
    assert_eq!(metrics(claims("8", google, verified)).await, 200, "by verified address");
    let written = json!({"email": "ops@example.com", "email_verified": "true"});
    assert_eq!(metrics(claims("8", google, written)).await, 200, "some write it as a word");
    for more in [
        json!({}),
        json!({"email": "ops@example.com"}),
        json!({"email": "ops@example.com", "email_verified": false}),
        json!({"email": "ops@example.com", "email_verified": "no"}),
        json!({"email": "", "email_verified": true}),
        json!({"role": "admin", "roles": ["admin"]}),
    ] {
        assert_eq!(metrics(claims("7", google, more.clone())).await, 403, "{more}");
    }
}

/// Anyone can have a Google account, and have a token made for any audience.
#[tokio::test]
async fn of_googles_accounts_those_that_are_named_are_let_in() {
    let google = Issuer::start().await;
    let pen = Pen::rsa("signer");
    google.publish(&pen);
    let app = App::start_as(&AuthSettings {
        google_audiences: vec!["https://parlance.example".into()],
        google_accounts: vec![
            "deployer@project.iam.gserviceaccount.com".into(),
            "https://accounts.google.com|7".into(),
        ],
        google_jwks_url: Some(format!("{}/certs", google.url).parse().unwrap()),
        ..by_issuers(&[&google])
    })
    .await;
    let sessions = async |subject: &str, more: Value| {
        let now = now().timestamp();
        let mut claims = json!({"iss": "https://accounts.google.com", "aud": "https://parlance.example", "sub": subject,
            "iat": now, "exp": now + 3_600});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.get_as("/v1/sessions", &pen.token(&claims)).await
    };
    assert_eq!(sessions("7", json!({})).await.status, 200, "by user");
    let deployer = json!({"email": "deployer@project.iam.gserviceaccount.com", "email_verified": true});
    assert_eq!(sessions("8", deployer).await.status, 200, "by verified address");
    for more in [
        json!({}),
        json!({"email": "deployer@project.iam.gserviceaccount.com"}),
        json!({"email": "deployer@other.iam.gserviceaccount.com", "email_verified": true}),
    ] {
        sessions("9", more).await.problem(403, "invalid_credential");
    }
    // The list is of Google's accounts alone.
    assert_eq!(app.get_as("/v1/sessions", &pen.token(&google.claims("9"))).await.status, 200);
}

#[tokio::test]
async fn a_full_audit_log_makes_no_call_wait() {
    let app = App::start_as(&by_keys()).await;
    let key = app.make_key("root", |key| key.role = Role::Admin).await;
    assert_eq!(app.get_as("/", key.key.expose()).await.status, 200, "its key is known from now on");
    app.database.close().await;
    app.store.faults.set(Fault::Hangs);
    let begun = tokio::time::Instant::now();
    assert_eq!(app.get_as("/metrics", key.key.expose()).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
