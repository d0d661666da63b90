//! The one connection of a process that listens. Whatever was sent while it was away is lost, so after each connection
//! all that the process holds or reads is looked up; and a connection that died without a word is found by asking, while
//! there is anything to be told of.

use std::{sync::Arc, time::Duration};

use parlance_shared::{Lifecycle, TaskId, port::PortError};
use sqlx::{Executor as _, PgConnection, postgres::PgListener};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    facts::{Flushed, LOG_CHANNEL, Notice, TURNS_CHANNEL},
    held::HeldClaims,
    inbox::Inbox,
    options::RetryWait,
    registry::Registry,
};
use crate::{Database, circuits::CIRCUITS_CHANNEL};

/// After so long without a notification the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(2);

/// Who is to be told.
pub(crate) struct Listener {
    pub(crate) database: Database,
    /// This process, by which its own notices are known.
    pub(crate) process: Uuid,
    pub(crate) claims: Option<Arc<HeldClaims>>,
    pub(crate) readers: Option<(Arc<Registry>, Arc<Inbox>)>,
    /// Fires when there is something to be told of after a time without.
    pub(crate) busy: Arc<Notify>,
    /// Fires when the rows of circuits may have changed.
    pub(crate) circuit_news: Arc<Notify>,
}

impl Listener {
    /// Runs until the process stops, holds no claim and nobody reads.
    pub(crate) async fn run(self, lifecycle: Lifecycle) {
        let all_told = async {
            lifecycle.stopping().cancelled().await;
            if let Some(claims) = &self.claims {
                claims.none().await;
            }
            if let Some((registry, _)) = &self.readers {
                registry.none().await;
            }
        };
        tokio::select! {
            () = lifecycle.aborting().cancelled() => {}
            () = all_told => {}
            () = self.listen_for_ever() => {}
        }
    }

    async fn listen_for_ever(&self) {
        let mut wait = RetryWait::new();
        let mut is_away = false;
        loop {
            let error = match self.listen().await {
                Ok(mut listener) => {
                    wait.reset();
                    if std::mem::take(&mut is_away) {
                        info!("listening to the database again");
                    }
                    self.pass_on(&mut listener).await
                }
                Err(error) => error.to_string(),
            };
            if !std::mem::replace(&mut is_away, true) {
                warn!(error, "not listening to the database: news wait until it is back");
            }
            sleep(wait.next()).await;
        }
    }

    async fn listen(&self) -> Result<PgListener, PortError> {
        let mut channels = vec![TURNS_CHANNEL];
        channels.extend(self.readers.is_some().then_some(LOG_CHANNEL));
        channels.extend(self.claims.is_some().then_some(CIRCUITS_CHANNEL));
        let mut listener = self.database.listen(&channels).await?;
        // A connection that broke is noticed here, and everything looked up.
        listener.eager_reconnect(false);
        Ok(listener)
    }

    /// Ends with the connection; says why.
    async fn pass_on(&self, listener: &mut PgListener) -> String {
        if let Some((_, inbox)) = &self.readers {
            inbox.resync();
        }
        self.circuit_news.notify_one();
        let review = async {
            if let Some(claims) = &self.claims {
                self.review(claims).await;
            }
            // Done; from here on the others decide.
            std::future::pending::<()>().await;
        };
        tokio::pin!(review);
        loop {
            let notified = tokio::select! {
                notified = listener.try_recv() => notified,
                () = &mut review => continue,
                () = self.busy.notified() => match self.ask(listener).await {
                    Some(error) => return error,
                    None => continue,
                },
                () = sleep(QUIET) => match self.ask(listener).await {
                    Some(error) => return error,
                    None => continue,
                },
            };
            match notified {
                Ok(Some(notification)) => self.tell(notification.channel(), notification.payload()),
                Ok(None) => return "the connection was cut".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.claims.as_ref().is_some_and(|claims| claims.count() > 0)
            || self.readers.as_ref().is_some_and(|(registry, _)| registry.readers() > 0)
    }

    async fn ask(&self, listener: &mut PgListener) -> Option<String> {
        if !self.is_busy() {
            return None;
        }
        match timeout(PING, listener.execute("SELECT 1")).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the server does not answer".to_owned()),
        }
    }

    fn tell(&self, channel: &str, payload: &str) {
        if channel == CIRCUITS_CHANNEL {
            self.circuit_news.notify_one();
            return;
        }
        if channel == LOG_CHANNEL {
            if let (Some((_, inbox)), Ok(flushed)) = (&self.readers, payload.parse::<Flushed>()) {
                inbox.flushed(flushed);
            }
            return;
        }
        let Ok(notice) = payload.parse::<Notice>() else {
            debug!("a notice of another version");
            return;
        };
        if let Some(claims) = &self.claims {
            match &notice {
                Notice::Taken { task, attempt, process, .. } if *process != self.process => {
                    claims.taken_over(*task, *attempt);
                }
                Notice::Cancel(task) => claims.cancel(*task),
                Notice::Taken { .. } | Notice::Changed(_) => {}
            }
        }
        if let Some((registry, inbox)) = &self.readers {
            match &notice {
                Notice::Taken { task, attempt, reason, .. } => {
                    if let Some(live) = registry.find(*task) {
                        live.begin(*attempt, reason);
                    }
                }
                Notice::Changed(task) if registry.find(*task).is_some() => inbox.load(*task),
                Notice::Cancel(_) | Notice::Changed(_) => {}
            }
        }
    }

    /// What may have happened to claims while nobody listened.
    async fn review(&self, claims: &HeldClaims) {
        let held = claims.all();
        if held.is_empty() {
            return;
        }
        let ids: Vec<String> = held.iter().map(|stream| stream.task.to_string()).collect();
        let seen = self.database.run(&ids, |connection, ids| Box::pin(look_up(connection, ids))).await;
        // Heartbeats and the text's own rows find out as well, a little later.
        let Ok(seen) = seen else { return };
        for row in seen {
            let Ok(task) = row.task_id.parse::<TaskId>() else { continue };
            if row.stop {
                claims.cancel(task);
            }
            let ours = held.iter().find(|stream| stream.task == task);
            let Some(ours) = ours else { continue };
            if row.attempt != i64::from(ours.attempt) || row.worker.as_deref() != Some(&ours.worker.0) {
                claims.lose(task, ours.attempt);
            }
        }
    }
}

struct Seen {
    task_id: String,
    attempt: i64,
    worker: Option<String>,
    stop: bool,
}

async fn look_up(connection: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<Seen>> {
    sqlx::query_as!(
        Seen,
        r#"SELECT task_id, attempt, worker, cancel_requested_at IS NOT NULL OR session_deleted AS "stop!"
           FROM turns WHERE task_id = ANY($1)"#,
        ids
    )
    .fetch_all(connection)
    .await
}
