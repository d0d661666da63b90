//! Who calls: the one credential that a request carries is checked by the scheme that it is of, if the settings turn that on.
//!
//! No credential is a 401; one that is not accepted a 403, which says what is wrong with it and in which header it was, but
//! never what it was. What was checked a moment ago is known ([`api_keys`], [`tokens`]).

mod access;
mod act_as;
mod aging;
mod api_keys;
mod audit_trail;
mod credential;
mod tokens;

use std::sync::Arc;

use axum::extract::MatchedPath;
use http::{StatusCode, request::Parts};
use parlance_shared::{
    CallId, Caller, Clock, Lifecycle,
    caller::Role,
    key_mint::KeyMint,
    port::{audit::Audit, keys::Keys, keys::Scope},
    settings::AuthSettings,
};

pub(crate) use self::access::Access;
use self::{
    api_keys::{ApiKeys, NoKey},
    audit_trail::AuditTrail,
    credential::{Credential, Kind},
    tokens::{NoToken, Tokens},
};
use crate::{
    limits::ClientAddress,
    problem::{Code, Problem},
    state::ApiState,
};

/// The schemes by which callers prove who they are.
#[derive(Default)]
pub struct Identity {
    schemes: Option<Schemes>,
}

struct Schemes {
    keys: Option<ApiKeys>,
    tokens: Option<Tokens>,
    trail: AuditTrail,
}

/// What the schemes stand on.
pub struct IdentityPorts {
    /// What checks keys.
    pub keys: Arc<dyn Keys>,
    /// What recognises them.
    pub key_mint: KeyMint,
    /// What operators do is noted here.
    pub audit: Arc<dyn Audit>,
}

impl Identity {
    /// No scheme: every caller is the one local user. For a process that listens on loopback only.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those that the settings turn on.
    ///
    /// # Errors
    /// A sentence, when this machine can't have an HTTPS client.
    pub fn new(
        settings: &AuthSettings,
        ports: IdentityPorts,
        clock: &Clock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, String> {
        if !settings.is_configured() {
            return Ok(Self::none());
        }
        let IdentityPorts { keys, key_mint, audit } = ports;
        let keys = settings.api_keys.then(|| ApiKeys::new(keys, key_mint, clock.clone(), lifecycle.clone()));
        let tokens = Tokens::new(settings, clock, lifecycle)?;
        let trail = AuditTrail::start(audit, clock.clone(), lifecycle);
        Ok(Self { schemes: Some(Schemes { keys, tokens, trail }) })
    }

    /// Whether a request with this head would be let in; for measurements.
    pub async fn admits(&self, request: &Parts) -> bool {
        match &self.schemes {
            Some(schemes) => schemes.check(request, Access::of(request)).await.is_ok(),
            None => true,
        }
    }

    /// Whether callers have to prove who they are.
    pub fn is_configured(&self) -> bool {
        self.schemes.is_some()
    }
}

/// Who calls, or why they are sent away; none for a stranger at a route that is open to all. Called once for each request.
pub(crate) async fn authenticate(state: &ApiState, request: &Parts) -> Result<Option<Caller>, Problem> {
    let Some(schemes) = &state.identity.schemes else {
        act_as::refuse(&request.headers)?;
        return Ok(Some(Caller::local()));
    };
    match Access::of(request) {
        Access::Open => Ok(None),
        // A probe is answered whatever it shows.
        Access::More if !Credential::is_in(&request.headers) => Ok(None),
        Access::More => Ok(schemes.check(request, Access::More).await.ok()),
        access => schemes.check(request, access).await.map(Some),
    }
}

/// Notes the call if it used an operator's rights.
pub(crate) fn note_in_audit(state: &ApiState, call: &Watched, status: StatusCode) {
    if let (Some(schemes), Some(caller)) = (&state.identity.schemes, &call.operator) {
        schemes.trail.note(call.id, caller, call.client.clone(), call.action.clone(), status.as_u16());
    }
}

/// What of a call is noted once it has been answered.
pub(crate) struct Watched {
    operator: Option<Caller>,
    id: CallId,
    client: Option<String>,
    action: String,
}

impl Watched {
    /// None where no rights but a user's are used.
    pub(crate) fn of(state: &ApiState, request: &Parts, caller: Option<&Caller>) -> Option<Self> {
        if !state.identity.is_configured() || Access::of(request) != Access::Operator {
            return None;
        }
        let route = request.extensions.get::<MatchedPath>().map_or("none", MatchedPath::as_str);
        let client = request.extensions.get::<ClientAddress>().map(|address| address.0.to_string());
        let id = *request.extensions.get::<CallId>()?;
        Some(Self { operator: caller.cloned(), id, client, action: format!("{} {route}", request.method) })
    }
}

impl Schemes {
    async fn check(&self, request: &Parts, access: Access) -> Result<Caller, Problem> {
        let credential = Credential::of(&request.headers)?;
        let caller = match credential.kind {
            Kind::Key => self.check_key(&credential, request, access).await?,
            Kind::Token => self.check_token(&credential, request).await?,
        };
        if access == Access::Operator && caller.role < Role::Operator {
            return Err(Problem::new(Code::Forbidden, "Only operators and admins may call this."));
        }
        Ok(caller)
    }

    async fn check_key(&self, credential: &Credential<'_>, request: &Parts, access: Access) -> Result<Caller, Problem> {
        let keys = self.keys.as_ref().ok_or_else(|| credential.refused("API keys are not accepted here."))?;
        let key = keys.check(credential.text).await.map_err(|none| match none {
            NoKey::Unknown => credential.refused("the key is not known here."),
            NoKey::Revoked => credential.refused("the key was revoked."),
            NoKey::Expired => credential.refused("the key has expired."),
            NoKey::Away(error) => away(error.to_string()),
        })?;
        if access == Access::Chat
            && !key.row.scopes.iter().any(|scope| matches!(scope, Scope::Chat | Scope::ActAsUsers))
        {
            return Err(Problem::with_field(
                credential.header,
                Code::Forbidden,
                "the key has not the scope chat.",
                &[],
            ));
        }
        act_as::caller(&key, &request.headers)
    }

    async fn check_token(&self, credential: &Credential<'_>, request: &Parts) -> Result<Caller, Problem> {
        let Some(tokens) = &self.tokens else {
            return Err(credential.refused("the credential is no API key, and tokens are not accepted here."));
        };
        act_as::refuse(&request.headers)?;
        tokens.check(credential.text).await.map_err(|none| match none {
            NoToken::Refused(why) => credential.refused(why),
            NoToken::Away(cause) => away(cause),
        })
    }
}

fn away(cause: String) -> Problem {
    Problem::new(Code::Unavailable, "Who calls can't be checked for the moment. Try again.")
        .retry_after(2)
        .caused_by(cause)
}
