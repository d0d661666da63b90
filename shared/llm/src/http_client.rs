//! The HTTP client towards providers.

use std::time::Duration;

use reqwest::{Client, redirect};
use url::{Host, Url};

/// Idle connections kept for the next request.
const MAX_IDLE_CONNECTIONS: usize = 256;

/// A client for one endpoint.
///
/// - Redirects are not followed: they would carry the conversation to a place nobody configured.
/// - There is no client-wide total timeout: a stream lives as long as its own deadlines say.
/// - An `http` endpoint gets no certificates: loading the machine's costs start-up time and memory, and fails on
///   machines that have none.
/// - A loopback endpoint is never asked for through a proxy.
pub(crate) fn build(endpoint: &Url, connect_timeout: Duration) -> Result<Client, String> {
    // Fails when the process has installed a provider of its own, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .user_agent(concat!("parlance/", env!("CARGO_PKG_VERSION")));
    if endpoint.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| chain(&error))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `base` with more path segments; a query stays where it is.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
    Some(url)
}

/// An error with its causes. URLs are left out: they may hold secrets.
pub(crate) fn chain_of(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_grows_below_the_base_and_the_query_stays() {
        for (base, expected) in [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h", "http://h/chat/completions"),
            (
                "https://h/openai/deployments/d?api-version=1",
                "https://h/openai/deployments/d/chat/completions?api-version=1",
            ),
        ] {
            let url = below(&base.parse().unwrap(), &["chat", "completions"]).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }
}
