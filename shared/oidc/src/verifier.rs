//! Checks a token of one issuer: signature, issuer, audience and time.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use parlance_shared::{Clock, Lifecycle};
use serde::{Deserialize, Deserializer};

use crate::{
    fetch_keys::KeySource,
    key_cache::{KeyCache, KeyPolicy, NoKey},
    signatures,
};

/// Where Google publishes the keys of its tokens.
pub const GOOGLE_JWKS_URL: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// Google has written both.
pub const GOOGLE_ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Clocks differ by less, in seconds.
const LEEWAY: i64 = 30;

/// What Cloud Run's own check of a caller leaves of the signature (cloud.google.com/run/docs/troubleshooting). Such a token
/// could be anybody's, so it proves nothing.
const SIGNATURE_REMOVED: &str = ".SIGNATURE_REMOVED_BY_GOOGLE";

/// Google's tokens have about 1 kB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// One of these is in `iss`.
    pub issuers: Vec<String>,
    /// One of these is in `aud`.
    pub audiences: Vec<String>,
    /// Where the keys are.
    pub keys: KeySource,
    /// How long keys are kept.
    pub policy: KeyPolicy,
}

/// Verifies the tokens of one issuer.
pub struct TokenVerifier {
    settings: TokenSettings,
    rs256: Validation,
    es256: Validation,
    keys: Arc<KeyCache>,
    clock: Clock,
}

/// Why a token is not accepted. The causes are for the log only.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It proves nothing.
    Invalid(String),
    /// It can't be checked for the moment.
    KeysAway(String),
}

/// What an accepted token says.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    /// Whose it is, as its issuer names them for ever; empty if it does not.
    #[serde(default)]
    pub sub: String,
    /// When its time is over, in seconds.
    pub exp: i64,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// Before that it is not to be accepted, in seconds.
    pub nbf: Option<i64>,
    /// An address; of no worth unless it is verified.
    #[serde(default)]
    pub email: String,
    /// Whether the issuer has seen that mail to it arrives. Some write it as a word.
    #[serde(default, deserialize_with = "truth")]
    pub email_verified: bool,
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Truth {
        Bool(bool),
        Word(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Truth::deserialize(deserializer)? {
        Truth::Bool(truth) => truth,
        Truth::Word(word) => word == "true",
        Truth::Other(_) => false,
    })
}

impl TokenVerifier {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// A sentence, when no HTTPS client can be made on this machine.
    pub fn new(settings: TokenSettings, clock: Clock, lifecycle: Lifecycle) -> Result<Self, String> {
        signatures::install();
        let validation = |algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.set_audience(&settings.audiences);
            validation.set_issuer(&settings.issuers);
            validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            // It reads the system's clock; times are checked below, by ours.
            validation.validate_exp = false;
            validation
        };
        let (rs256, es256) = (validation(Algorithm::RS256), validation(Algorithm::ES256));
        let keys = Arc::new(KeyCache::new(settings.keys.clone(), settings.policy, lifecycle)?);
        Ok(Self { settings, rs256, es256, keys, clock })
    }

    /// Whether it is for tokens that name this issuer.
    pub fn is_for(&self, issuer: &str) -> bool {
        self.settings.issuers.iter().any(|known| known == issuer)
    }

    /// The issuer, as users are named by it.
    pub fn issuer(&self) -> &str {
        self.settings.issuers.first().map_or("", String::as_str)
    }

    /// What the token says, if all of it may be believed.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid("it is too long"));
        }
        if token.ends_with(SIGNATURE_REMOVED) {
            return Err(invalid(
                "Cloud Run has checked it and taken its signature away; disable the service's invoker IAM check, \
                 so that the token arrives whole",
            ));
        }
        let header = decode_header(token).map_err(invalid)?;
        let validation = match header.alg {
            Algorithm::RS256 => &self.rs256,
            Algorithm::ES256 => &self.es256,
            _ => return Err(invalid("its algorithm is neither RS256 nor ES256")),
        };
        let id = header.kid.ok_or_else(|| invalid("it names no key"))?;
        let key = self.keys.key(&id).await.map_err(|missing| match missing {
            NoKey::Unknown => invalid("its key is not one of its issuer's"),
            NoKey::Away(cause) => Refusal::KeysAway(cause),
        })?;
        let claims = decode::<Claims>(token, &key, validation).map_err(invalid)?.claims;
        let now = self.clock.now().timestamp();
        if claims.exp.saturating_add(LEEWAY) <= now {
            return Err(invalid("it has expired"));
        }
        if claims.iat.saturating_sub(LEEWAY) > now {
            return Err(invalid("it was issued in the future"));
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_sub(LEEWAY) > now) {
            return Err(invalid("its time has not come"));
        }
        Ok(claims)
    }
}

/// The issuer that a token names; whether it is that one's is not known yet.
pub fn issuer_of(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        iss: String,
    }
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice::<Named>(&claims).ok().map(|named| named.iss)
}

fn invalid(cause: impl ToString) -> Refusal {
    Refusal::Invalid(cause.to_string())
}
