//! `parlance keys rotate`.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use parlance_shared::{
    key_mint::FreshKey,
    port::keys::{ApiKey, Rotation},
};
use serde::Serialize;

use super::row::{Row, id, optional};
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{print, print_json},
    when::When,
};

/// Long enough to roll out the new key to all who use the old one.
const OVERLAP: &str = "24h";

/// A key to be rotated.
#[derive(Clone, Debug, Args)]
pub struct Rotate {
    /// The key's id, by which it begins.
    id: String,
    /// How long the old key is still accepted: 0s, 15m, 24h, 7d.
    #[arg(long, value_name = "DURATION", default_value = OVERLAP, value_parser = overlap)]
    overlap: TimeDelta,
    /// From when on the new one is not accepted: after 12h, 90d or 52w, or at a time. When absent it lives as long from now on
    /// as the old one was meant to when it was made.
    #[arg(long, value_name = "TIME")]
    expires: Option<When>,
    /// Who does it, for the audit log; the user and the host when absent.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Rotated<'a> {
    action: &'static str,
    key: &'a str,
    #[serde(flatten)]
    row: Row,
    old: Row,
}

impl Rotate {
    pub(super) async fn run(&self, operator: &Operator) -> Result<bool, Stop> {
        let id = id(&self.id)?;
        let old = in_time(operator.keys.get(id)).await?.ok_or_else(|| unknown(id))?;
        let now = operator.clock.now();
        let FreshKey { id: new_id, key, hash } = operator.fresh_key().await?;
        let new = ApiKey {
            id: new_id,
            created_at: now,
            expires_at: self.expires_at(&old, now)?,
            revoked_at: None,
            rotated_to: None,
            last_used_at: None,
            ..old.clone()
        };
        operator.note(self.by.as_deref(), "keys rotate", Some(format!("{id} to {}", new.id))).await;
        let rotated = in_time(operator.keys.rotate(id, &new, &hash, now + self.overlap)).await?;
        let old = match rotated {
            Rotation::Rotated(old) => Row::of(old, now),
            Rotation::Unknown => return Err(unknown(id)),
            Rotation::NotActive(old) => {
                let row = Row::of(old, now);
                let to = row.key.rotated_to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
                return Err(Stop::Failed(format!("the key {id} is {}{to}; nothing was changed", row.state())));
            }
        };
        let row = Row::of(new, now);
        if self.json {
            print_json(&Rotated { action: "rotate", key: key.expose(), row, old })?;
        } else {
            let until = optional(old.key.expires_at, "never");
            let text = format!("This is the new key. It is not shown again. The old one is accepted until {until}.");
            print(&format!("{}\n\n{text}\n{}", key.expose(), row.text()))?;
        }
        Ok(true)
    }

    fn expires_at(&self, old: &ApiKey, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Stop> {
        let expires_at = match self.expires {
            Some(When::At(at)) => Some(at),
            Some(When::Ago(duration)) => Some(now + duration),
            None => old.expires_at.map(|at| now + (at - old.created_at)),
        };
        match expires_at {
            Some(at) if at <= now => Err(Stop::Usage("--expires must be in the future".to_owned())),
            other => Ok(other),
        }
    }
}

fn unknown(id: &str) -> Stop {
    Stop::Failed(format!("there is no key {id}; `parlance keys list` has them"))
}

fn overlap(text: &str) -> Result<TimeDelta, String> {
    match text.parse() {
        Ok(When::Ago(duration)) => Ok(duration),
        _ => Err("a duration such as 0s, 15m, 24h or 7d".to_owned()),
    }
}
