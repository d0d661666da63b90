//! An issuer of tokens: a server with a description of itself and keys, and pens that sign.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, extract::State, response::IntoResponse as _, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const AUDIENCE: &str = "parlance-test";

/// A key that signs.
pub struct Pen {
    pub id: &'static str,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

impl Pen {
    /// RS256; `name` is one of the keys that are for tests only.
    pub fn rsa(name: &'static str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/push/tests/fixtures/test_only_keys/");
        let der = std::fs::read(format!("{folder}{name}.der")).unwrap();
        Self { id: name, key: Key::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap())) }
    }

    /// ES256, with a fresh key.
    pub fn ec(id: &'static str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { id, key: Key::Ec(Box::new(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())) }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Rsa(_) => "RS256",
            Key::Ec(_) => "ES256",
        }
    }

    /// What anybody may know of it.
    pub fn public(&self) -> Vec<u8> {
        match &self.key {
            Key::Rsa(key) => PublicKeyComponents::<Vec<u8>>::from(key.public()).n,
            Key::Ec(key) => key.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            Key::Rsa(key) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kid": self.id, "kty": "RSA", "alg": "RS256", "use": "sig", "n": encode(&n), "e": encode(&e)})
            }
            Key::Ec(key) => {
                let point = &key.public_key().as_ref()[1..];
                json!({"kid": self.id, "kty": "EC", "crv": "P-256", "x": encode(&point[..32]), "y": encode(&point[32..])})
            }
        }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"}), claims)
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Key::Ec(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The server. Clones are the same.
#[derive(Clone)]
pub struct Issuer {
    pub url: String,
    pub fetches: Arc<AtomicUsize>,
    pub away: Arc<AtomicBool>,
    keys: Arc<Mutex<BTreeMap<&'static str, Value>>>,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self { url, fetches: Arc::default(), away: Arc::default(), keys: Arc::default() };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/certs", get(certs))
            .with_state(issuer.clone());
        #[allow(clippy::disallowed_methods, reason = "an issuer is no part of the process under test")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    pub fn publish(&self, pen: &Pen) {
        self.keys.lock().unwrap().insert(pen.id, pen.jwk());
    }

    /// What its tokens say.
    pub fn claims(&self, subject: &str) -> Value {
        let now = parlance_shared::Clock::system().now().timestamp();
        json!({"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3_600})
    }

    /// With one claim changed (`Null` takes it away).
    pub fn claims_with(&self, subject: &str, name: &str, value: Value) -> Value {
        let mut claims = self.claims(subject);
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.into(), value),
        };
        claims
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn describe(State(issuer): State<Issuer>) -> axum::response::Response {
    if issuer.away.load(Ordering::SeqCst) {
        return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let keys = format!("{}/certs", issuer.url);
    Json(json!({"issuer": issuer.url, "jwks_uri": keys, "id_token_signing_alg_values_supported": ["RS256"]}))
        .into_response()
}

async fn certs(State(issuer): State<Issuer>) -> axum::response::Response {
    issuer.fetches.fetch_add(1, Ordering::SeqCst);
    if issuer.away.load(Ordering::SeqCst) {
        return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let keys: Vec<_> = issuer.keys.lock().unwrap().values().cloned().collect();
    Json(json!({"keys": keys})).into_response()
}
