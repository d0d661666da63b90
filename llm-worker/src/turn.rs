//! A claimed turn, from its first attempt to the end of its task.

use parlance_shared::{
    event::MessageSubmitted,
    port::{
        llm::ProviderInfo,
        reply_log::ReplyWriter,
        turns::{Claim, TurnEnd, VersionedCheckpoint},
    },
    reply_text::decode,
    task::{PromptRecord, Status, Task, TaskDetails, Usage},
};
use tokio::time::Instant;

use crate::{
    Worker,
    attempt::{APPEND, Attempt, AttemptEnd, stream_reply},
    failure::Failure,
    finish::{finish, load_checkpoint},
    interrupt::{Interrupt, interrupted},
    lease_loop::Hold,
    port_call::{once, patiently},
    prompt::{self, Built},
    quoted::without_quotes,
    retry_decision::{Decision, RetryDecision},
    stop::Stop,
    turn_record::attempt_failed,
};

/// A message whose workers are lost so often is what kills them.
const MAX_LOST_ATTEMPTS: u32 = 10;

/// A backstop for attempts that end without being lost or failed, such as a log that takes no text, over and over.
const MAX_ATTEMPTS_OF_ANY_KIND: u32 = 100;

/// One turn under one hold of its task.
pub(crate) struct Turn<'a> {
    worker: &'a Worker,
    message: &'a MessageSubmitted,
    claim: Claim,
    hold: Hold,
    writer: Option<Box<dyn ReplyWriter>>,
    checkpoint: Option<VersionedCheckpoint>,
    /// What the latest attempt's prompt was made of.
    prompt: Option<PromptRecord>,
    deadline: Instant,
}

impl<'a> Turn<'a> {
    /// `checkpoint` if it is loaded already; `asked` is when the claim's lease began at the earliest.
    pub(crate) fn new(
        worker: &'a Worker,
        message: &'a MessageSubmitted,
        claim: Claim,
        checkpoint: Option<VersionedCheckpoint>,
        asked: Instant,
    ) -> Self {
        let hold = worker.leases.hold(&claim, asked);
        let deadline = Instant::now() + worker.longest_turn();
        Self { worker, message, claim, hold, writer: None, checkpoint, prompt: None, deadline }
    }

    /// The latest attempt's claim.
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Works until the task has ended or must be left to someone else.
    pub(crate) async fn run(&mut self) -> Result<Task, Stop> {
        let mut decision = RetryDecision::new(&self.worker.parts.settings, self.claim.failed_attempts);
        loop {
            if self.claim.cancel_requested {
                return self.end_with_earlier_text(Status::Cancelled, None).await;
            }
            if self.claim.lost_attempts > MAX_LOST_ATTEMPTS || self.claim.attempt > MAX_ATTEMPTS_OF_ANY_KIND {
                return self.end_with_earlier_text(Status::Failed, Some(Failure::worker_lost())).await;
            }
            let Attempt { end, first_token_at } = self.attempt().await?;
            let known = |end: TurnEnd| TurnEnd { first_token_at, ..end };
            let failure = match end {
                AttemptEnd::Finished { model, usage, finish_reason } => {
                    let end = self.end(Status::Completed);
                    let details = TaskDetails { finish_reason, ..end.details };
                    return self.finish(known(TurnEnd { model: model.or(end.model), usage, details, ..end })).await;
                }
                AttemptEnd::Interrupted(interrupt) => return self.interrupted(interrupt, known).await,
                AttemptEnd::LogFailed(error) => return Err(error.into()),
                AttemptEnd::Failed(failure) => failure,
            };
            attempt_failed(self.claim.attempt, &failure, &self.without_quotes(&failure.detail));
            let Decision::Again(wait) = decision.after(&failure) else {
                return self
                    .finish(known(TurnEnd { error: Some((&failure).into()), ..self.end(Status::Failed) }))
                    .await;
            };
            // The failed attempt's text stays what readers see until the next attempt resets it, and is what is kept
            // when the owner stops now.
            tokio::select! {
                biased;
                interrupt = interrupted(&self.claim, &self.worker.parts.lifecycle) => {
                    return self.interrupted(interrupt, known).await;
                }
                () = tokio::time::sleep(wait) => {}
            }
            self.next_attempt(failure.code).await?;
        }
    }

