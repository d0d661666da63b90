//! Calls that use an operator's rights go to the audit log, beside the call: a database that is slow, full or away makes none
//! of them wait, and what can't be stored stands in the process' log.
//!
//! A reader that comes every few seconds, as whoever collects metrics does, is noted once in ten minutes.

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    CallId, Caller, Clock, Lifecycle,
    port::audit::{Audit, AuditEntry},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, timeout},
};
use tracing::{info, warn};

use super::aging::Aging;

/// Entries that wait to be written.
const WAITING: usize = 256;
/// One entry.
const WRITE: Duration = Duration::from_secs(5);
/// At a stop, for all that wait.
const LAST: Duration = Duration::from_secs(2);
/// The same call of the same caller with the same answer.
const AGAIN: Duration = Duration::from_secs(600);
const MOST_RECENT: usize = 1_000;

pub(super) struct AuditTrail {
    entries: mpsc::Sender<AuditEntry>,
    recent: Aging<(String, String, u16), Instant>,
    clock: Clock,
}

impl AuditTrail {
    pub(super) fn start(audit: Arc<dyn Audit>, clock: Clock, lifecycle: &Lifecycle) -> Self {
        let (entries, waiting) = mpsc::channel(WAITING);
        lifecycle.spawn(write_all(audit, waiting, lifecycle.clone()));
        Self { entries, recent: Aging::new(MOST_RECENT), clock }
    }

    pub(super) fn note(&self, call: CallId, caller: &Caller, client: Option<String>, action: String, status: u16) {
        let same = (caller.user.as_str().to_owned(), action.clone(), status);
        if self.recent.get(&same).is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.recent.insert(same, Instant::now());
        let entry = AuditEntry {
            id: call.to_string(),
            at: self.clock.now(),
            actor: caller.user.as_str().to_owned(),
            role: caller.role.as_str().to_owned(),
            key_id: caller.key.as_ref().map(|key| key.id.to_string()),
            client,
            action,
            target: None,
            status: Some(status),
        };
        if let Err(TrySendError::Full(entry) | TrySendError::Closed(entry)) = self.entries.try_send(entry) {
            log_instead(&entry, "too many wait");
        }
    }
}

async fn write_all(audit: Arc<dyn Audit>, mut waiting: mpsc::Receiver<AuditEntry>, lifecycle: Lifecycle) {
    loop {
        let entry = tokio::select! {
            biased;
            () = lifecycle.stopping().cancelled() => break,
            entry = waiting.recv() => entry,
        };
        let Some(entry) = entry else { return };
        write(&*audit, &entry, WRITE).await;
    }
    let deadline = Instant::now() + LAST;
    while let Ok(entry) = waiting.try_recv() {
        write(&*audit, &entry, deadline.saturating_duration_since(Instant::now())).await;
    }
}

async fn write(audit: &dyn Audit, entry: &AuditEntry, limit: Duration) {
    match timeout(limit, audit.note(entry)).await {
        Ok(Ok(())) => info!(audit.actor = entry.actor, audit.action = entry.action, "an operator's call"),
        Ok(Err(error)) => log_instead(entry, &error.to_string()),
        Err(_) => log_instead(entry, "no answer in time"),
    }
}

fn log_instead(entry: &AuditEntry, cause: &str) {
    let AuditEntry { id, actor, role, action, status, .. } = entry;
    warn!(
        audit.id = id,
        audit.actor = actor,
        audit.role = role,
        audit.action = action,
        audit.status = status,
        audit.key = entry.key_id,
        audit.client = entry.client,
        cause,
        "an operator's call could not be put into the audit log; this line is all there is of it"
    );
}
