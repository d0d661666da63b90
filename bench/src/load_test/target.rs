//! Whom a load test may load.

use std::net::IpAddr;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use crate::Fallible;

/// The variables with credentials; command lines can be read by everyone on the machine, and stay in its history.
pub const API_KEY: &str = "PARLANCE_API_KEY";
/// For a gateway in front, or instead of a key.
pub const BEARER_TOKEN: &str = "PARLANCE_BEARER_TOKEN";

/// An address that may be loaded, with what is needed to call it.
#[derive(Clone, Debug)]
pub struct Target {
    url: Url,
    headers: HeaderMap,
}

impl Target {
    /// `url`: where `/v1/…` begins. `consent`: the host, if that is another machine. `variable`: the environment.
    ///
    /// # Errors
    /// When the address can't be used, nobody said that it may, or a credential would go over the network unencrypted.
    pub fn new(url: &str, consent: Option<&str>, variable: &dyn Fn(&str) -> Option<String>) -> Fallible<Self> {
        let mut url: Url = url.parse().map_err(|error| format!("--url: {error}"))?;
        let host = url.host().ok_or("--url: has no host")?.to_owned();
        if !matches!(url.scheme(), "http" | "https") {
            return Err("--url: begins with http:// or https://".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("--url: credentials come as {API_KEY} or {BEARER_TOKEN}, not in the address").into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("--url: ends before any ? or #".into());
        }
        let is_here = is_loopback(&host);
        if !is_here && consent != Some(host.to_string().as_str()) {
            let sentence =
                "is another machine; a load test costs whoever runs it money and may keep others out. If you may:";
            return Err(format!("{host} {sentence} --yes-i-may-load {host}").into());
        }
        let headers = credentials(variable)?;
        if !is_here && url.scheme() == "http" && !headers.is_empty() {
            return Err("--url: a credential goes to another machine by https:// only".into());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self { url, headers })
    }

    /// Where it is, ended by a slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What each call carries.
    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// Whether it is this machine: no proxy is asked for it then.
    pub(super) fn is_loopback(&self) -> bool {
        self.url.host().is_some_and(|host| is_loopback(&host.to_owned()))
    }
}

fn credentials(variable: &dyn Fn(&str) -> Option<String>) -> Fallible<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, from: &str, before: &str| -> Fallible<()> {
        if let Some(text) = variable(from).filter(|text| !text.trim().is_empty()) {
            let value = HeaderValue::from_str(&format!("{before}{}", text.trim()));
            let mut value = value.map_err(|_| format!("{from}: is no text that a header can carry"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(())
    };
    put(HeaderName::from_static("x-api-key"), API_KEY, "")?;
    put(AUTHORIZATION, BEARER_TOKEN, "Bearer ")?;
    Ok(headers)
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
        Host::Domain(name) => name == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, consent: Option<&str>, variables: &[(&str, &str)]) -> Result<Target, String> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Target::new(url, consent, &variable).map_err(|error| error.to_string())
    }

    #[test]
    fn another_machine_is_loaded_only_when_it_is_named_twice() {
        for here in
            ["http://localhost:8080", "http://127.0.0.1:1/api", "http://[::1]:8080/", "http://[::ffff:127.0.0.1]/"]
        {
            assert!(target(here, None, &[]).is_ok(), "{here}");
        }
        for there in
            ["https://app.example.com", "http://10.0.0.1:8080", "http://127.0.0.1.example.com", "http://0.0.0.0"]
        {
            let refused = target(there, None, &[]).unwrap_err();
            assert!(refused.contains("--yes-i-may-load"), "{refused}");
            assert!(target(there, Some("example.com"), &[]).is_err(), "{there}");
        }
        assert!(target("https://app.example.com/api", Some("app.example.com"), &[]).is_ok());
        assert!(target("http://10.0.0.1:8080", Some("10.0.0.1"), &[]).is_ok());
    }

    #[test]
    fn credentials_come_from_the_environment_go_encrypted_and_are_never_shown() {
        let key = [(API_KEY, " plk_secret ")];
        let refused = target("http://app.example.com", Some("app.example.com"), &key).unwrap_err();
        assert!(refused.contains("https") && !refused.contains("plk_secret"), "{refused}");
        let both = target("https://a.example", Some("a.example"), &[key[0], (BEARER_TOKEN, "secret")]).unwrap();
        assert_eq!(
            (&both.headers["x-api-key"], &both.headers["authorization"]),
            (&HeaderValue::from_static("plk_secret"), &HeaderValue::from_static("Bearer secret"),)
        );
        assert!(!format!("{both:?}").contains("secret"), "{both:?}");
        let broken = target("http://localhost", None, &[(API_KEY, "a\nsecret")]).unwrap_err();
        assert!(broken.contains(API_KEY) && !broken.contains("secret"), "{broken}");
    }

    #[test]
    fn addresses_that_mean_something_else_are_refused() {
        for wrong in [
            "localhost:8080",
            "ftp://localhost",
            "http://u:p@localhost",
            "http://localhost?a=b",
            "http://localhost#a",
            "x",
        ] {
            assert!(target(wrong, Some("localhost"), &[]).is_err(), "{wrong}");
        }
        assert_eq!(target("http://localhost/api", None, &[]).unwrap().url().as_str(), "http://localhost/api/");
    }
}
