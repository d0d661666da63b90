//! The HTTP client towards targets that users name.
//!
//! - An address inside the network is never connected to, whatever its name resolved to a moment ago: the client gets its
//!   addresses from a resolver that leaves those out, and connects to what it was given.
//! - Redirects are not followed, and no proxy is asked: either could lead there.
//! - It is made when the first delivery needs it: that takes the machine's certificates, which cost time and memory.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parlance_shared::webhook::is_public;
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

const CONNECT: Duration = Duration::from_secs(5);
/// All of one delivery.
pub(super) const WHOLE: Duration = Duration::from_secs(15);
const MAX_IDLE_PER_HOST: usize = 2;
const IDLE: Duration = Duration::from_secs(30);

pub(super) struct WebhookClient {
    allow_private: bool,
    client: OnceLock<Result<Client, String>>,
}

impl WebhookClient {
    pub(super) fn new(allow_private: bool) -> Self {
        Self { allow_private, client: OnceLock::new() }
    }

    /// The client, or why there can be none.
    pub(super) fn get(&self) -> Result<&Client, &str> {
        self.client.get_or_init(|| build(self.allow_private)).as_ref().map_err(String::as_str)
    }
}

fn build(allow_private: bool) -> Result<Client, String> {
    // Fails when the process has installed a provider of its own, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .https_only(!allow_private)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .pool_idle_timeout(IDLE)
        .user_agent(concat!("parlance-webhooks/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(PublicOnly { allow_private }))
        .build()
        .map_err(|error| chain(&error))
}

/// A name leads to addresses inside the network only.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no public address")]
pub(super) struct NotPublic;

struct PublicOnly {
    allow_private: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(public_of(found, allow_private)?)
        })
    }
}

fn public_of(found: Vec<SocketAddr>, allow_private: bool) -> Result<Addrs, NotPublic> {
    let is_allowed = |address: &SocketAddr| allow_private || is_public(address.ip());
    let allowed: Vec<_> = found.into_iter().filter(is_allowed).collect();
    if allowed.is_empty() { Err(NotPublic) } else { Ok(Box::new(allowed.into_iter())) }
}

/// Whether a call failed because its target is not on the internet.
pub(super) fn is_not_public(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes. Its address is left out, which may hold a secret.
pub(super) fn chain_of(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

fn chain(error: &dyn Error) -> String {
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
    fn private_addresses_are_left_out_of_what_a_name_resolves_to() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = || vec![at("127.0.0.1:0"), at("8.8.8.8:0"), at("[::1]:0"), at("[::ffff:10.0.0.1]:0")];
        assert_eq!(public_of(mixed(), false).unwrap().collect::<Vec<_>>(), [at("8.8.8.8:0")]);
        assert_eq!(public_of(mixed(), true).unwrap().count(), 4);
        assert!(public_of(vec![at("169.254.169.254:0")], false).is_err());
        assert!(public_of(Vec::new(), true).is_err());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_not_called() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = WebhookClient::new(false);
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let error = client.get().unwrap().post(url).send().await.unwrap_err();
        assert!(is_not_public(&error), "{error:?}");
        assert!(!chain_of(error).contains("localhost:"), "the address is told");
        tokio::select! {
            biased;
            _ = listener.accept() => panic!("it was called"),
            () = std::future::ready(()) => {}
        }
    }
}
