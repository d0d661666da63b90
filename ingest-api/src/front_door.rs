//! What a request passes before a handler sees it, in this order: whether it is meant for us, whether its page may call,
//! whether its address calls too often, whether there is time for it, who calls, and whether they call too often.
//!
//! What is refused early costs little: nothing of the body is read, and only the last two need to know the caller.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use parlance_shared::settings::{Environment, FrontDoorSettings};

use crate::{
    cors::Origins,
    host_check, identity,
    limits::{CallerLimits, ClientAddress, Kind, NOWHERE, Peer, Standing},
    problem::{Code, Problem, Told},
    security_headers,
    state::ApiState,
};

const HEALTH: &str = "/health";
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE, OPTIONS");

/// Everything that is decided at the door.
#[derive(Debug)]
pub struct FrontDoor {
    pub(crate) limits: CallerLimits,
    pub(crate) connections: usize,
    pub(crate) stream_max: Option<Duration>,
    origins: Origins,
    trusted_proxies: u8,
    tls_only: bool,
}

impl FrontDoor {
    /// As set. `identified`: callers prove who they are.
    pub fn new(settings: &FrontDoorSettings, environment: Environment, identified: bool) -> Self {
        Self {
            limits: CallerLimits::new(settings, identified),
            connections: settings.connections,
            stream_max: settings.stream_max,
            origins: Origins::new(settings.cors_origins.as_deref(), environment, identified),
            trusted_proxies: settings.trusted_proxies,
            tls_only: environment == Environment::Production,
        }
    }

    /// Adds what every answer carries.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        security_headers::add(headers, self.tls_only);
    }
}

impl Default for FrontDoor {
    fn default() -> Self {
        Self::new(&FrontDoorSettings::default(), Environment::Development, false)
    }
}

/// Answers a request, from a handler or from before it.
pub(crate) async fn pass(state: &ApiState, request: Request, next: Next) -> Response {
    let crossing = match state.door.origins.judge(&request) {
        Ok(crossing) => crossing,
        Err(answer) => return *answer,
    };
    let mut standing = Standing::default();
    let answer = pass_limits(state, request, next, &mut standing).await;
    let mut response = answer.unwrap_or_else(Problem::into_response);
    if let Some(told) = response.extensions().get::<Told>()
        && (response.status() == StatusCode::TOO_MANY_REQUESTS || told.code == Code::Overloaded)
    {
        state.metrics.calls_refused.inc(told.code.parts().1);
    }
    let headers = response.headers_mut();
    standing.write(headers);
    crossing.mark(headers);
    response
}

async fn pass_limits(
    state: &ApiState,
    request: Request,
    next: Next,
    standing: &mut Standing,
) -> Result<Response, Problem> {
    if !state.identity.is_configured() {
        host_check::check(&request)?;
    }
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return Ok(no_such_method(request.method()));
    }
    let door = &state.door;
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(NOWHERE);
    let address = ClientAddress::of(peer, &parts.headers, door.trusted_proxies);
    parts.extensions.insert(address);
    let is_probe = parts.uri.path().strip_prefix(HEALTH).is_some_and(|rest| rest.is_empty() || rest == "/ready");
    if !is_probe {
        door.limits.count_address(address, standing)?;
        door.limits.let_in(kind(&parts))?;
    }
    let caller = identity::authenticate(state, &parts).await?;
    if let (false, Some(caller)) = (is_probe, &caller) {
        door.limits.count_user(&caller.user, standing)?;
    }
    let watched = identity::Watched::of(state, &parts, caller.as_ref());
    if let Some(caller) = caller {
        parts.extensions.insert(caller);
    }
    let response = next.run(Request::from_parts(parts, body)).await;
    if let Some(watched) = watched {
        identity::note_in_audit(state, &watched, response.status());
    }
    Ok(response)
}

/// Cancelling is the one POST that makes the load less.
fn kind(request: &Parts) -> Kind {
    let begins = request.method == Method::POST && !request.uri.path().ends_with("/cancel");
    if begins { Kind::NewWork } else { Kind::Other }
}

fn no_such_method(method: &Method) -> Response {
    let problem = Problem::new(Code::MethodNotAllowed, format!("Nothing here takes {method}."));
    ([(header::ALLOW, METHODS)], problem).into_response()
}
