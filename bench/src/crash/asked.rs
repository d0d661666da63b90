//! What the LLM was asked, against what the tasks say: nothing was paid for twice, and no prompt missed a reply.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use parlance_mock_llm::RequestRecord;
use serde::Deserialize;

use super::{
    conversation::{Told, ToldTurn},
    findings::{Finding, Flaw},
    world::{World, read},
};
use crate::{api::Task, http::Connection};

/// Tens of thousands of requests.
const LOG_TIMEOUT: Duration = Duration::from_secs(60);

/// One of so many turns, at the most, may overtake because of the emulator; more is a fault of ours.
const OVERTAKING: usize = 100;

/// All requests, by the text of their last user message.
#[derive(Debug, Default)]
pub struct Asked(HashMap<String, Vec<RequestRecord>>);

#[derive(Deserialize)]
struct MockLog {
    requests: Vec<RequestRecord>,
}

impl Asked {
    /// Reads the mock's log.
    ///
    /// # Errors
    /// When the mock does not give it.
    pub async fn of(mock: SocketAddr) -> Result<Self, Finding> {
        let failed = |error: std::io::Error| Finding::new(Flaw::BadAnswer, format!("the mock's log: {error}"));
        let mut connection = Connection::open(mock).await.map_err(failed)?;
        let response = connection.exchange(LOG_TIMEOUT, "GET", "/mock/log", "", None).await.map_err(failed)?;
        let log: MockLog = read(&response, "/mock/log")?;
        let mut requests: HashMap<String, Vec<RequestRecord>> = HashMap::new();
        for request in log.requests {
            requests.entry(request.last_user_text.clone()).or_default().push(request);
        }
        Ok(Self(requests))
    }

    fn requests(&self, content: &str) -> &[RequestRecord] {
        self.0.get(content).map(Vec::as_slice).unwrap_or_default()
    }

    /// Each attempt asks once at the most, so whoever asks again for a task that has ended is seen here; the attempt that
    /// answered costs as many tokens as the reply has, and the task what its attempts cost together.
    pub(super) fn judge_charge(&self, turn: &ToldTurn, stored: &Task) -> Result<(), Finding> {
        let requests = self.requests(&turn.plan.content).len();
        if requests > stored.attempt as usize {
            return Err(Finding::new(Flaw::Charged, format!("{requests} requests for {stored:?}")));
        }
        let Some(tokens) = stored.usage.output_tokens.filter(|_| stored.status == "completed") else { return Ok(()) };
        let told = u64::from(turn.plan.tokens);
        let mut answered = stored.attempts.iter().filter(|attempt| attempt.error.is_none());
        let all: u64 = stored.attempts.iter().filter_map(|attempt| attempt.usage.output_tokens).sum();
        if answered.next().and_then(|attempt| attempt.usage.output_tokens) != Some(told) || answered.next().is_some() {
            return Err(Finding::new(Flaw::Charged, format!("not {told} tokens for the reply: {stored:?}")));
        }
        if tokens != all {
            return Err(Finding::new(Flaw::Charged, format!("{tokens} instead of {all} tokens: {stored:?}")));
        }
        Ok(())
    }

    /// A message never misses the replies before it: every prompt held the reply to the turn before, unless the bus had
    /// handed it out before anybody had begun with that.
    pub(super) fn judge_prompts(&self, all_told: &[Told], world: &World) {
        let findings = &world.findings;
        let mut overtook = 0;
        for pair in all_told.iter().flat_map(|told| told.turns.windows(2)) {
            let Some(before) = pair[0].end.as_ref().filter(|end| end.status == "completed") else { continue };
            let content = &pair[1].plan.content;
            let began = pair[1].end.as_ref().and_then(|end| end.timings.started_at.as_ref());
            if world.may_overtake
                && began.is_some_and(|began| before.timings.started_at.as_ref().is_some_and(|at| began < at))
            {
                findings.count("turns that the emulator handed out before an earlier one that nobody had begun with");
                overtook += 1;
                continue;
            }
            for request in self.requests(content) {
                findings.count("prompts compared");
                let times = request.messages.iter().filter(|message| message.content == before.reply.content).count();
                if times != 1 {
                    let task = pair[1].accepted.as_ref().map(|accepted| accepted.task_id.as_str());
                    let what = format!(
                        "{content:?} ({task:?}): request {} of {} messages has the reply of {} {times} times",
                        request.attempt, request.message_count, before.id
                    );
                    findings.add(Finding::new(Flaw::Forgotten, what));
                }
            }
        }
        let turns: usize = all_told.iter().map(|told| told.turns.len()).sum();
        if overtook * OVERTAKING > turns {
            findings.add(Finding::new(
                Flaw::Misordered,
                format!("{overtook} of {turns} turns began before the one before"),
            ));
        }
    }
}
