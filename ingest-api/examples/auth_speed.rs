//! What it costs to find out who calls: with a key or a token that was seen a moment ago, and with one that was not.
//!
//! `cargo run --release -p ingest-api --example auth_speed`

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use http::Request;
use ingest_api::{Identity, IdentityPorts};
use parlance_shared::{
    Clock, Lifecycle, UserId,
    caller::Role,
    port::keys::{ApiKey, KeyAdmin as _, Scope},
    settings::{AuthSettings, OidcIssuer},
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteAudit, SqliteKeys};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const TIMES: usize = 20_000;
const FIRST_TIMES: usize = 500;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(DatabaseOptions::new(folder.path())).await.unwrap();
    let keys = SqliteKeys::new(database.clone());
    let pen = Pen::start().await;
    let oidc = vec![OidcIssuer { issuer: pen.issuer.clone(), audiences: vec!["speed".into()] }];
    let settings = AuthSettings { api_keys: true, oidc, ..AuthSettings::default() };
    let ports = IdentityPorts {
        keys: Arc::new(keys.clone()),
        key_mint: database.key_mint(),
        audit: Arc::new(SqliteAudit::new(database.clone())),
    };
    let identity = Identity::new(&settings, ports, &Clock::system(), &Lifecycle::new()).unwrap();

    let mut made = Vec::new();
    for _ in 0..FIRST_TIMES {
        let fresh = database.key_mint().fresh();
        keys.create(&row(&fresh.id), &fresh.hash).await.unwrap();
        made.push(fresh.key.expose().to_owned());
    }
    let tokens: Vec<String> = (0..FIRST_TIMES).map(|subject| pen.token(subject)).collect();
    // The issuer's keys are fetched once.
    measure(&identity, &[pen.token(FIRST_TIMES)], 1).await;
    let random: Vec<String> = (0..FIRST_TIMES).map(|n| format!("plk_{n:016}_{n:040}")).collect();
    for (what, credentials, times) in [
        ("key, looked up", &made, FIRST_TIMES),
        ("key, known", &made[..10].to_vec(), TIMES),
        ("key, made up", &random, TIMES),
        ("token, verified (ES256)", &tokens, FIRST_TIMES),
        ("token, known", &tokens[..10].to_vec(), TIMES),
    ] {
        let mut took = measure(&identity, credentials, times).await;
        took.sort();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!("{what:24} p50 {:>10.1?}  p99 {:>10.1?}", at(0.5), at(0.99));
    }
}

async fn measure(identity: &Identity, credentials: &[String], times: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(times);
    for credential in credentials.iter().cycle().take(times) {
        let request = Request::get("/v1/sessions").header("authorization", format!("Bearer {credential}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let begun = Instant::now();
        std::hint::black_box(identity.admits(&parts).await);
        took.push(begun.elapsed());
    }
    took
}

fn row(id: &str) -> ApiKey {
    ApiKey {
        id: id.into(),
        name: "speed".into(),
        user: UserId::new("speed"),
        role: Role::User,
        scopes: vec![Scope::Chat],
        webhook_url: None,
        created_at: Utc::now(),
        expires_at: None,
        revoked_at: None,
        rotated_to: None,
        last_used_at: None,
    }
}

/// An issuer with one key.
struct Pen {
    issuer: String,
    key: EcdsaKeyPair,
}

impl Pen {
    async fn start() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let point = key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let keys = json!({"keys": [{"kid": "1", "kty": "EC", "crv": "P-256", "x": x, "y": y}]});
        let itself = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/certs")});
        let answer = |value: Value| get(move || std::future::ready(Json(value.clone())));
        let app =
            Router::new().route("/.well-known/openid-configuration", answer(itself)).route("/certs", answer(keys));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { issuer, key }
    }

    fn token(&self, subject: usize) -> String {
        let now = Utc::now().timestamp();
        let claims = json!({"iss": self.issuer, "aud": "speed", "sub": subject.to_string(), "iat": now,
            "exp": now + 3_600, "email": "someone@example.com", "email_verified": true});
        let header = json!({"alg": "ES256", "kid": "1", "typ": "JWT"});
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
