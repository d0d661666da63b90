//! Google's side of the tokens: a server with keys, and a pen.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, response::IntoResponse as _, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parlance_push::{KeyPolicy, OidcSettings, OidcVerifier, Verification};
use parlance_shared::{Clock, Lifecycle};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

pub(crate) const AUDIENCE: &str = "https://worker.example/push";
pub(crate) const PUSHER: &str = "pusher@parlance-test.iam.gserviceaccount.com";
/// Where the tests' clock stands.
pub(crate) const NOW: i64 = 1_795_000_000;

/// A key that signs.
pub(crate) struct Pen {
    pub(crate) id: &'static str,
    key: RsaKeyPair,
}

impl Pen {
    /// `name`: a file of `fixtures/test_only_keys`.
    pub(crate) fn new(name: &'static str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/test_only_keys/");
        let der = std::fs::read(format!("{folder}{name}.der")).unwrap();
        Self { id: name, key: RsaKeyPair::from_pkcs8(&der).unwrap() }
    }

    pub(crate) fn public(&self) -> PublicKeyComponents<Vec<u8>> {
        PublicKeyComponents::from(self.key.public())
    }

    pub(crate) fn jwk(&self) -> Value {
        let PublicKeyComponents { n, e } = self.public();
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        json!({"kid": self.id, "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e})
    }

    /// A token with this header and these claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "RS256", "kid": self.id, "typ": "JWT"}), claims)
    }
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// What Pub/Sub's tokens say.
pub(crate) fn claims() -> Value {
    json!({
        "aud": AUDIENCE, "azp": "113774264463038321964", "email": PUSHER, "email_verified": true,
        "exp": NOW + 3_600, "iat": NOW, "iss": "https://accounts.google.com", "sub": "113774264463038321964",
    })
}

/// With one claim changed (`Null` takes it away).
pub(crate) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims.as_object_mut().unwrap().insert(name.into(), value),
    };
    claims
}

/// A server with a set of keys.
#[derive(Clone, Default)]
pub(crate) struct Google {
    pub(crate) keys: Arc<Mutex<BTreeMap<&'static str, Value>>>,
    pub(crate) fetches: Arc<AtomicUsize>,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) delay: Duration,
    pub(crate) max_age: u64,
}

impl Google {
    pub(crate) fn publish(&self, pen: &Pen) {
        self.keys.lock().unwrap().insert(pen.id, pen.jwk());
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(crate) async fn start(&self) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/certs", listener.local_addr().unwrap()).parse().unwrap();
        let app = Router::new().route("/certs", get(certs)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    /// A verifier that takes its keys from here.
    pub(crate) async fn verification(&self, keys: KeyPolicy) -> Verification {
        let settings = OidcSettings {
            audience: AUDIENCE.into(),
            service_account_email: PUSHER.into(),
            jwks_url: self.start().await,
            keys,
        };
        let clock = Clock::manual(chrono::DateTime::from_timestamp(NOW, 0).unwrap());
        Verification::Oidc(Arc::new(OidcVerifier::new(settings, clock, Lifecycle::new()).unwrap()))
    }
}

async fn certs(State(google): State<Google>) -> axum::response::Response {
    google.fetches.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(google.delay).await;
    if google.away.load(Ordering::SeqCst) {
        return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let keys: Vec<_> = google.keys.lock().unwrap().values().cloned().collect();
    let cache_control = format!("public, max-age={}, must-revalidate", google.max_age);
    ([("cache-control", cache_control)], axum::Json(json!({"keys": keys}))).into_response()
}
