//! How callers of the push endpoint prove who they are, and what those are told who can't.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::verifier::{OidcVerifier, Refusal};
use crate::problem::{Code, Problem};

/// How callers prove who they are.
#[derive(Clone)]
pub enum Verification {
    /// By Google's token in `Authorization: Bearer`.
    Oidc(Arc<OidcVerifier>),
    /// Not at all. For Google's emulator alone, which sends no token; settings refuse it elsewhere.
    Unverified,
}

const DETAIL: &str = "A push carries the token of the service account that its subscription was told to use.";

impl Verification {
    /// Nothing of the request is looked at before.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Self::Oidc(verifier) = self else { return Ok(()) };
        let Some(token) = bearer(headers) else {
            let problem = Problem::new(Code::Unauthenticated, DETAIL).challenge("Bearer");
            return Err(problem.caused_by("there is no bearer token"));
        };
        verifier.verify(token).await.map_err(|refusal| match refusal {
            Refusal::Invalid(cause) => Problem::new(Code::Unauthenticated, DETAIL)
                .challenge("Bearer error=\"invalid_token\"")
                .caused_by(format!("the token is not valid: {cause}")),
            Refusal::OtherIdentity(cause) => {
                Problem::new(Code::Forbidden, DETAIL).caused_by(format!("the token is someone else's: {cause}"))
            }
            Refusal::KeysAway(cause) => Problem::new(Code::Unavailable, "The token can't be checked for the moment.")
                .retry_after(5)
                .caused_by(format!("the token can't be checked: {cause}")),
        })
    }
}

/// Two tokens are none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
