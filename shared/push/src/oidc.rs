//! Who pushes: Pub/Sub and Eventarc sign each request with an OpenID Connect token of the service account that the
//! subscription was told to use.

mod verification;
mod verifier;

pub use self::{
    verification::Verification,
    verifier::{OidcSettings, OidcVerifier},
};
