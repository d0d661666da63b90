//! Checks a token: signature, issuer, audience, time, and whose it is.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use parlance_shared::{Clock, Lifecycle};
use serde::Deserialize;
use url::Url;

use super::{
    key_cache::{KeyCache, KeyPolicy, NoKey},
    rs256,
};

/// Where Google publishes the keys of its tokens.
pub const GOOGLE_JWKS_URL: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// Google has written both.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Clocks differ by less, in seconds.
const LEEWAY: i64 = 30;

/// What Cloud Run's own check of a caller leaves of the signature (cloud.google.com/run/docs/troubleshooting). Such a token
/// could be anybody's, so it proves nothing.
const SIGNATURE_REMOVED: &str = ".SIGNATURE_REMOVED_BY_GOOGLE";

/// Google's tokens have about 1 kB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// The `aud` that the subscription was told to use (by default, it is the push endpoint's URL).
    pub audience: String,
    /// The `email` of the service account that the subscription was told to use.
    pub service_account_email: String,
    /// Where the keys are: [`GOOGLE_JWKS_URL`].
    pub jwks_url: Url,
    /// How long keys are kept.
    pub keys: KeyPolicy,
}

/// Verifies Google's OpenID Connect tokens.
pub struct OidcVerifier {
    settings: OidcSettings,
    validation: Validation,
    keys: Arc<KeyCache>,
    clock: Clock,
}

/// Why a token is not accepted. The causes are for the log only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It proves nothing.
    Invalid(String),
    /// It is valid, and someone else's.
    OtherIdentity(String),
    /// It can't be checked for the moment.
    KeysAway(String),
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    iat: i64,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
}

impl OidcVerifier {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// A sentence, when no HTTPS client can be made on this machine.
    pub fn new(settings: OidcSettings, clock: Clock, lifecycle: Lifecycle) -> Result<Self, String> {
        rs256::install();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&settings.audience]);
        validation.set_issuer(&ISSUERS);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // It reads the system's clock; times are checked below, by ours.
        validation.validate_exp = false;
        let keys = Arc::new(KeyCache::new(settings.jwks_url.clone(), settings.keys, lifecycle)?);
        Ok(Self { settings, validation, keys, clock })
    }

    /// Whether the token is our pusher's.
    pub(crate) async fn verify(&self, token: &str) -> Result<(), Refusal> {
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
        if header.alg != Algorithm::RS256 {
            return Err(invalid("its algorithm is not RS256"));
        }
        let id = header.kid.ok_or_else(|| invalid("it names no key"))?;
        let key = self.keys.key(&id).await.map_err(|missing| match missing {
            NoKey::Unknown => invalid("its key is not one of Google's"),
            NoKey::Away(cause) => Refusal::KeysAway(cause),
        })?;
        let claims = decode::<Claims>(token, &key, &self.validation).map_err(invalid)?.claims;
        let now = self.clock.now().timestamp();
        if claims.exp.saturating_add(LEEWAY) <= now {
            return Err(invalid("it has expired"));
        }
        if claims.iat.saturating_sub(LEEWAY) > now {
            return Err(invalid("it was issued in the future"));
        }
        if claims.email != self.settings.service_account_email {
            return Err(Refusal::OtherIdentity("its email is not the pusher's".into()));
        }
        if !claims.email_verified {
            return Err(Refusal::OtherIdentity("its email is not verified".into()));
        }
        Ok(())
    }
}

fn invalid(cause: impl ToString) -> Refusal {
    Refusal::Invalid(cause.to_string())
}
