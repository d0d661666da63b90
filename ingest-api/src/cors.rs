//! Which pages of other origins may read the answers, and which may call at all.
//!
//! Not tower-http's layer: it answers every OPTIONS request as a preflight, and lets calls of foreign origins through to the
//! handlers, only without the headers. Where callers prove who they are by a header, that is all right. A process that asks
//! for no credential must not act for whatever page its user happens to visit, so there a call of a foreign origin that could
//! change something is refused; "open" means the pages that this machine itself serves.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use parlance_shared::settings::Environment;

use crate::problem::{Code, Problem};

/// Browsers ask again after this many seconds; they allow no more than two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
/// What our own clients and those of OpenAI send; what is asked for beyond it is allowed as well.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, last-event-id, x-api-key, x-user-id, openai-organization, \
     openai-project, x-stainless-arch, x-stainless-lang, x-stainless-os, x-stainless-package-version, \
     x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "location, retry-after, ratelimit, ratelimit-policy, www-authenticate, allow, x-call-id, x-trace-id, x-request-id, \
     x-should-retry, x-vercel-ai-ui-message-stream, deprecation, link",
);
const VARY: HeaderValue = HeaderValue::from_static("origin");
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");
const ASKS_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
/// A list that is longer is answered with ours.
const LONGEST_LIST: usize = 1024;

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origins {
    allowed: Allowed,
    /// Callers prove who they are.
    identified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// No other origin.
    None,
    /// Pages that this machine serves.
    Loopback,
    /// All.
    Any,
    /// These.
    Listed(Vec<String>),
}

/// What a request's origin means for its answer.
#[derive(Debug)]
pub(crate) enum Crossing {
    /// There is nothing to say.
    Plain,
    /// A page may read it.
    Allowed(HeaderValue),
    /// A page may not.
    Foreign,
}

impl Origins {
    /// The listed origins; without a list, all in development as far as that is safe, and none in production.
    pub(crate) fn new(listed: Option<&[String]>, environment: Environment, identified: bool) -> Self {
        let allowed = match (listed, environment) {
            (Some(listed), _) => Allowed::Listed(listed.to_vec()),
            (None, Environment::Production) => Allowed::None,
            (None, Environment::Development) if identified => Allowed::Any,
            (None, Environment::Development) => Allowed::Loopback,
        };
        Self { allowed, identified }
    }

    /// Judges a request: what its answer must carry, or the answer itself to a preflight or a call that must not be made.
    pub(crate) fn judge(&self, request: &Request) -> Result<Crossing, Box<Response>> {
        let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(Crossing::Plain) };
        let allowed = self.allows(origin);
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() == Method::OPTIONS && asked.is_some() {
            let answer = if allowed { preflight(origin, request.headers()) } else { refused().into_response() };
            return Err(Box::new(answer));
        }
        if allowed {
            return Ok(Crossing::Allowed(origin.clone()));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        // Our own pages name their origin as well.
        if !self.identified && !reads && !is_loopback(origin) {
            return Err(Box::new(refused().into_response()));
        }
        Ok(Crossing::Foreign)
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.allowed {
            Allowed::None => false,
            Allowed::Loopback => is_loopback(origin),
            Allowed::Any => true,
            Allowed::Listed(listed) => listed.iter().any(|listed| listed.as_bytes() == origin.as_bytes()),
        }
    }
}

impl Crossing {
    /// Says it in the answer's headers.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        match self {
            Self::Plain => {}
            Self::Foreign => {
                headers.append(header::VARY, VARY);
            }
            Self::Allowed(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                headers.append(header::VARY, VARY);
            }
        }
    }
}

