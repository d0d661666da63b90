//! Answers messages: claims a task, streams the reply from the LLM into the reply log, ends the task and says so.
//!
//! The way of one message: [`consume`] hands it to `dispatch`, `on_message_submitted` claims it, `turn` makes attempts
//! (`prompt` → `attempt` → `retry_decision`), `finish` ends it together with the session's checkpoint, and
//! `publish_reply_completed` tells persist-worker. `lease_loop` holds the claims meanwhile.

mod attempt;
mod dispatch;
mod failure;
mod finish;
mod give_up;
mod interrupt;
mod lease_loop;
mod on_message_submitted;
mod on_session_changed;
mod on_session_deleted;
mod port_call;
mod prompt;
mod publish_reply_completed;
mod quoted;
mod retry_decision;
mod stop;
mod turn;
mod turn_record;
mod unreadable;
mod window;

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    Clock, Lifecycle,
    consume::{ConsumeOptions, Processor, consume},
    metrics::Metrics,
    port::{
        bus::Bus,
        llm::Llm,
        reply_log::ReplyLog,
        turns::{Turns, WorkerId},
    },
    settings::TurnSettings,
    topology,
};

use crate::{dispatch::Dispatch, lease_loop::LeaseLoop};

/// The largest value that `LLM_REPLY_TIMEOUT` takes, and an hour. The provider's adapter bounds each reply and the
/// retry budget bounds their number; this is the backstop behind both, so that no turn ever hangs.
const LONGEST_REPLY: Duration = Duration::from_secs(25 * 3600);

/// What a turn may need beyond its own time to store its end.
const TIME_TO_END: Duration = Duration::from_secs(600);

/// One worker process. All fields are its surroundings; it has no state of its own that outlives [`LlmWorker::run`].
#[derive(Clone)]
pub struct LlmWorker {
    /// Where messages come from and ends of tasks go to.
    pub bus: Arc<dyn Bus>,
    /// Claims, ends and checkpoints.
    pub turns: Arc<dyn Turns>,
    /// Where replies are written.
    pub log: Arc<dyn ReplyLog>,
    /// Who answers.
    pub llm: Arc<dyn Llm>,
    /// Wall-clock time.
    pub clock: Clock,
    /// Attempts, retry budget, concurrency.
    pub settings: TurnSettings,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
    /// Start and stop of the process.
    pub lifecycle: Lifecycle,
    /// Names this process in its claims; another run of the same process is another worker.
    pub worker_id: WorkerId,
}

/// A worker at work: its surroundings, and the claims it holds.
pub(crate) struct Worker {
    pub(crate) parts: LlmWorker,
    pub(crate) leases: Arc<LeaseLoop>,
}

impl Worker {
    fn longest_turn(&self) -> Duration {
        self.parts.settings.retry_budget + LONGEST_REPLY
    }
}

impl LlmWorker {
    /// Answers messages that it pulls until the lifecycle stops; returns when each one it took is answered or handed back.
    pub async fn run(self) {
        let (bus, lifecycle) = (Arc::clone(&self.bus), self.lifecycle.clone());
        consume(bus, self.start(), lifecycle).await;
    }

    /// Starts the heartbeat of its claims and gives what answers messages, for whoever hands them over.
    pub fn start(self) -> Arc<Processor> {
        let leases = Arc::new(LeaseLoop::new(Arc::clone(&self.turns)));
        let (lifecycle, metrics) = (self.lifecycle.clone(), Arc::clone(&self.metrics));
        let concurrency = self.settings.concurrency;
        let worker = Worker { parts: self, leases: Arc::clone(&leases) };
        let options = ConsumeOptions { concurrency, handler_timeout: worker.longest_turn() + TIME_TO_END };
        let (stopping, aborting) = (lifecycle.stopping().clone(), lifecycle.aborting().clone());
        // The heartbeat must go on during the soft stop, for as long as a turn is under way.
        lifecycle.spawn(async move {
            let all_done = async {
                stopping.cancelled().await;
                leases.none_held().await;
            };
            tokio::select! {
                () = aborting.cancelled() => {}
                () = all_done => {}
                () = leases.run() => {}
            }
        });
        Arc::new(Processor {
            subscription: topology::LLM_WORKER,
            handler: Arc::new(Dispatch::new(worker)),
            options,
            metrics,
        })
    }
}
