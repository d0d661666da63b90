//! Fetches an issuer's public keys, from where they are said to be or from where the issuer says.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use jsonwebtoken::DecodingKey;
use reqwest::{Client, Response, redirect};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

/// Google's set has two or three keys and about 1.5 kB; an issuer's description of itself has about as much.
const MAX_BYTES: usize = 256 * 1024;

/// Keys by their id.
pub(super) type Keys = HashMap<String, Arc<DecodingKey>>;

/// A set of keys, and how long its issuer lets it be kept.
pub(super) struct Fetched {
    pub(super) keys: Keys,
    pub(super) max_age: Option<Duration>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// At this address.
    At(Url),
    /// Where the issuer of this name says, each time: `ISSUER/.well-known/openid-configuration`.
    Discovered(String),
}

impl KeySource {
    fn url(&self) -> Result<Url, String> {
        match self {
            Self::At(url) => Ok(url.clone()),
            Self::Discovered(issuer) => Url::parse(&format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')))
                .map_err(|error| format!("{issuer} is no URL: {error}")),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(url) => f.write_str(url.as_str()),
            Self::Discovered(issuer) => f.write_str(issuer),
        }
    }
}

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// A client for the address of the keys. Certificates are loaded for `https` alone.
pub(super) fn client(source: &KeySource) -> Result<Client, String> {
    let url = source.url()?;
    // Fails when the process has installed a provider of its own, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("parlance/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(&url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| error.to_string())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// One try, as long as it takes; the caller has the clock.
pub(super) async fn fetch(client: &Client, source: &KeySource) -> Result<Fetched, String> {
    let url = match source {
        KeySource::At(url) => url.clone(),
        KeySource::Discovered(issuer) => discover(client, issuer, source.url()?).await?,
    };
    let response = get(client, url).await?;
    let max_age = max_age(&response);
    let keys = parse(&read(response).await?)?;
    Ok(Fetched { keys, max_age })
}

/// The issuer must call itself as its tokens do, and may not send us from an encrypted way to an open one.
async fn discover(client: &Client, issuer: &str, url: Url) -> Result<Url, String> {
    let is_encrypted = url.scheme() == "https";
    let bytes = read(get(client, url).await?).await?;
    let said: Configuration =
        serde_json::from_slice(&bytes).map_err(|error| format!("the issuer's configuration can't be read: {error}"))?;
    if said.issuer != issuer {
        return Err(format!("the issuer calls itself {:?}, not {issuer:?}", said.issuer));
    }
    match said.jwks_uri.scheme() {
        "https" => Ok(said.jwks_uri),
        "http" if !is_encrypted => Ok(said.jwks_uri),
        other => Err(format!("the issuer's keys are at an address of the scheme {other}")),
    }
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: Url,
}

async fn get(client: &Client, url: Url) -> Result<Response, String> {
    let response = client.get(url).send().await.map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    if status.is_success() { Ok(response) } else { Err(format!("the keys' address answered {status}")) }
}

async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(format!("the keys have more than {MAX_BYTES} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    alg: Option<String>,
    r#use: Option<String>,
    #[serde(flatten)]
    kind: KeyKind,
}

#[derive(Deserialize)]
#[serde(tag = "kty")]
enum KeyKind {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    Ec { crv: String, x: String, y: String },
}

impl Key {
    /// For one algorithm alone, which is that of its kind.
    fn read(self) -> Option<(String, Arc<DecodingKey>)> {
        let (alg, key) = match &self.kind {
            KeyKind::Rsa { n, e } => ("RS256", DecodingKey::from_rsa_components(n, e).ok()?),
            KeyKind::Ec { crv, x, y } if crv == "P-256" => ("ES256", DecodingKey::from_ec_components(x, y).ok()?),
            KeyKind::Ec { .. } => return None,
        };
        let is_ours = self.alg.is_none_or(|its| its == alg) && self.r#use.is_none_or(|its| its == "sig");
        is_ours.then(|| (self.kid, Arc::new(key)))
    }
}

/// Keys of kinds that are not known here are left out; a set without any known one is an error, so that it does not
/// replace a good one.
fn parse(bytes: &[u8]) -> Result<Keys, String> {
    let set: KeySet = serde_json::from_slice(bytes).map_err(|error| format!("the keys can't be read: {error}"))?;
    let keys: Keys =
        set.keys.into_iter().filter_map(|key| serde_json::from_value::<Key>(key).ok()).filter_map(Key::read).collect();
    if keys.is_empty() { Err("there is no RS256 or ES256 key among the keys".into()) } else { Ok(keys) }
}

/// `Cache-Control: max-age`, less the time that the answer spent in caches on its way (`Age`).
fn max_age(response: &Response) -> Option<Duration> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let age: u64 = header("age").and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    let max_age = seconds(header("cache-control")?)?;
    Some(Duration::from_secs(max_age.saturating_sub(age)))
}

fn seconds(cache_control: &str) -> Option<u64> {
    let mut directives = cache_control.split(',').map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim() {
            name if name.eq_ignore_ascii_case("max-age") => value.trim().trim_matches('"').parse().ok(),
            name if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") => Some(0),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_keys_is_read_from_any_order_of_directives() {
        assert_eq!(seconds("public, max-age=19231, must-revalidate, no-transform"), Some(19_231));
        assert_eq!(seconds("Max-Age=\"60\""), Some(60));
        assert_eq!(seconds("no-store"), Some(0));
        assert_eq!(seconds("public, max-age=soon"), None);
        assert_eq!(seconds(""), None);
    }

    #[test]
    fn only_signature_keys_of_known_kinds_count_and_an_empty_set_is_an_error() {
        let set = r#"{"keys":[
            {"kid":"a","kty":"RSA","alg":"RS256","use":"sig","n":"AQAB","e":"AQAB"},
            {"kid":"b","kty":"RSA","alg":"RS512","n":"AQAB","e":"AQAB"},
            {"kid":"c","kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"},
            {"kid":"d","kty":"EC","crv":"P-384","x":"AQAB","y":"AQAB"},
            {"kid":"g","kty":"EC","crv":"P-256","alg":"RS256","x":"AQAB","y":"AQAB"},
            {"kid":"h","kty":"EC","crv":"P-256","x":"AQAB","y":"AQAB"},
            {"kid":"e","kty":"oct","alg":"HS256","k":"AQAB"},
            {"kid":"f","kty":"RSA","n":"not base64!","e":"AQAB"}]}"#;
        let mut known: Vec<_> = parse(set.as_bytes()).unwrap().into_keys().collect();
        known.sort();
        assert_eq!(known, ["a", "h"]);
        assert!(parse(br#"{"keys":[]}"#).is_err());
        assert!(parse(b"<html>").is_err());
    }
}
