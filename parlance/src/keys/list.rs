//! `parlance keys list`.

use parlance_shared::port::keys::ApiKey;

use super::row::{Row, optional};
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{plain, print, print_json, table, time},
};

const PAGE: u32 = 500;

/// The oldest first.
pub(super) async fn list(operator: &Operator, json: bool) -> Result<bool, Stop> {
    let mut keys: Vec<ApiKey> = Vec::new();
    loop {
        let page = in_time(operator.keys.list(keys.last().map(|key| key.id.as_str()), PAGE)).await?;
        if page.is_empty() {
            break;
        }
        keys.extend(page);
    }
    keys.sort_by_key(|key| key.created_at);
    let now = operator.clock.now();
    let rows: Vec<Row> = keys.into_iter().map(|key| Row::of(key, now)).collect();
    if json {
        print_json(&rows)?;
    } else if rows.is_empty() {
        print("no keys\n")?;
    } else {
        let head = ["ID", "STATE", "NAME", "USER", "ROLE", "SCOPES", "CREATED", "EXPIRES", "LAST USED"];
        print(&table(&head, &rows.iter().map(cells).collect::<Vec<_>>()))?;
    }
    Ok(true)
}

fn cells(row: &Row) -> Vec<String> {
    let key = &row.key;
    vec![
        plain(&key.id),
        row.state().to_owned(),
        plain(&key.name),
        plain(key.user.as_str()),
        key.role.as_str().to_owned(),
        row.scopes(),
        time(key.created_at),
        optional(key.expires_at, "never"),
        optional(key.last_used_at, "never"),
    ]
}