fn preflight(origin: &HeaderValue, asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(asked));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(header::VARY, VARY_PREFLIGHT);
    if asked.contains_key(ASKS_PRIVATE_NETWORK) {
        headers.insert(ALLOWS_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    response
}

/// What is asked for, where that is a list of names: SDKs add headers of their own with every version.
fn allowed_headers(asked: &HeaderMap) -> HeaderValue {
    let asked = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let is_name = |name: &[u8]| HeaderName::from_bytes(name.trim_ascii()).is_ok();
    let asked = asked.filter(|list| list.len() <= LONGEST_LIST && list.as_bytes().split(|b| *b == b',').all(is_name));
    asked.cloned().unwrap_or(HEADERS)
}

fn refused() -> Problem {
    let detail = "pages of this origin may not call; CORS_ORIGINS lists those that may.";
    Problem::with_field("Origin", Code::OriginNotAllowed, detail, &[])
}

/// Whether a page was served by this machine, at any port.
fn is_loopback(origin: &HeaderValue) -> bool {
    let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let Some(uri) = uri else { return false };
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let host = uri.host().unwrap_or_default();
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    is_web
        && plain
        && (host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn judged(origins: &Origins, method: &str, origin: &str) -> &'static str {
        let request = Request::builder().method(method).uri("/v1/messages").header("origin", origin);
        match origins.judge(&request.body(Body::empty()).unwrap()) {
            Ok(Crossing::Allowed(_)) => "read",
            Ok(Crossing::Foreign) => "unread",
            Ok(Crossing::Plain) => "plain",
            Err(answer) if answer.status() == 403 => "refused",
            Err(_) => "answered",
        }
    }

    #[test]
    fn each_mode_lets_through_what_it_should() {
        use Environment::{Development, Production};
        let listed = ["https://app.example.com".to_owned()];
        let app = "https://app.example.com";
        let (here, evil) = ("http://localhost:5173", "https://evil.example");
        // Listed or not, where, with identity: what a POST of the app, of this machine and of a stranger comes to.
        for (listed, environment, identified, expected) in [
            (None, Development, false, ["refused", "read", "refused"]),
            (None, Development, true, ["read", "read", "read"]),
            (None, Production, true, ["unread", "unread", "unread"]),
            (Some(&listed[..]), Production, true, ["read", "unread", "unread"]),
            (Some(&listed[..]), Development, true, ["read", "unread", "unread"]),
            (Some(&listed[..]), Development, false, ["read", "unread", "refused"]),
            (Some(&[][..]), Development, false, ["refused", "unread", "refused"]),
        ] {
            let origins = Origins::new(listed, environment, identified);
            assert_eq!([app, here, evil].map(|origin| judged(&origins, "POST", origin)), expected, "{origins:?}");
        }
    }

    #[test]
    fn a_stranger_may_look_but_not_touch_and_odd_origins_are_strangers() {
        let open = Origins::new(None, Environment::Development, false);
        for origin in [
            "https://evil.example",
            "null",
            "file://",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://evil@localhost",
            "chrome-extension://localhost",
            "http://0.0.0.0:8080",
            "localhost",
            "",
        ] {
            assert_eq!(judged(&open, "POST", origin), "refused", "{origin:?}");
            assert_eq!(judged(&open, "DELETE", origin), "refused", "{origin:?}");
            assert_eq!(judged(&open, "GET", origin), "unread", "{origin:?}");
        }
        for origin in [
            "http://localhost",
            "https://localhost:1",
            "http://127.0.0.1:8080",
            "http://[::1]:3",
            "http://a.localhost:1",
        ] {
            assert_eq!(judged(&open, "POST", origin), "read", "{origin:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_allowed_within_bounds() {
        let allowed = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_str(text).unwrap());
            allowed_headers(&headers)
        };
        assert_eq!(allowed("x-stainless-new, authorization"), "x-stainless-new, authorization");
        assert_eq!(allowed("bad name"), HEADERS);
        assert_eq!(allowed(&"x,".repeat(1_000)), HEADERS);
        assert_eq!(allowed_headers(&HeaderMap::new()), HEADERS);
    }
}
