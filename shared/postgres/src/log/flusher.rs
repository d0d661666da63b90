//! Writes segments, one at a time on one connection: what is said while one is under way goes with the next. At once when
//! something is urgent or nothing was flushed lately, else every few milliseconds; while nothing is said, never.

use std::sync::Arc;

use parlance_shared::{Lifecycle, port::PortError};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::{
    flush::Link,
    held::HeldClaims,
    options::{LogOptions, RetryWait},
    outbox::Outbox,
    stats::Counters,
};
use crate::Database;

/// The flusher of a process.
pub(crate) struct Flusher {
    pub(crate) database: Database,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) held: Arc<HeldClaims>,
    pub(crate) options: LogOptions,
    pub(crate) counters: Arc<Counters>,
}

impl Flusher {
    /// Runs until the process stops and no claim is held.
    pub(crate) async fn run(self, lifecycle: Lifecycle) {
        let (stopping, aborting) = (lifecycle.stopping(), lifecycle.aborting());
        let all_said = async {
            stopping.cancelled().await;
            self.held.none().await;
        };
        tokio::select! {
            () = aborting.cancelled() => {}
            () = all_said => {}
            () = self.flush_for_ever() => {}
        }
        self.outbox.close();
    }

    async fn flush_for_ever(&self) {
        let mut link = None;
        let mut wait = RetryWait::new();
        let mut latest = Instant::now();
        let mut is_away = false;
        loop {
            self.until_due(latest).await;
            latest = Instant::now();
            match self.flush(&mut link).await {
                Ok(()) => {
                    if std::mem::take(&mut is_away) {
                        info!("replies reach the log again");
                    }
                    wait.reset();
                }
                Err(error) => {
                    link = None;
                    if !std::mem::replace(&mut is_away, true) {
                        warn!(%error, "replies don't reach the log: they wait in memory");
                    }
                    sleep(wait.next()).await;
                }
            }
        }
    }

    async fn until_due(&self, latest: Instant) {
        loop {
            let changed = self.outbox.changed();
            match self.outbox.due(latest, self.options.flush_every) {
                Some(at) if at <= Instant::now() => return,
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    async fn flush(&self, link: &mut Option<Link>) -> Result<(), PortError> {
        if let Some(open) = link.as_mut()
            && !open.is_alive().await
        {
            *link = None;
        }
        let open = match link {
            Some(open) => open,
            None => {
                let open = link.insert(Link::open(&self.database).await?);
                self.say_all_again();
                open
            }
        };
        let mut batch = self.outbox.take(Instant::now());
        match open.write(&mut batch).await {
            Ok(fenced) => {
                self.counters.flushes.add(usize::from(batch.was_written));
                self.counters.rows_stored.add(batch.rows.len() - fenced.len());
                let store_after = self.options.store_every;
                for (stream, unstored) in &batch.rows {
                    stream.was_stored(unstored.start + unstored.text.len(), &self.outbox, store_after);
                }
                self.outbox.done(&batch);
                fenced.into_iter().for_each(|(task, attempt)| self.held.lose(task, attempt));
                Ok(())
            }
            Err(error) => {
                self.outbox.put_back(batch);
                Err(error)
            }
        }
    }

    /// What a connection that broke had written may not be there: a crash of the database loses the latest commits of the
    /// log, and all segments. Each running reply is stored whole, and readers are told how much they should have.
    fn say_all_again(&self) {
        for stream in self.held.all() {
            stream.store_again(&self.outbox);
            stream.send_again(&self.outbox);
        }
    }
}
