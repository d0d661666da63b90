//! Who pushes: Pub/Sub and Eventarc sign each request with an OpenID Connect token of the service account that the
//! subscription was told to use.
//!
//! Not `google-cloud-auth`'s verifier: in 1.18 concurrent first verifications fail, and a token without `email_verified`
//! makes it panic; both are what a cold start under load and a stranger bring. The token is read and its claims are
//! checked by `jsonwebtoken`, with keys that are cached here ([`key_cache`]) and with ring's RSA ([`rs256`]).

mod fetch_keys;
mod key_cache;
mod rs256;
mod verification;
mod verifier;

pub use self::{
    key_cache::KeyPolicy,
    verification::Verification,
    verifier::{GOOGLE_JWKS_URL, OidcSettings, OidcVerifier},
};