    /// Ends the task as failed with whatever the latest attempt had said.
    pub(crate) async fn fail(&mut self, failure: &Failure) -> Result<Task, Stop> {
        self.finish(TurnEnd { error: Some(failure.into()), ..self.end(Status::Failed) }).await
    }

    /// Ends the task without an attempt. What an earlier one had said is kept: its readers were reset, so they are given
    /// it again under the new attempt.
    pub(crate) async fn end_with_earlier_text(
        &mut self,
        status: Status,
        failure: Option<Failure>,
    ) -> Result<Task, Stop> {
        let earlier = std::mem::take(&mut self.claim.earlier_text);
        if !earlier.is_empty() {
            let mut writer = open_writer(self.worker, &self.claim).await?;
            once("reply log", APPEND, writer.append(&earlier)).await?;
            self.writer = Some(writer);
        }
        let error = failure.as_ref().map(Into::into);
        self.finish(TurnEnd { provider: None, model: None, error, ..self.end(status) }).await
    }

    /// What the provider said of its failure, without what it was told or had said itself.
    fn without_quotes(&self, detail: &str) -> String {
        let reply = self.writer.as_ref().map(|writer| writer.text()).unwrap_or_default();
        let checkpoint = self.checkpoint.as_ref().map(|loaded| &loaded.checkpoint);
        let told = checkpoint.into_iter().flat_map(|checkpoint| {
            let turns = checkpoint.window.iter().flat_map(|turn| [&turn.user, &turn.assistant]);
            turns.chain(&checkpoint.instructions).chain(checkpoint.summary.as_ref().map(|summary| &summary.text))
        });
        let said = told.chain([&self.message.content, &reply]);
        without_quotes(detail, said.map(String::as_str))
    }

    async fn attempt(&mut self) -> Result<Attempt, Stop> {
        let mut writer = open_writer(self.worker, &self.claim).await?;
        let checkpoint = match self.checkpoint.take() {
            Some(loaded) => loaded,
            None => load_checkpoint(self.worker, &self.claim).await?,
        };
        let built = prompt::build(self.worker, &checkpoint.checkpoint, self.message);
        self.checkpoint = Some(checkpoint);
        let attempt = match built {
            Ok(Built { prompt, record }) => {
                self.prompt = Some(record);
                stream_reply(self.worker, &self.claim, writer.as_mut(), prompt, self.deadline).await
            }
            Err(failure) => Attempt { end: AttemptEnd::Failed(failure), first_token_at: None },
        };
        self.writer = Some(writer);
        Ok(attempt)
    }

    async fn interrupted(
        &mut self,
        interrupt: Interrupt,
        known: impl FnOnce(TurnEnd) -> TurnEnd,
    ) -> Result<Task, Stop> {
        match interrupt {
            Interrupt::Lost => Err(Stop::Lost),
            Interrupt::Aborted => Err(Stop::Aborted),
            Interrupt::Cancelled => self.finish(known(self.end(Status::Cancelled))).await,
        }
    }

    async fn next_attempt(&mut self, code: &str) -> Result<(), Stop> {
        let parts = &self.worker.parts;
        let next = || parts.turns.next_attempt(&self.claim, code);
        self.hold.begin_move();
        self.claim = patiently(&parts.lifecycle, "next attempt", next).await?;
        self.hold.end_move(&self.claim);
        parts.metrics.attempts_retried.inc(code);
        Ok(())
    }

    /// An end with what is known at any time.
    fn end(&self, status: Status) -> TurnEnd {
        let ProviderInfo { provider, model, .. } = self.worker.parts.llm.describe();
        let (content, tool_calls) = self.writer.as_ref().map(|writer| decode(&writer.text())).unwrap_or_default();
        TurnEnd {
            status,
            content,
            provider: Some(provider),
            model: Some(self.message.model.clone().unwrap_or(model)),
            usage: Usage::default(),
            first_token_at: None,
            error: None,
            details: TaskDetails { tool_calls, prompt: self.prompt.clone(), ..TaskDetails::default() },
        }
    }

    async fn finish(&mut self, end: TurnEnd) -> Result<Task, Stop> {
        finish(self.worker, &self.claim, self.message, end, self.checkpoint.take()).await
    }
}

async fn open_writer(worker: &Worker, claim: &Claim) -> Result<Box<dyn ReplyWriter>, Stop> {
    let parts = &worker.parts;
    Ok(patiently(&parts.lifecycle, "reply log", || parts.log.writer(claim)).await?)
}
