//! Checks OpenID Connect tokens: whose they are, for whom, whether their time has come and is not over, and that their issuer
//! has signed them.
//!
//! Not `google-cloud-auth`'s verifier: in 1.18 concurrent first verifications fail, and a token without `email_verified`
//! makes it panic; both are what a cold start under load and a stranger bring. The token is read and its claims are
//! checked by `jsonwebtoken`, with keys that are cached here ([`key_cache`]) and with ring's signatures ([`signatures`]).

mod fetch_keys;
mod key_cache;
mod signatures;
mod verifier;

pub use self::{
    fetch_keys::KeySource,
    key_cache::KeyPolicy,
    verifier::{Claims, GOOGLE_ISSUERS, GOOGLE_JWKS_URL, Refusal, TokenSettings, TokenVerifier, issuer_of},
};
