//! Checks that a token is our pusher's.

use parlance_oidc::{Claims, GOOGLE_ISSUERS, KeyPolicy, KeySource, TokenSettings, TokenVerifier};
use parlance_shared::{Clock, Lifecycle};
use url::Url;

/// Whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// The `aud` that the subscription was told to use (by default, it is the push endpoint's URL).
    pub audience: String,
    /// The `email` of the service account that the subscription was told to use.
    pub service_account_email: String,
    /// Where the keys are: [`parlance_oidc::GOOGLE_JWKS_URL`].
    pub jwks_url: Url,
    /// How long keys are kept.
    pub keys: KeyPolicy,
}

/// Verifies the tokens that pushes carry.
pub struct OidcVerifier {
    service_account_email: String,
    tokens: TokenVerifier,
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

impl From<parlance_oidc::Refusal> for Refusal {
    fn from(refusal: parlance_oidc::Refusal) -> Self {
        match refusal {
            parlance_oidc::Refusal::Invalid(cause) => Self::Invalid(cause),
            parlance_oidc::Refusal::KeysAway(cause) => Self::KeysAway(cause),
        }
    }
}

impl OidcVerifier {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// A sentence, when no HTTPS client can be made on this machine.
    pub fn new(settings: OidcSettings, clock: Clock, lifecycle: Lifecycle) -> Result<Self, String> {
        let OidcSettings { audience, service_account_email, jwks_url, keys } = settings;
        let settings = TokenSettings {
            issuers: GOOGLE_ISSUERS.map(str::to_owned).into(),
            audiences: vec![audience],
            keys: KeySource::At(jwks_url),
            policy: keys,
        };
        Ok(Self { service_account_email, tokens: TokenVerifier::new(settings, clock, lifecycle)? })
    }

    /// Whether the token is our pusher's.
    pub(crate) async fn verify(&self, token: &str) -> Result<(), Refusal> {
        let Claims { email, email_verified, .. } = self.tokens.verify(token).await?;
        if email != self.service_account_email {
            return Err(Refusal::OtherIdentity("its email is not the pusher's".into()));
        }
        if !email_verified {
            return Err(Refusal::OtherIdentity("its email is not verified".into()));
        }
        Ok(())
    }
}
