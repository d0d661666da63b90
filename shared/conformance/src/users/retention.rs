//! Sessions in which nothing has happened for long are deleted, and only those.

use std::{sync::Arc, time::Duration};

use chrono::{SubsecRound as _, TimeDelta};
use parlance_shared::{metrics::Metrics, port::store::Lookup, retention::Janitor};

use super::{Life, Ports, export::export};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn janitor(ports: &Ports, days: u32) -> Janitor {
    Janitor {
        retention: ports.retention.clone(),
        keep_sessions: Some(DAY * days),
        clock: ports.clock.clone(),
        metrics: Arc::new(Metrics::new()),
    }
}

/// By age, as by their owners: no text is left, and none comes back.
pub async fn old_sessions_are_deleted_and_stay_so(ports: Ports) {
    // More than one step's worth.
    let first = Life::lived_by(&ports, &Life::of_anybody(), TimeDelta::days(-400)).await;
    let mut old = Vec::new();
    for n in 0..25 {
        old.push(Life::lived_by(&ports, &first.user, TimeDelta::days(-400) + TimeDelta::minutes(n)).await);
    }
    let recent = Life::lived_by(&ports, &first.user, TimeDelta::days(-10)).await;
    let janitor = janitor(&ports, 365);
    // Turns end by the database's clock, which is now: but they were accepted long ago.
    let swept = janitor.sweep().await.unwrap();
    assert!(swept >= 26, "{swept}");
    assert_eq!(janitor.metrics.sessions_expired.get(), swept);
    for gone in old.iter().chain([&first]) {
        assert_eq!(ports.store.session(&gone.user, gone.session).await.unwrap(), Lookup::Deleted);
        gone.be_recorded(&ports).await;
        assert_eq!(ports.store.session(&gone.user, gone.session).await.unwrap(), Lookup::Deleted);
        let view = ports.turns.task(&gone.user, gone.messages[0].task_id).await.unwrap().unwrap();
        assert!(view.session_deleted && view.task.reply.content.is_empty());
    }
    let kept = serde_json::to_string(&export(&ports, &first.user).await.0).unwrap();
    assert!(old.iter().all(|gone| !kept.contains(&gone.marker)));
    assert!(kept.contains(&recent.marker));
    assert!(matches!(ports.store.session(&recent.user, recent.session).await.unwrap(), Lookup::Found(_)));
    assert_eq!(janitor.sweep().await.unwrap(), 0);
}

/// A late message, a turn under way: the session is not old, also when the record is behind.
pub async fn a_session_in_use_is_kept(ports: Ports) {
    let talks = Life::lived_by(&ports, &Life::of_anybody(), TimeDelta::days(-400)).await;
    let runs = Life::lived_by(&ports, &talks.user, TimeDelta::days(-400)).await;
    let now = ports.clock.now().trunc_subsecs(3);
    ports.store.record_message_submitted(&talks.message(now, None)).await.unwrap();
    let claim = runs.claim(&ports, &runs.message(now, None)).await;
    janitor(&ports, 365).sweep().await.unwrap();
    for kept in [&talks, &runs] {
        assert!(matches!(ports.store.session(&kept.user, kept.session).await.unwrap(), Lookup::Found(_)));
    }
    assert!(!claim.cancelled.is_cancelled());
}
