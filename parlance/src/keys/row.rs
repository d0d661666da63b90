//! What is shown of a key.

use chrono::{DateTime, Utc};
use parlance_shared::{
    key_mint::KEY_PREFIX,
    port::keys::{ApiKey, KeyState},
};
use serde::Serialize;

use crate::operator::{
    exit::Stop,
    output::{plain, time},
};

/// A key's row, with what it means now.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) key: ApiKey,
    pub(super) state: KeyState,
}

impl Row {
    pub(super) fn of(key: ApiKey, now: DateTime<Utc>) -> Self {
        Self { state: key.state(now), key }
    }

    /// Lines for people, without the key.
    pub(super) fn text(&self) -> String {
        let Self { key, .. } = self;
        let mut text = format!("  id:       {}\n  name:     {}\n", plain(&key.id), plain(&key.name));
        text += &format!("  user:     {}\n  role:     {}\n", plain(key.user.as_str()), key.role.as_str());
        text += &format!("  scopes:   {}\n  expires:  {}\n", self.scopes(), optional(key.expires_at, "never"));
        if let Some(url) = &key.webhook_url {
            text += &format!("  webhook:  {}\n", plain(url));
        }
        text
    }

    pub(super) fn scopes(&self) -> String {
        let words: Vec<&str> = self.key.scopes.iter().map(|scope| scope.as_str()).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(",") }
    }

    pub(super) fn state(&self) -> &'static str {
        match self.state {
            KeyState::Active => "active",
            KeyState::Rotated => "rotated",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        }
    }
}

pub(super) fn optional(at: Option<DateTime<Utc>>, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), time)
}

/// An id as it is given; whoever gives the whole key means its beginning, and should not have.
pub(super) fn id(text: &str) -> Result<&str, Stop> {
    let mut parts = text.strip_prefix(KEY_PREFIX).unwrap_or_default().splitn(2, '_');
    match (parts.next(), parts.next()) {
        (Some(id), None) if !id.is_empty() => Ok(text),
        (Some(_), Some(_)) => {
            let sentence = "give the key's id alone, not the key: it is in the history of your shell now; rotate it";
            Err(Stop::Usage(sentence.to_owned()))
        }
        _ => Err(Stop::Usage(format!("{:?} is no id of a key; `parlance keys list` has them", plain(text)))),
    }
}
