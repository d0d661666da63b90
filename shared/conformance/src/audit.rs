//! What operators did is listed in order and forgotten by age: what every adapter of [`Audit`] keeps.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parlance_shared::port::audit::{Audit, AuditEntry};
use uuid::Uuid;

/// Long ago, so that nothing else is there.
fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(946_684_800, 0).unwrap()
}

fn entry(at: DateTime<Utc>) -> AuditEntry {
    AuditEntry {
        id: Uuid::now_v7().to_string(),
        at,
        actor: "https://issuer.example|1 \0ä".into(),
        role: "operator".into(),
        key_id: Some("plk_1".into()),
        client: Some("192.0.2.1".into()),
        action: "GET /metrics".into(),
        target: None,
        status: Some(200),
    }
}

/// The oldest first, each once, from any time on; until it is forgotten.
pub async fn entries_come_in_order_and_go_with_age(audit: Arc<dyn Audit>) {
    let mut noted = Vec::new();
    for minutes in [3, 1, 2, 2, 5] {
        let mut entry = entry(begin() + TimeDelta::minutes(minutes));
        if minutes == 5 {
            entry = AuditEntry { key_id: None, client: None, target: Some("plk_2".into()), status: None, ..entry };
        }
        // Told twice, as after an answer that got lost.
        audit.note(&entry).await.unwrap();
        audit.note(&entry).await.unwrap();
        noted.push(entry);
    }
    noted.sort_by_key(|entry| (entry.at, entry.id.clone()));
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = audit.entries(begin(), after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.position());
        listed.extend(page);
        if listed.len() >= noted.len() {
            break;
        }
    }
    assert_eq!(listed[..noted.len()], noted);
    let since = audit.entries(begin() + TimeDelta::minutes(2), None, 3).await.unwrap();
    assert_eq!(since, noted[1..4]);
    audit.forget(begin() + TimeDelta::minutes(3)).await.unwrap();
    assert_eq!(audit.entries(begin(), None, 2).await.unwrap(), noted[3..]);
    audit.forget(begin() + TimeDelta::days(1)).await.unwrap();
}
