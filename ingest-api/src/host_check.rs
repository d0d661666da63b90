//! Without credentials, the only thing between a web page and the API is that browsers name the host they were sent to:
//! a page that rebinds its own name to 127.0.0.1 still says its own name.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use http::{header, uri::Authority};

use crate::problem::{Code, Problem};

const ACCEPTED: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// Refuses a request that is meant for another host.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    let mut named = false;
    if let Some(authority) = request.uri().authority() {
        named = true;
        check_authority(authority)?;
    }
    for value in request.headers().get_all(header::HOST) {
        named = true;
        let authority = value.to_str().ok().and_then(|host| host.parse().ok()).ok_or_else(refused)?;
        check_authority(&authority)?;
    }
    if named {
        Ok(())
    } else {
        Err(Problem::with_field("Host", Code::HostMissing, "the header is missing or empty.", ACCEPTED))
    }
}

fn check_authority(authority: &Authority) -> Result<(), Problem> {
    let plain = !authority.as_str().contains('@');
    if plain && is_loopback(authority.host()) { Ok(()) } else { Err(refused()) }
}

fn refused() -> Problem {
    let detail = "this server asks for no credentials, so it answers only calls to this machine by its own names.";
    Problem::with_field("Host", Code::HostNotAllowed, detail, ACCEPTED)
}

fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn taken(host: &str) -> bool {
        check(&Request::builder().uri("/health").header("host", host).body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn only_this_machines_own_names_are_taken() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:8080"] {
            assert!(taken(host), "{host} was refused");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1:8080",
            "0.0.0.0",
            "[::]",
            "evil@localhost",
            "localhost:80:80",
            "[::ffff:127.0.0.1]",
            "2130706433",
        ] {
            assert!(!taken(host), "{host} was taken");
        }
        let absolute = Request::builder().uri("http://example.com/health").header("host", "localhost");
        assert!(check(&absolute.body(Body::empty()).unwrap()).is_err());
        assert!(check(&Request::builder().uri("/health").body(Body::empty()).unwrap()).is_err());
    }
}
