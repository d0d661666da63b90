//! `parlance keys create`.

use clap::Args;
use parlance_shared::{
    UserId,
    caller::Role,
    key_mint::FreshKey,
    port::keys::{ApiKey, Scope},
    settings::WebhookSettings,
    webhook::Target,
};
use serde::Serialize;

use super::row::Row;
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{print, print_json},
    when::When,
};

const LONGEST_NAME: usize = 200;
const LONGEST_USER: usize = 255;

/// A key to be made.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// What people call it, such as the program that will use it.
    #[arg(long, value_parser = name)]
    name: String,
    /// Whose data it opens. Keys of one user share what they have stored.
    #[arg(long, value_parser = user)]
    user: UserId,
    /// What its holder may do beyond their own conversations: user, operator or admin.
    #[arg(long, default_value = "user", value_parser = role)]
    role: Role,
    /// What it may be used for: chat, act-as-users (for users that it names with each call), both with a comma between them, or
    /// none.
    #[arg(long, default_value = "chat", value_parser = scopes)]
    scopes: Scopes,
    /// From when on it is not accepted: after 12h, 90d or 52w, or at 2026-11-20T08:30:00Z. Never when absent.
    #[arg(long, value_name = "TIME")]
    expires: Option<When>,
    /// Who is told of the ends of tasks that were asked with it: an https URL (WEBHOOK_ALLOW_PRIVATE=on: also http, and hosts of
    /// this network).
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Who does it, for the audit log; the user and the host when absent.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// As they were given.
#[derive(Clone, Debug)]
struct Scopes(Vec<Scope>);

#[derive(Serialize)]
struct Made<'a> {
    action: &'static str,
    key: &'a str,
    #[serde(flatten)]
    row: Row,
}

impl Create {
    pub(super) async fn run(self, operator: &Operator, webhooks: &WebhookSettings) -> Result<bool, Stop> {
        let now = operator.clock.now();
        let expires_at = self.expires.map(|when| match when {
            When::At(at) => at,
            When::Ago(duration) => now + duration,
        });
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Stop::Usage("--expires must be in the future".to_owned()));
        }
        // The end users are named behind it, as an issuer's users are named behind the issuer.
        if self.scopes.0.contains(&Scope::ActAsUsers)
            && (self.user.as_str().contains('|') || self.user.as_str().contains("://"))
        {
            let sentence = "with the scope act-as-users, --user must be a name without | and ://";
            return Err(Stop::Usage(sentence.to_owned()));
        }
        let target = self.webhook_url.as_deref().map(|url| Target::parse(url, webhooks.allow_private)).transpose();
        let target = target.map_err(|error| Stop::Usage(format!("--webhook-url {error}")))?;
        let FreshKey { id, key, hash } = operator.fresh_key().await?;
        let row = ApiKey {
            id,
            name: self.name,
            user: self.user,
            role: self.role,
            scopes: self.scopes.0,
            webhook_url: target.map(|target| target.url().as_str().to_owned()),
            created_at: now,
            expires_at,
            revoked_at: None,
            rotated_to: None,
            last_used_at: None,
        };
        operator.note(self.by.as_deref(), "keys create", Some(row.id.clone())).await;
        in_time(operator.keys.create(&row, &hash)).await?;
        let row = Row::of(row, now);
        if self.json {
            print_json(&Made { action: "create", key: key.expose(), row })?;
        } else {
            print(&format!("{}\n\nThis is the key. It is not shown again.\n{}", key.expose(), row.text()))?;
        }
        Ok(true)
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > LONGEST_NAME || text.contains(char::is_control) {
        return Err(format!("a name of 1 to {LONGEST_NAME} bytes without control characters"));
    }
    Ok(text.to_owned())
}

fn user(text: &str) -> Result<UserId, String> {
    if text.trim() != text || text.is_empty() || text.len() > LONGEST_USER || text.contains(char::is_control) {
        return Err(format!("a name of 1 to {LONGEST_USER} bytes without control characters and spaces around it"));
    }
    Ok(UserId::new(text))
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|()| "user, operator or admin".to_owned())
}

fn scopes(text: &str) -> Result<Scopes, String> {
    if text == "none" {
        return Ok(Scopes(Vec::new()));
    }
    let mut scopes: Vec<Scope> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let scope =
            word.parse().map_err(|()| "chat, act-as-users, both with a comma between them, or none".to_owned())?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(Scopes(scopes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_words_and_nothing_else() {
        assert_eq!(scopes("chat").unwrap().0, [Scope::Chat]);
        assert_eq!(scopes("act-as-users, chat,chat").unwrap().0, [Scope::ActAsUsers, Scope::Chat]);
        assert!(scopes("none").unwrap().0.is_empty());
        for wrong in ["", "chat,", "all", "Chat", "chat none"] {
            assert!(scopes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(user("ann@example.com").is_ok() && name("CI, nightly").is_ok());
        assert!(["", " ann", "a\nb"].iter().all(|text| user(text).is_err()) && name(" ").is_err());
    }
}
