//! The worker that answers, step by step.

use std::time::Duration;

use parlance_shared::{
    event::{MessageSubmitted, ReplyCompleted},
    port::{
        reply_log::{ReplyLog as _, ReplyWriter},
        store::Store as _,
        turns::{Claim, ClaimOutcome, TurnEnd, TurnRequest, Turns as _, WorkerId},
    },
    task::{Status, Task, TaskError, Usage},
};

use super::App;

/// One attempt under way.
pub struct Attempt {
    pub claim: Claim,
    writer: Box<dyn ReplyWriter>,
}

impl Attempt {
    pub async fn say(&mut self, text: &str) {
        self.writer.append(text).await.unwrap();
    }
}

impl App {
    /// Claims the task of an event.
    pub async fn claim(&self, submitted: &MessageSubmitted) -> Attempt {
        let request = TurnRequest {
            task_id: submitted.task_id,
            session_id: submitted.session_id,
            user_id: submitted.user_id.clone(),
            message_id: submitted.message_id,
            reply_message_id: submitted.reply_message_id,
            accepted_at: submitted.accepted_at,
            fingerprint: submitted.fingerprint.clone(),
            reopen: None,
        };
        let claimed = self.turns.claim(&request, &WorkerId("test".into()), Duration::from_secs(30)).await.unwrap();
        let ClaimOutcome::Claimed(claim) = claimed else { panic!("not claimed: {claimed:?}") };
        self.begin(claim).await
    }

    async fn begin(&self, claim: Claim) -> Attempt {
        let writer = self.turns.writer(&claim).await.unwrap();
        Attempt { claim, writer }
    }

    /// Gives the attempt up and starts the next one.
    pub async fn retry(&self, attempt: Attempt, reason: &str) -> Attempt {
        let claim = self.turns.next_attempt(&attempt.claim, reason).await.unwrap();
        self.begin(claim).await
    }

    /// Ends the task.
    pub async fn end(&self, attempt: Attempt, status: Status) -> Task {
        let end = TurnEnd {
            status,
            content: attempt.writer.text(),
            provider: Some("offline".into()),
            model: Some("outline".into()),
            usage: Usage { input_tokens: Some(3), output_tokens: Some(5), cached_tokens: None },
            first_token_at: Some(self.state.clock.now()),
            error: (status == Status::Failed).then(|| TaskError {
                code: "provider_stalled".into(),
                message: "The language model stopped in the middle of its answer.".into(),
                retryable: true,
            }),
            details: Default::default(),
        };
        self.turns.finish(&attempt.claim, end, None).await.unwrap()
    }

    /// Writes an ended task into the durable record.
    pub async fn persist_end(&self, task: Task) {
        let event =
            ReplyCompleted { user_id: self.user.clone(), session_id: task.session_id.unwrap(), task, webhook: None };
        self.store.record_reply_completed(&event).await.unwrap();
    }
}
