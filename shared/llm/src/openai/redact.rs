//! Keeps secrets out of logs. Providers repeat keys in their errors ("Incorrect API key provided: …").

use std::{fmt, sync::Arc};

use url::Url;

/// The longest detail that an error carries.
const MAX_DETAIL_CHARS: usize = 400;

/// Shorter values of a query are words such as `v1`, no secrets.
const SHORTEST_QUERY_SECRET: usize = 8;
/// So much of a secret may show: a text that was cut may end within one.
const HARMLESS_BYTES: usize = 3;

/// Replaces what must not be logged.
#[derive(Clone)]
pub(super) struct Redactor(Arc<[String]>);

impl Redactor {
    /// Knows the key, and what a URL holds besides the address: a password, a query.
    pub(super) fn new(key: Option<&str>, base_url: &Url) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        secrets.extend(key.map(str::to_owned));
        secrets.extend(base_url.password().map(str::to_owned));
        let query_values = base_url.query_pairs().map(|(_, value)| value.into_owned());
        secrets.extend(query_values.filter(|value| value.len() >= SHORTEST_QUERY_SECRET));
        secrets.retain(|secret| !secret.is_empty());
        // A secret that is part of another must not break it up before it is found.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets.into())
    }

    /// The text without secrets and control characters, cut to a bounded length.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter() {
            text = text.replace(secret.as_str(), "(redacted)");
            if let Some(cut) = begun_at_end(&text, secret) {
                text.truncate(cut);
            }
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL_CHARS).collect()
    }
}

/// Where the text's end begins to say the secret.
fn begun_at_end(text: &str, secret: &str) -> Option<usize> {
    (HARMLESS_BYTES + 1..secret.len())
        .rev()
        .filter_map(|length| secret.get(..length))
        .find(|begin| text.ends_with(begin))
        .map(|begin| text.len() - begin.len())
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

/// The URL as it may be shown: without user, password, query and fragment.
pub(super) fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_and_length_is_bounded() {
        let url: Url = "https://u:pass-word@h/v1?api-key=qqq-ttt-7&v=1".parse().unwrap();
        let redactor = Redactor::new(Some("sk-123"), &url);
        assert_eq!(redactor.clean("bad key sk-123\n for pass-word"), "bad key (redacted)  for (redacted)");
        assert_eq!(redactor.clean("qqq-ttt-7 1"), "(redacted) 1");
        assert_eq!(redactor.clean("cut off within sk-12"), "cut off within ");
        assert_eq!(redactor.clean(&"x".repeat(10_000)).len(), MAX_DETAIL_CHARS);
        assert_eq!(without_secrets(&url), "https://h/v1");
        assert!(!format!("{redactor:?}").contains("sk-123"));
    }
}
