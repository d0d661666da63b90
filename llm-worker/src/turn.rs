//! A claimed turn, from its first attempt to the end of its task.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parlance_shared::{
    content::ToolCall,
    event::MessageSubmitted,
    port::{
        reply_log::ReplyWriter,
        turns::{Claim, TurnEnd, VersionedCheckpoint},
    },
    providers::{Onward, Provider, Route},
    reply_text::decode,
    task::{AttemptRecord, PromptRecord, Status, Task, TaskDetails, Usage},
    trace::{Kind, Span},
};
use tokio::time::Instant;

use crate::{
    Worker,
    account::{Request, earlier_attempts},
    attempt::{APPEND, Attempt, AttemptEnd, stream_reply},
    attempt_span::Asking,
    continuation::{can_go_on, go_on},
    failure::Failure,
    finish::{finish, load_checkpoint},
    interrupt::{Interrupt, interrupted},
    lease_loop::Hold,
    port_call::{once, patiently},
    prompt::{self, Built},
    quoted::without_quotes,
    request_memory::Due,
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
    route: Route,
    /// Who was asked last.
    asked: Option<Provider>,
    /// Who was asked so far.
    attempts: Vec<AttemptRecord>,
    /// What the provider says of the latest request.
    counted: Usage,
    /// How much of the attempt's text was there before it.
    said_before: usize,
    /// The next request goes on with what this attempt has said.
    goes_on: bool,
    /// The attempt's first token.
    first_token_at: Option<DateTime<Utc>>,
    deadline: Instant,
    /// What the session's memory needs once the turn has ended.
    due: Due,
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
        let attempts = earlier_attempts(&claim);
        Self {
            worker,
            message,
            claim,
            hold,
            writer: None,
            checkpoint,
            prompt: None,
            route: Route::new(Arc::clone(&worker.parts.llm)),
            asked: None,
            attempts,
            counted: Usage::default(),
            said_before: 0,
            goes_on: false,
            first_token_at: None,
            deadline,
            due: Due::default(),
        }
    }

    /// What the session's memory needs, now that the turn has ended.
    pub(crate) fn due(&self) -> Due {
        self.due
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
            let failure = match self.attempt().await? {
                AttemptEnd::Finished { model, finish_reason } => {
                    self.route.answered();
                    let mut end = self.end(Status::Completed);
                    end.model = model.or(end.model);
                    self.note(end.model.clone(), None);
                    let details = TaskDetails { finish_reason, attempts: self.attempts.clone(), ..end.details };
                    return self.finish(TurnEnd { details, ..end }).await;
                }
                AttemptEnd::Interrupted(interrupt) => {
                    self.note(None, None);
                    return self.interrupted(interrupt).await;
                }
                AttemptEnd::LogFailed(error) => return Err(error.into()),
                AttemptEnd::Failed(failure) => failure,
            };
            attempt_failed(self.claim.attempt, self.asked.as_ref(), &failure, &self.without_quotes(&failure.detail));
            self.note(None, Some(failure.code));
            let (text, calls) = self.said();
            let onward = match failure.kind.is_some() || failure.worth_another_attempt {
                true => self.route.failed(&failure.as_failed(!text.is_empty())).await,
                false => Onward::Nowhere,
            };
            let Decision::Again(wait) = decision.after(onward) else { return self.fail(&failure).await };
            // The failed attempt's text stays what readers see until the next attempt resets it, and is what is kept
            // when the owner stops now.
            tokio::select! {
                biased;
                interrupt = interrupted(&self.claim, &self.worker.parts.lifecycle) => {
                    return self.interrupted(interrupt).await;
                }
                () = tokio::time::sleep(wait) => {}
            }
            let (midstream, has_form) =
                (self.worker.parts.llm.midstream(), self.message.input.response_format.is_some());
            self.goes_on = can_go_on(midstream, &failure, has_form, &text, !calls.is_empty());
            if self.goes_on {
                self.worker.parts.metrics.attempts_retried.inc(failure.code);
            } else {
                self.next_attempt(failure.code).await?;
            }
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
            let turns = checkpoint.window.iter().flat_map(|turn| {
                let history = turn.input.history.iter().map(|told| &told.content);
                history.chain([&turn.user, &turn.assistant])
            });
            turns.chain(&checkpoint.instructions).chain(checkpoint.summary.as_ref().map(|summary| &summary.text))
        });
        let input = &self.message.input;
        let brought = input.history.iter().map(|told| &told.content).chain(&input.instructions);
        let said = told.chain(brought).chain([&self.message.content, &reply]);
        without_quotes(detail, said.map(String::as_str))
    }

    /// Asks a provider: under a new attempt, or on with this one's text.
    async fn attempt(&mut self) -> Result<AttemptEnd, Stop> {
        let mut writer = match self.writer.take().filter(|_| self.goes_on) {
            Some(writer) => writer,
            None => {
                self.first_token_at = None;
                open_writer(self.worker, &self.claim).await?
            }
        };
        self.asked = None;
        let checkpoint = match self.checkpoint.take() {
            Some(loaded) => loaded,
            None => load_checkpoint(self.worker, &self.claim).await?,
        };
        let provider = self.route.ask().await.clone();
        let model = provider.model(self.message.model.as_deref()).to_owned();
        self.said_before = decode(&writer.text()).0.len();
        self.counted = Usage::default();
        let built = prompt::build(self.worker, &checkpoint.checkpoint, self.message, &model);
        self.checkpoint = Some(checkpoint);
        let end = match built {
            Ok(Built { prompt, record }) => {
                self.prompt = Some(record);
                let prompt = if self.goes_on { go_on(prompt, &decode(&writer.text()).0) } else { prompt };
                let (llm, prompt) = (Arc::clone(provider.llm()), provider.adapt(prompt));
                let metrics = &self.worker.parts.metrics;
                let asking = Asking::begin(metrics, provider.info(), &model, self.claim.attempt);
                self.asked = Some(provider);
                let streaming = stream_reply(self.worker, &self.claim, writer.as_mut(), llm, prompt, self.deadline);
                let attempt = asking.span().scope(streaming).await;
                asking.end(metrics, &attempt);
                let Attempt { end, first_token_at, usage, .. } = attempt;
                self.counted = usage;
                self.first_token_at = self.first_token_at.or(first_token_at);
                end
            }
            Err(failure) => AttemptEnd::Failed(failure),
        };
        self.writer = Some(writer);
        Ok(end)
    }

    /// Notes how the latest request ended.
    fn note(&mut self, model: Option<String>, error: Option<&str>) {
        let Some(asked) = &self.asked else { return };
        let (text, calls) = self.said();
        let (before, said) = text.split_at_checked(self.said_before).unwrap_or(("", &text));
        let request = Request { reported: self.counted, prompt: self.prompt.as_ref(), before, said, calls: &calls };
        let (usage, usage_estimated) = request.usage(&self.worker.room_for(self.message).counter);
        let model = model.unwrap_or_else(|| asked.model(self.message.model.as_deref()).to_owned());
        self.attempts.push(AttemptRecord {
            attempt: self.claim.attempt,
            provider: Some(asked.info().provider.clone()),
            cost_micro_usd: self.worker.parts.prices.cost(Some(&model), &usage),
            model: Some(model),
            error: error.map(str::to_owned),
            usage,
            usage_estimated,
        });
    }

    /// What this attempt has said and called.
    fn said(&self) -> (String, Vec<ToolCall>) {
        self.writer.as_ref().map(|writer| decode(&writer.text())).unwrap_or_default()
    }

    async fn interrupted(&mut self, interrupt: Interrupt) -> Result<Task, Stop> {
        match interrupt {
            Interrupt::Lost => Err(Stop::Lost),
            Interrupt::Aborted => Err(Stop::Aborted),
            Interrupt::Cancelled => self.finish(self.end(Status::Cancelled)).await,
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
        let (content, tool_calls) = self.said();
        let primary;
        let (info, model) = match &self.asked {
            Some(asked) => (asked.info(), asked.model(self.message.model.as_deref())),
            None => {
                primary = self.worker.parts.llm.describe();
                (&primary, self.message.model.as_deref().unwrap_or(&primary.model))
            }
        };
        TurnEnd {
            status,
            content,
            provider: Some(info.provider.clone()),
            model: Some(model.to_owned()),
            usage: Usage::default(),
            first_token_at: self.first_token_at,
            error: None,
            details: TaskDetails {
                tool_calls,
                prompt: self.prompt.clone(),
                attempts: self.attempts.clone(),
                ..TaskDetails::default()
            },
        }
    }

    async fn finish(&mut self, end: TurnEnd) -> Result<Task, Stop> {
        let mut span = Span::start(Kind::Internal, || "end turn".into());
        span.set("parlance.task_id", || self.claim.task_id.to_string());
        span.set("parlance.status", || end.status.as_str());
        let finishing = finish(self.worker, &self.claim, self.message, end, self.checkpoint.take());
        let ended = span.scope(finishing).await?;
        self.due = ended.due;
        Ok(ended.task)
    }
}

async fn open_writer(worker: &Worker, claim: &Claim) -> Result<Box<dyn ReplyWriter>, Stop> {
    let parts = &worker.parts;
    Ok(patiently(&parts.lifecycle, "reply log", || parts.log.writer(claim)).await?)
}
