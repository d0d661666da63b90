//! Callers with a token of an issuer that the settings name: Google's own, or any that speaks OpenID Connect.
//!
//! A user is named by the issuer and the subject, `ISSUER|SUBJECT`: subjects of different issuers never meet, nor do they
//! meet the names of keys' users. (Google's issuer is written in two ways, and is one.)

use std::sync::Arc;

use parlance_oidc::{
    Claims, GOOGLE_ISSUERS, GOOGLE_JWKS_URL, KeyPolicy, KeySource, Refusal, TokenSettings, TokenVerifier, issuer_of,
};
use parlance_shared::{Caller, Clock, Lifecycle, UserId, caller::Role, settings::AuthSettings};
use sha2::{Digest as _, Sha256};
use tracing::debug;

use super::aging::Aging;

const MOST_TOKENS: usize = 10_000;
/// OpenID Connect allows no longer ones.
const LONGEST_SUBJECT: usize = 255;

pub(super) struct Tokens {
    issuers: Vec<TokenVerifier>,
    /// Of Google's users, whom to let in; all when empty. A token of theirs proves an account, which anyone can have.
    google_accounts: Vec<String>,
    admins: Vec<String>,
    operators: Vec<String>,
    /// By hash: what was a token is not kept.
    verified: Aging<[u8; 32], Verified>,
    clock: Clock,
}

#[derive(Clone)]
struct Verified {
    caller: Arc<Caller>,
    /// In seconds.
    until: i64,
}

/// Why a token is not accepted.
pub(super) enum NoToken {
    /// With a sentence about it.
    Refused(&'static str),
    /// With what the log is told.
    Away(String),
}

impl Tokens {
    /// Those of all issuers in the settings; none without any.
    ///
    /// # Errors
    /// A sentence, when this machine can't have an HTTPS client.
    pub(super) fn new(settings: &AuthSettings, clock: &Clock, lifecycle: &Lifecycle) -> Result<Option<Self>, String> {
        let mut wanted = Vec::new();
        let mut google = settings.google_audiences.clone();
        for other in &settings.oidc {
            if GOOGLE_ISSUERS.contains(&other.issuer.as_str()) {
                google.extend(other.audiences.iter().cloned());
                continue;
            }
            let (issuers, audiences) = (vec![other.issuer.clone()], other.audiences.clone());
            let keys = KeySource::Discovered(other.issuer.clone());
            wanted.push(TokenSettings { issuers, audiences, keys, policy: KeyPolicy::default() });
        }
        if !google.is_empty() {
            let url = match &settings.google_jwks_url {
                Some(url) => url.clone(),
                None => GOOGLE_JWKS_URL.parse().map_err(|error| format!("{GOOGLE_JWKS_URL}: {error}"))?,
            };
            let issuers = GOOGLE_ISSUERS.map(str::to_owned).into();
            let (keys, policy) = (KeySource::At(url), KeyPolicy::default());
            wanted.push(TokenSettings { issuers, audiences: google, keys, policy });
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let verifier = |settings| TokenVerifier::new(settings, clock.clone(), lifecycle.clone());
        Ok(Some(Self {
            issuers: wanted.into_iter().map(verifier).collect::<Result<_, _>>()?,
            google_accounts: settings.google_accounts.clone(),
            admins: settings.admins.clone(),
            operators: settings.operators.clone(),
            verified: Aging::new(MOST_TOKENS),
            clock: clock.clone(),
        }))
    }

    /// Whose the token is.
    pub(super) async fn check(&self, token: &str) -> Result<Caller, NoToken> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = self.clock.now().timestamp();
        if let Some(Verified { caller, until }) = self.verified.get(&hash) {
            if now < until {
                return Ok(Caller::clone(&caller));
            }
            self.verified.remove(&hash);
        }
        let issuer = issuer_of(token).ok_or(NoToken::Refused("the credential is neither a key nor a token."))?;
        let verifier = self.issuers.iter().find(|verifier| verifier.is_for(&issuer));
        let verifier = verifier.ok_or(NoToken::Refused("tokens of this issuer are not accepted."))?;
        let claims = verifier.verify(token).await.map_err(|refusal| match refusal {
            Refusal::Invalid(cause) => {
                debug!(cause, "a token is refused");
                NoToken::Refused("the token is not valid, not meant for this service, or its time is over.")
            }
            Refusal::KeysAway(cause) => NoToken::Away(format!("the keys of an issuer can't be had: {cause}")),
        })?;
        if claims.sub.is_empty() || claims.sub.len() > LONGEST_SUBJECT || claims.sub.contains(char::is_control) {
            return Err(NoToken::Refused("the token does not say whose it is."));
        }
        let user = UserId::new(format!("{}|{}", verifier.issuer(), claims.sub));
        let is_googles = GOOGLE_ISSUERS.contains(&verifier.issuer());
        if is_googles && !self.google_accounts.is_empty() && !names(&self.google_accounts, &user, &claims) {
            return Err(NoToken::Refused("this Google account is none of those that are let in."));
        }
        let caller = Caller { role: self.role(&user, &claims), user, key: None };
        let kept = Verified { caller: Arc::new(caller.clone()), until: claims.exp };
        self.verified.insert(hash, kept);
        Ok(caller)
    }

    /// By the settings' lists alone: what a token says of roles is for others.
    fn role(&self, user: &UserId, claims: &Claims) -> Role {
        if names(&self.admins, user, claims) {
            Role::Admin
        } else if names(&self.operators, user, claims) {
            Role::Operator
        } else {
            Role::User
        }
    }
}

/// Whether a list has this user, by its id or by an e-mail that the issuer has verified.
fn names(list: &[String], user: &UserId, claims: &Claims) -> bool {
    let email = Some(claims.email.as_str()).filter(|email| claims.email_verified && !email.is_empty());
    list.iter().any(|one| one == user.as_str() || email.is_some_and(|email| one.eq_ignore_ascii_case(email)))
}
