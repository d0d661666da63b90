//! Whose pushes are taken: real keys, real signatures, a real server of keys.

use std::{sync::atomic::Ordering, time::Duration};

use parlance_push::KeyPolicy;
use ring::hmac;
use serde_json::json;

use crate::support::{
    Build, Running,
    google::{AUDIENCE, Google, NOW, Pen, claims, claims_with, unsigned},
    problem,
};

/// Nothing is ever old, and each unknown key may be asked for.
const EAGER: KeyPolicy = KeyPolicy {
    fresh_at_least: Duration::from_secs(600),
    fresh_at_most: Duration::from_secs(600),
    usable_after: Duration::from_secs(600),
    pause: Duration::ZERO,
    timeout: Duration::from_secs(5),
};

async fn worker(google: &Google, keys: KeyPolicy) -> Running {
    Build { verification: google.verification(keys).await, ..Build::default() }.start().await
}

async fn status(worker: &Running, token: &str) -> u16 {
    worker.push().bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_valid_token_passes_and_the_keys_are_fetched_once() {
    let (google, pen) = (Google::default(), Pen::new("signer"));
    google.publish(&pen);
    let worker = worker(&google, KeyPolicy::default()).await;
    assert_eq!(google.fetches(), 0, "nothing is asked before it is needed");
    for claims in
        [claims(), claims_with("iss", json!("accounts.google.com")), claims_with("aud", json!([AUDIENCE, "x"]))]
    {
        assert_eq!(status(&worker, &pen.token(&claims)).await, 204, "{claims}");
    }
    assert_eq!((google.fetches(), worker.seen().len()), (1, 3));
}

#[tokio::test]
async fn without_a_token_nothing_is_read() {
    let google = Google::default();
    let worker = worker(&google, EAGER).await;
    for request in [
        worker.push(),
        worker.push().header("authorization", "Basic dTpw"),
        worker.push().header("authorization", "Bearer"),
        worker.push().bearer_auth("a").bearer_auth("b"),
        worker.post("/").body("no push at all"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(response).await, (401, "unauthenticated".into(), None));
    }
    assert_eq!((worker.seen().len(), google.fetches()), (0, 0));
    assert_eq!(worker.get("/health").await.status(), 200, "probes need none");
}

#[tokio::test]
async fn each_wrong_claim_is_refused() {
    let (google, pen) = (Google::default(), Pen::new("signer"));
    google.publish(&pen);
    let worker = worker(&google, EAGER).await;
    for (name, value, expected) in [
        ("aud", json!("https://other.example/push"), 401),
        ("aud", json!(["https://other.example/push"]), 401),
        ("aud", json!(7), 401),
        ("aud", json!(null), 401),
        ("iss", json!("https://accounts.example.com"), 401),
        ("iss", json!(null), 401),
        ("exp", json!(NOW - 31), 401),
        ("exp", json!("soon"), 401),
        ("exp", json!(null), 401),
        ("iat", json!(NOW + 31), 401),
        ("iat", json!(null), 401),
        ("email", json!("other@parlance-test.iam.gserviceaccount.com"), 403),
        ("email", json!(null), 403),
        ("email_verified", json!(false), 403),
        ("email_verified", json!(null), 403),
    ] {
        let response = worker.push().bearer_auth(pen.token(&claims_with(name, value.clone()))).send().await.unwrap();
        let challenge = response.headers().get("www-authenticate").cloned();
        let code = if expected == 401 { "unauthenticated" } else { "forbidden" };
        assert_eq!(problem(response).await, (expected, code.into(), None), "{name}: {value}");
        assert_eq!(challenge.is_some(), expected == 401);
    }
    for (name, value) in [("exp", NOW - 29), ("iat", NOW + 29)] {
        assert_eq!(status(&worker, &pen.token(&claims_with(name, json!(value)))).await, 204, "clocks differ: {name}");
    }
    assert_eq!(worker.seen().len(), 2);
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (google, pen, stranger) = (Google::default(), Pen::new("signer"), Pen::new("stranger"));
    google.publish(&pen);
    let worker = worker(&google, EAGER).await;
    let valid = pen.token(&claims());
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let other_claims = unsigned(&json!({}), &claims_with("sub", json!("1"))).split_once('.').unwrap().1.to_owned();

    let by_hmac = |secret: &[u8]| {
        let message = unsigned(&json!({"alg": "HS256", "kid": pen.id}), &claims());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, tag))
    };
    let public = pen.public();
    for (what, token) in [
        ("alg none", format!("{}.", unsigned(&json!({"alg": "none", "kid": pen.id}), &claims()))),
        ("alg None", format!("{}.", unsigned(&json!({"alg": "None", "kid": pen.id}), &claims()))),
        ("no signature", format!("{message}.")),
        ("Cloud Run's mark", format!("{message}.SIGNATURE_REMOVED_BY_GOOGLE")),
        ("HS256 with the public modulus", by_hmac(&public.n)),
        ("HS256 with the published modulus", by_hmac(pen.jwk()["n"].as_str().unwrap().as_bytes())),
        ("RS512 by name", pen.sign(&json!({"alg": "RS512", "kid": pen.id}), &claims())),
        ("another's key under this id", stranger.sign(&json!({"alg": "RS256", "kid": pen.id}), &claims())),
        ("an unknown key", stranger.token(&claims())),
        (
            "its own key in the header",
            stranger.sign(&json!({"alg": "RS256", "kid": pen.id, "jwk": stranger.jwk()}), &claims()),
        ),
        ("no key id", pen.sign(&json!({"alg": "RS256"}), &claims())),
        ("other claims", format!("{head}.{other_claims}.{signature}")),
        ("a part more", format!("{valid}.x")),
        ("claims that are none", pen.token(&json!("claims"))),
        ("garbage", "garbage".into()),
        ("too long", format!("{valid}{}", "A".repeat(20_000))),
    ] {
        assert_eq!(status(&worker, &token).await, 401, "{what}");
    }
    assert_eq!(worker.seen().len(), 0);
    assert_eq!(status(&worker, &valid).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_first_pushes_at_once_cause_one_fetch_and_all_pass() {
    let google = Google { delay: Duration::from_millis(200), ..Google::default() };
    let pen = Pen::new("signer");
    google.publish(&pen);
    let worker = worker(&google, KeyPolicy::default()).await;
    let token = pen.token(&claims());
    let pushes: Vec<_> = (0..50).map(|_| tokio::spawn(worker.push().bearer_auth(&token).send())).collect();
    for push in pushes {
        assert_eq!(push.await.unwrap().unwrap().status(), 204);
    }
    assert_eq!((google.fetches(), worker.seen().len()), (1, 50));
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_used_and_a_withdrawn_one_is_forgotten() {
    let (google, old, new) = (Google::default(), Pen::new("signer"), Pen::new("rotated"));
    google.publish(&old);
    let worker = worker(&google, EAGER).await;
    assert_eq!(status(&worker, &old.token(&claims())).await, 204);
    assert_eq!(status(&worker, &new.token(&claims())).await, 401);
    google.keys.lock().unwrap().clear();
    google.publish(&new);
    assert_eq!(status(&worker, &new.token(&claims())).await, 204);
    assert_eq!(status(&worker, &old.token(&claims())).await, 401);
}

#[tokio::test]
async fn made_up_key_ids_do_not_cause_fetches() {
    let (google, pen, stranger) = (Google::default(), Pen::new("signer"), Pen::new("stranger"));
    google.publish(&pen);
    let worker = worker(&google, KeyPolicy::default()).await;
    assert_eq!(status(&worker, &pen.token(&claims())).await, 204);
    for n in 0..20 {
        let token = stranger.sign(&json!({"alg": "RS256", "kid": format!("k{n}")}), &claims());
        assert_eq!(status(&worker, &token).await, 401);
    }
    assert_eq!(google.fetches(), 1);
}

#[tokio::test]
async fn old_keys_serve_while_google_is_away_but_not_for_ever() {
    let (google, pen) = (Google::default(), Pen::new("signer"));
    google.publish(&pen);
    let policy = KeyPolicy { fresh_at_least: Duration::ZERO, ..EAGER };
    let worker = worker(&google, policy).await;
    assert_eq!(status(&worker, &pen.token(&claims())).await, 204);
    google.away.store(true, Ordering::SeqCst);
    for fetches in 2..4 {
        assert_eq!(status(&worker, &pen.token(&claims())).await, 204);
        assert_eq!(google.fetches(), fetches, "it asks each time, as nothing is fresh");
    }

    let policy = KeyPolicy { usable_after: Duration::ZERO, ..policy };
    google.away.store(false, Ordering::SeqCst);
    let worker = self::worker(&google, policy).await;
    google.away.store(true, Ordering::SeqCst);
    let response = worker.push().bearer_auth(pen.token(&claims())).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(problem(response).await, (503, "unavailable".into(), None));
    google.away.store(false, Ordering::SeqCst);
    google.keys.lock().unwrap().clear();
    assert_eq!(status(&worker, &pen.token(&claims())).await, 503, "a set without keys is a fault of the server");
    assert_eq!(worker.seen().len(), 0);
}

#[tokio::test]
async fn a_server_of_keys_that_hangs_is_given_up() {
    let google = Google { delay: Duration::from_secs(3_600), ..Google::default() };
    let pen = Pen::new("signer");
    let policy = KeyPolicy { timeout: Duration::from_millis(50), ..KeyPolicy::default() };
    let worker = worker(&google, policy).await;
    for _ in 0..5 {
        assert_eq!(status(&worker, &pen.token(&claims())).await, 503);
    }
    assert_eq!(google.fetches(), 1, "and not asked again at once");
}
