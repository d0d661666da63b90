//! An OpenID Connect issuer with one key, on a port of this process.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{Fallible, Stop, clock};

const ALGORITHM: &ring::signature::EcdsaSigningAlgorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
/// Longer than a benchmark takes.
const VALID_SECONDS: i64 = 3_600;

/// The issuer; it ends when this is dropped.
pub struct Issuer {
    /// Its name and address.
    pub url: String,
    key: EcdsaKeyPair,
    random: SystemRandom,
    serving: JoinHandle<()>,
}

impl Issuer {
    /// Starts one with a fresh key.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start() -> Fallible<Self> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(ALGORITHM, &random).map_err(unspecified)?;
        let key = EcdsaKeyPair::from_pkcs8(ALGORITHM, pkcs8.as_ref(), &random).map_err(|error| error.to_string())?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let point = key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let itself = json!({"issuer": url, "jwks_uri": format!("{url}/certs")}).to_string();
        let certs = json!({"keys": [{"kid": "1", "kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever asks asks again.
                let _ = answer(stream, &itself, &certs).await;
            }
        });
        Ok(Self { url, key, random, serving })
    }

    /// A token for this audience.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn token(&self, audience: &str, subject: &str) -> Fallible<String> {
        let now = clock::micros() / 1_000_000;
        let claims = json!({"iss": self.url, "aud": audience, "sub": subject, "iat": now, "exp": now + VALID_SECONDS});
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(json!({"alg": "ES256", "kid": "1", "typ": "JWT"})), part(claims));
        let signature = self.key.sign(&self.random, message.as_bytes()).map_err(unspecified)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, itself: &str, certs: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let body = if request.starts_with(b"GET /certs ") { certs } else { itself };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

fn unspecified(_: ring::error::Unspecified) -> Stop {
    "the key can't be made or used".into()
}
