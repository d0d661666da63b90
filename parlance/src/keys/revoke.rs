//! `parlance keys revoke`.

use serde::Serialize;

use super::row::{Row, id};
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{print, print_json, time},
};

#[derive(Serialize)]
struct Revoked {
    action: &'static str,
    #[serde(flatten)]
    row: Row,
}

pub(super) async fn revoke(operator: &Operator, given: &str, by: Option<&str>, json: bool) -> Result<bool, Stop> {
    let (id, now) = (id(given)?, operator.clock.now());
    operator.note(by, "keys revoke", Some(id.to_owned())).await;
    let revoked = in_time(operator.keys.revoke(id, now)).await?;
    let key = revoked.ok_or_else(|| Stop::Failed(format!("there is no key {id}; `parlance keys list` has them")))?;
    let at = key.revoked_at.unwrap_or(now);
    if json {
        print_json(&Revoked { action: "revoke", row: Row::of(key, now) })?;
    } else {
        print(&format!("revoked {id} at {}\n", time(at)))?;
    }
    Ok(true)
}
