//! Which addresses may be given for a webhook. What a name resolves to is looked at when it is called.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

use super::is_public;

/// The longest address.
pub const MAX_URL_BYTES: usize = 2048;

/// Ends of names that only resolve inside some network.
const LOCAL_ENDS: &[&str] = &["localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain"];

/// An address that may be called, as far as it can be told without asking a name server.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: String,
}

/// Why an address may not be called: a sentence that goes on behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub &'static str);

impl Target {
    /// Reads an address. `allow_private`: plain http, and targets in this network or on this machine, are taken, too.
    ///
    /// # Errors
    /// When it is no such address, or one that is not allowed.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, TargetError> {
        if text.len() > MAX_URL_BYTES {
            return Err(TargetError("is longer than 2048 bytes."));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TargetError("must not contain white space or control characters."));
        }
        let url = Url::parse(text).map_err(|_| TargetError("is no absolute https URL."))?;
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(TargetError("is longer than 2048 bytes once it is encoded."));
        }
        if url.scheme() != "https" && !(allow_private && url.scheme() == "http") {
            return Err(TargetError("must be an https URL."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError("must not hold a user name or password; deliveries are signed."));
        }
        if url.fragment().is_some() {
            return Err(TargetError("must have no fragment (#)."));
        }
        if url.port() == Some(0) {
            return Err(TargetError("must not have port 0."));
        }
        let refused = TargetError("must not be on a private, loopback or link-local address.");
        let host = match url.host() {
            Some(Host::Ipv4(address)) if allow_private || is_public(IpAddr::V4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) if allow_private || is_public(IpAddr::V6(address)) => address.to_string(),
            Some(Host::Domain(name)) if allow_private || !is_local(name) => name.to_owned(),
            Some(_) => return Err(refused),
            None => return Err(TargetError("must name a host.")),
        };
        Ok(Self { url, host })
    }

    /// The address, as it is called.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its host: all of the address that is fit for a log.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The rest of the address may be a secret of the receiver's.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}://{}, rest redacted)", self.url.scheme(), self.host)
    }
}

/// The parser has made it lower-case, and addresses in odd forms (`0x7f.1`, `2130706433`) into addresses.
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ends_in = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    // A name without a dot is looked up in the network's own domain.
    !name.contains('.') || LOCAL_ENDS.iter().any(|end| ends_in(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str, allow_private: bool) -> bool {
        Target::parse(text, allow_private).is_ok()
    }

    #[test]
    fn public_https_addresses_are_taken() {
        for text in [
            "https://hooks.example.com/x?token=1",
            "https://example.com:8443",
            "https://EXAMPLE.com./",
            "https://8.8.8.8/x",
            "https://[2606:4700::1111]/",
            "https://localhost.example.com/",
            "https://internal.example/",
            "https://bücher.example/",
        ] {
            assert!(is_taken(text, false), "{text}");
        }
        assert_eq!(Target::parse("https://a.example/x?secret=1", false).unwrap().host(), "a.example");
    }

    #[test]
    fn others_are_refused() {
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL_BYTES));
        for text in [
            "",
            "example.com",
            "/x",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "https://u:p@example.com/",
            "https://u@example.com/",
            "https://example.com/#x",
            "https://example.com:0/",
            "https://exa mple.com/",
            "https://example.com/\n",
            " https://example.com",
            long.as_str(),
        ] {
            assert!(!is_taken(text, false), "{text}");
            assert!(!is_taken(text, true), "{text}");
        }
    }

    #[test]
    fn private_targets_in_any_form_are_taken_only_where_they_are_allowed() {
        for text in [
            "http://example.com/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://017700000001/",
            "https://127.0.0.1./",
            "https://%31%32%37.0.0.1/",
            "https://１２７.0.0.1/",
            "https://0/",
            "https://0.0.0.0/",
            "https://10.0.0.1/",
            "https://169.254.169.254/computeMetadata/v1/",
            "https://metadata.google.internal/",
            "https://metadata/",
            "https://metadata.google.internal./",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://printer.local/",
            "https://db/",
            "https://100.64.1.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
        ] {
            assert!(!is_taken(text, false), "{text}");
            assert!(is_taken(text, true), "{text}");
        }
    }

    #[test]
    fn nothing_but_the_host_is_shown() {
        let shown = format!("{:?}", Target::parse("https://a.example/path-secret?k=query-secret", false).unwrap());
        assert!(shown.contains("a.example") && !shown.contains("secret"), "{shown}");
    }
}
