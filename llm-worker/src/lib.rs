//! Answers messages: claims a task, streams the reply from the LLM into the reply log, ends the task and says so.
//!
//! The way of one message: [`consume`] hands it to `dispatch`, `on_message_submitted` claims it, `turn` makes attempts
//! (`prompt` → `attempt` → `retry_decision`), `finish` ends it together with the session's checkpoint, and
//! `publish_reply_completed` tells persist-worker. `lease_loop` holds the claims meanwhile.
//!
//! A session's memory is its checkpoint: the latest turns word for word (`window`) and a summary of what was before. `prompt`
//! shows both to the model. When the window has grown too large, `request_memory` asks for a fold as an event of its own,
//! which `on_summary_requested` answers; `on_heading_requested` finds a new session's heading in the same way.

mod account;
mod ask;
mod attempt;
mod attempt_span;
mod branch;
mod budget;
mod continuation;
mod dispatch;
mod excerpt;
mod failure;
mod finish;
mod fold;
mod give_up;
mod heading;
mod interrupt;
mod lease_loop;
pub mod measure;
mod memory;
mod memory_dispatch;
mod models;
mod on_heading_requested;
mod on_message_submitted;
mod on_session_changed;
mod on_session_deleted;
mod on_summary_requested;
mod port_call;
mod prompt;
mod publish_reply_completed;
mod quoted;
mod request_memory;
mod retry_decision;
mod said;
mod stop;
mod summarise;
mod templates;
mod tokens;
mod too_many;
mod turn;
mod turn_record;
mod unanswered;
mod unreadable;
mod window;

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    Clock, Lifecycle,
    budget::Budgets,
    consume::{ConsumeOptions, Processor, consume},
    event::MessageSubmitted,
    metrics::Metrics,
    port::{
        bus::Bus,
        reply_log::ReplyLog,
        turns::{Turns, WorkerId},
    },
    prices::PriceTable,
    providers::Providers,
    settings::{MemorySettings, TurnSettings},
    topology,
};

use crate::{
    dispatch::Dispatch,
    lease_loop::LeaseLoop,
    memory::{Memory, Room},
    memory_dispatch::MemoryDispatch,
};

/// The largest value that `LLM_REPLY_TIMEOUT` takes, and an hour. The provider's adapter bounds each reply and the
/// retry budget bounds their number; this is the backstop behind both, so that no turn ever hangs.
const LONGEST_REPLY: Duration = Duration::from_secs(25 * 3600);

/// The provider that is no model.
const OFFLINE: &str = "offline";

/// Summaries and headings made at once: few enough to leave the provider to the turns.
const MEMORY_CONCURRENCY: usize = 16;

/// Well above what loading, asking and saving can take.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(480);

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
    pub llm: Arc<Providers>,
    /// Wall-clock time.
    pub clock: Clock,
    /// Attempts, retry budget, concurrency.
    pub settings: TurnSettings,
    /// What a prompt may hold, summaries and headings.
    pub memory: MemorySettings,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
    /// What users may use in a day.
    pub budgets: Budgets,
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
    pub(crate) memory: Memory,
}

impl Worker {
    fn longest_turn(&self) -> Duration {
        self.parts.settings.retry_budget + LONGEST_REPLY
    }

    /// What the model that a message asks for can be sent.
    pub(crate) fn room_for(&self, message: &MessageSubmitted) -> Room {
        message.model.as_deref().map_or_else(|| self.room_of_default_model(), |model| self.memory.room(model))
    }

    /// What the model that our own questions go to can be sent.
    pub(crate) fn room_of_default_model(&self) -> Room {
        self.memory.room(&self.parts.llm.describe().model)
    }

    /// No model is there to be asked anything of our own.
    pub(crate) fn is_offline(&self) -> bool {
        self.parts.llm.describe().provider == OFFLINE
    }
}

impl LlmWorker {
    /// Answers messages that it pulls until the lifecycle stops; returns when each one it took is answered or handed back.
    pub async fn run(self) {
        let (bus, lifecycle) = (Arc::clone(&self.bus), self.lifecycle.clone());
        let [turns, memory] = self.start();
        tokio::join!(
            consume(Arc::clone(&bus), turns, lifecycle.clone()),
            consume(Arc::clone(&bus), memory, lifecycle.clone())
        );
    }

    /// Starts the heartbeat of its claims and gives what answers messages and what keeps memory, for whoever hands them over.
    pub fn start(self) -> [Arc<Processor>; 2] {
        let leases = Arc::new(LeaseLoop::new(Arc::clone(&self.turns)));
        let (lifecycle, metrics) = (self.lifecycle.clone(), Arc::clone(&self.metrics));
        let concurrency = self.settings.concurrency;
        let memory = Memory::new(self.memory);
        let worker = Arc::new(Worker { parts: self, leases: Arc::clone(&leases), memory });
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
        let memory_options =
            ConsumeOptions { concurrency: concurrency.min(MEMORY_CONCURRENCY), handler_timeout: MEMORY_TIMEOUT };
        [
            Arc::new(Processor {
                subscription: topology::LLM_WORKER,
                handler: Arc::new(Dispatch::new(Arc::clone(&worker))),
                options,
                metrics: Arc::clone(&metrics),
            }),
            Arc::new(Processor {
                subscription: topology::LLM_MEMORY,
                handler: Arc::new(MemoryDispatch::new(worker)),
                options: memory_options,
                metrics,
            }),
        ]
    }
}
