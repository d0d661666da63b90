//! How callers prove who they are. Without any of it nobody is asked, and only this machine can call.

use url::{Host, Url};

use super::read::Reader;

/// What is accepted of callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// `AUTH_API_KEYS`: keys made by `parlance keys create`.
    pub api_keys: bool,
    /// `AUTH_GOOGLE_AUDIENCES`: Google's identity tokens for one of these; none are accepted when empty.
    pub google_audiences: Vec<String>,
    /// `AUTH_GOOGLE_ACCOUNTS`: users and verified e-mails that are let in by them; everyone when empty.
    pub google_accounts: Vec<String>,
    /// `AUTH_GOOGLE_JWKS_URL`: where Google's keys are, if not at their usual place.
    pub google_jwks_url: Option<Url>,
    /// `AUTH_OIDC`: tokens of these issuers.
    pub oidc: Vec<OidcIssuer>,
    /// `AUTH_ADMINS`: users and verified e-mails.
    pub admins: Vec<String>,
    /// `AUTH_OPERATORS`: users and verified e-mails.
    pub operators: Vec<String>,
}

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIssuer {
    /// As its tokens have it in `iss`, to the letter.
    pub issuer: String,
    /// One of these is in `aud`.
    pub audiences: Vec<String>,
}

impl AuthSettings {
    /// Whether callers have to prove who they are.
    pub fn is_configured(&self) -> bool {
        self.api_keys || !self.google_audiences.is_empty() || !self.oidc.is_empty()
    }
}

/// What turns it on.
pub(super) const AUTH_ACCEPTED: &str = "AUTH_API_KEYS=on, AUTH_GOOGLE_AUDIENCES or AUTH_OIDC";
const OIDC_ACCEPTED: &str = "ISSUER=AUDIENCE, several with commas between them, such as \
                             https://securetoken.google.com/my-project=my-project; an issuer is an https URL (http for \
                             this machine alone), exactly as its tokens name it in `iss`";
const WHO_ACCEPTED: &str = "user ids (ISSUER|SUBJECT) or verified e-mail addresses, with commas between them";

pub(super) fn read_auth(read: &mut Reader<'_>) -> AuthSettings {
    let auth = AuthSettings {
        api_keys: read.choice("AUTH_API_KEYS", &[("on", true), ("off", false)]).unwrap_or(false),
        google_audiences: read.list("AUTH_GOOGLE_AUDIENCES"),
        google_accounts: read_who(read, "AUTH_GOOGLE_ACCOUNTS"),
        google_jwks_url: read.url("AUTH_GOOGLE_JWKS_URL", "an http or https URL of a JSON Web Key Set"),
        oidc: read_issuers(read),
        admins: read_who(read, "AUTH_ADMINS"),
        operators: read_who(read, "AUTH_OPERATORS"),
    };
    let has_tokens = !auth.google_audiences.is_empty() || !auth.oidc.is_empty();
    let lists = [
        ("AUTH_ADMINS", &auth.admins),
        ("AUTH_OPERATORS", &auth.operators),
        ("AUTH_GOOGLE_ACCOUNTS", &auth.google_accounts),
    ];
    for (name, who) in lists {
        if !has_tokens && !who.is_empty() {
            let problem = "is set, but no tokens are accepted that could name them (a key has its own role)".to_owned();
            read.refuse(name, problem, "nothing without AUTH_GOOGLE_AUDIENCES or AUTH_OIDC");
        }
    }
    auth
}

fn read_issuers(read: &mut Reader<'_>) -> Vec<OidcIssuer> {
    let mut issuers: Vec<OidcIssuer> = Vec::new();
    for pair in read.list("AUTH_OIDC") {
        let parts = pair.split_once('=').map(|(issuer, audience)| (issuer.trim(), audience.trim()));
        let Some((issuer, audience)) = parts.filter(|(issuer, audience)| is_issuer(issuer) && !audience.is_empty())
        else {
            read.refuse("AUTH_OIDC", format!("{pair:?} was given"), OIDC_ACCEPTED);
            continue;
        };
        match issuers.iter_mut().find(|known| known.issuer == issuer) {
            Some(known) => known.audiences.push(audience.to_owned()),
            None => issuers.push(OidcIssuer { issuer: issuer.to_owned(), audiences: vec![audience.to_owned()] }),
        }
    }
    issuers
}

fn read_who(read: &mut Reader<'_>, name: &'static str) -> Vec<String> {
    let who = read.list(name);
    for one in &who {
        if !one.contains(['|', '@']) {
            read.refuse(name, format!("{one:?} was given"), WHO_ACCEPTED);
        }
    }
    who
}

/// Whoever can answer in its place can sign in its name, so the way to it is encrypted.
fn is_issuer(issuer: &str) -> bool {
    let Ok(url) = Url::parse(issuer) else { return false };
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_private = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    is_plain && !issuer.contains('|') && (url.scheme() == "https" || url.scheme() == "http" && is_private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read::tests::read;

    #[test]
    fn nothing_means_that_nobody_is_asked() {
        assert!(!read(&[]).unwrap().auth.is_configured());
        assert!(!read(&[("AUTH_API_KEYS", "off")]).unwrap().auth.is_configured());
        for one in [("AUTH_API_KEYS", "on"), ("AUTH_GOOGLE_AUDIENCES", "a"), ("AUTH_OIDC", "https://i.example=a")] {
            assert!(read(&[one]).unwrap().auth.is_configured(), "{one:?}");
        }
    }

    #[test]
    fn an_issuer_may_have_several_audiences() {
        let auth =
            read(&[("AUTH_OIDC", "https://a.example=1, https://b.example/x=2,https://a.example=3")]).unwrap().auth;
        let issuer = |issuer: &str, audiences: &[&str]| OidcIssuer {
            issuer: issuer.into(),
            audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
        };
        assert_eq!(auth.oidc, [issuer("https://a.example", &["1", "3"]), issuer("https://b.example/x", &["2"])]);
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("AUTH_API_KEYS", "yes"),
            ("AUTH_GOOGLE_JWKS_URL", "certs"),
            ("AUTH_OIDC", "https://issuer.example"),
            ("AUTH_OIDC", "https://issuer.example="),
            ("AUTH_OIDC", "issuer.example=a"),
            ("AUTH_OIDC", "http://issuer.example=a"),
            ("AUTH_OIDC", "https://issuer.example/?x=a"),
            ("AUTH_OIDC", "https://user@issuer.example=a"),
            ("AUTH_ADMINS", "me@example.com"),
            ("AUTH_GOOGLE_ACCOUNTS", "me@example.com"),
            ("AUTH_OPERATORS", "https://accounts.google.com|1"),
        ] {
            let errors = read(&[(name, value)]).expect_err(name);
            assert_eq!(errors.0[0].name, name, "{errors}");
        }
        let errors = read(&[("AUTH_OIDC", "https://i.example=a"), ("AUTH_ADMINS", "me")]).expect_err("no address");
        assert_eq!(errors.0[0].name, "AUTH_ADMINS");
        assert!(read(&[("AUTH_OIDC", "http://127.0.0.1:9=a"), ("AUTH_ADMINS", "me@example.com")]).is_ok());
    }
}
