//! A user with something in every place where anything of a user is kept.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use parlance_shared::{
    CallId, MessageId, SessionId, TaskId, UserId,
    content::{ContentPart, Replaced, ToolCall, TurnInput},
    event::{HeadingMade, MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted, Strategy, SummaryMade},
    id::PrefixedId as _,
    port::{
        turns::{
            Checkpoint, CheckpointTurn, Claim, ClaimOutcome, Summary, TurnEnd, TurnRequest, VersionedCheckpoint,
            WorkerId,
        },
        users::EraseStep,
    },
    task::{Status, Task, TaskDetails, TaskError, Usage},
};
use uuid::Uuid;

use super::Ports;
use crate::wait::PATIENCE;

const LEASE: Duration = Duration::from_secs(60);

/// A conversation of two turns, the second in place of the first: recorded, answered, summed up.
pub struct Life {
    /// Whose.
    pub user: UserId,
    /// Where.
    pub session: SessionId,
    /// Stands in every text.
    pub marker: String,
    /// What was told to the record, in order.
    pub changed: SessionChanged,
    /// The requests.
    pub messages: Vec<MessageSubmitted>,
    /// Their ends.
    pub replies: Vec<ReplyCompleted>,
    /// A summary.
    pub summary: SummaryMade,
    /// A heading that came too late.
    pub heading: HeadingMade,
}

impl Life {
    /// Lived an hour ago by a user that no other test knows.
    pub async fn lived(ports: &Ports) -> Self {
        Self::lived_by(ports, &Self::of_anybody(), TimeDelta::hours(-1)).await
    }

    /// A user that no other test knows.
    pub fn of_anybody() -> UserId {
        UserId::new(format!("user \u{1F30D} {}", Uuid::now_v7().simple()))
    }

    /// Lived so long from now.
    pub async fn lived_by(ports: &Ports, user: &UserId, from_now: TimeDelta) -> Self {
        let life = Self::of(user, (ports.clock.now() + from_now).trunc_subsecs(3));
        life.be_recorded(ports).await;
        for (version, (message, reply)) in (0..).zip(life.messages.iter().zip(&life.replies)) {
            let claim = life.claim(ports, message).await;
            let save = VersionedCheckpoint { version, checkpoint: life.checkpoint() };
            ports.turns.finish(&claim, end(reply), Some(save)).await.unwrap();
        }
        life
    }

    /// Not told to anybody yet.
    pub fn of(user: &UserId, at: DateTime<Utc>) -> Self {
        let (session, marker) = (SessionId::from_uuid(Uuid::now_v7()), format!("secret{}", Uuid::now_v7().simple()));
        let changed = SessionChanged {
            session_id: session,
            user_id: user.clone(),
            change_id: CallId::from_uuid(Uuid::now_v7()),
            changed_at: at,
            heading: Some(Some(format!("heading {marker}"))),
            instructions: Some(Some(format!("instructions {marker}"))),
            metadata: Some(Some([("note".to_owned(), marker.clone().into())].into_iter().collect())),
            strategy: Some(Some(Strategy::Interrupt)),
        };
        let mut life = Self {
            user: user.clone(),
            session,
            changed,
            messages: Vec::new(),
            replies: Vec::new(),
            summary: SummaryMade {
                session_id: session,
                user_id: user.clone(),
                summary: Summary {
                    version: 1,
                    text: format!("summary {marker}"),
                    through: TaskId::from_uuid(Uuid::now_v7()),
                    turns: 1,
                    tokens: 9,
                    made_at: at + TimeDelta::seconds(30),
                    ..serde_json::from_value(serde_json::json!({
                        "version": 1, "text": "", "through": TaskId::from_uuid(Uuid::now_v7()), "turns": 1, "tokens": 9,
                        "made_at": at
                    }))
                    .unwrap()
                },
                model: Some("m".to_owned()),
                usage: Usage { input_tokens: Some(1), output_tokens: Some(2), cached_tokens: None },
                cost_micro_usd: Some(3),
            },
            heading: HeadingMade {
                session_id: session,
                user_id: user.clone(),
                heading: format!("found {marker}"),
                made_at: at + TimeDelta::seconds(31),
                model: Some(format!("heading model {marker}")),
                usage: Usage { input_tokens: Some(9), output_tokens: Some(2), cached_tokens: None },
                cost_micro_usd: Some(1),
                through: None,
            },
            marker,
        };
        let first = life.message(at + TimeDelta::seconds(1), None);
        let replaced = Replaced { task_id: first.task_id, accepted_at: first.accepted_at };
        let second = life.message(at + TimeDelta::seconds(10), Some(replaced));
        life.replies = vec![life.reply(&first, Status::Completed), life.reply(&second, Status::Failed)];
        life.messages = vec![first, second];
        life
    }

    /// Another message of the session.
    pub fn message(&self, at: DateTime<Utc>, replaces: Option<Replaced>) -> MessageSubmitted {
        let marker = &self.marker;
        MessageSubmitted {
            task_id: TaskId::from_uuid(Uuid::now_v7()),
            session_id: self.session,
            message_id: MessageId::from_uuid(Uuid::now_v7()),
            reply_message_id: MessageId::from_uuid(Uuid::now_v7()),
            user_id: self.user.clone(),
            content: format!("message {marker}"),
            model: Some(format!("model {marker}")),
            strategy: Strategy::Enqueue,
            metadata: Some([("note".to_owned(), marker.clone().into())].into_iter().collect()),
            accepted_at: at,
            fingerprint: Some(format!("fingerprint {marker}")),
            input: TurnInput {
                parts: vec![ContentPart::Text { text: format!("part {marker}") }],
                replaces,
                ..TurnInput::default()
            },
            looked_at: None,
        }
    }

    fn reply(&self, message: &MessageSubmitted, status: Status) -> ReplyCompleted {
        let marker = &self.marker;
        let mut task = Task::queued(message.task_id);
        task.session_id = Some(message.session_id);
        task.message_id = Some(message.message_id);
        task.status = status;
        task.attempt = 1;
        task.reply.message_id = Some(message.reply_message_id);
        task.reply.content = format!("reply {marker}");
        task.model = Some("m".to_owned());
        task.usage = Usage { input_tokens: Some(4), output_tokens: Some(5), cached_tokens: None };
        let at = |seconds| Some(message.accepted_at + TimeDelta::seconds(seconds));
        task.timings = parlance_shared::task::Timings::from_instants(Some(message.accepted_at), at(1), at(2), at(3));
        task.error = (status == Status::Failed).then(|| TaskError {
            code: "content_refused".to_owned(),
            message: format!("refused {marker}"),
            retryable: false,
        });
        let call = ToolCall { id: "c1".to_owned(), name: "look".to_owned(), arguments: format!("[\"{marker}\"]") };
        task.details = TaskDetails { tool_calls: vec![call], cost_micro_usd: Some(7), ..TaskDetails::default() };
        ReplyCompleted { user_id: self.user.clone(), session_id: self.session, task, webhook: None }
    }

    fn checkpoint(&self) -> Checkpoint {
        let turns = self.messages.iter().map(|message| {
            serde_json::from_value::<CheckpointTurn>(serde_json::json!({
                "task_id": message.task_id, "user": message.content, "assistant": format!("reply {}", self.marker)
            }))
            .unwrap()
        });
        Checkpoint {
            instructions: Some(format!("instructions {}", self.marker)),
            window: turns.collect(),
            ..Checkpoint::default()
        }
    }

    /// Tells the record all of it; again, if it knows it.
    pub async fn be_recorded(&self, ports: &Ports) {
        let store = &ports.store;
        store.record_session_changed(&self.changed).await.unwrap();
        for message in &self.messages {
            store.record_message_submitted(message).await.unwrap();
        }
        for reply in &self.replies {
            store.record_reply_completed(reply).await.unwrap();
        }
        store.record_summary_made(&self.summary).await.unwrap();
        store.record_heading_made(&self.heading).await.unwrap();
    }

    /// The deletion by the owner.
    pub fn deleted(&self, ports: &Ports) -> SessionDeleted {
        SessionDeleted { session_id: self.session, user_id: self.user.clone(), deleted_at: ports.clock.now() }
    }

    /// What its worker asks for when the bus delivers a message, perhaps again.
    pub async fn ask(&self, ports: &Ports, message: &MessageSubmitted) -> ClaimOutcome {
        let request = TurnRequest {
            task_id: message.task_id,
            session_id: message.session_id,
            user_id: message.user_id.clone(),
            message_id: message.message_id,
            reply_message_id: message.reply_message_id,
            accepted_at: message.accepted_at,
            fingerprint: message.fingerprint.clone(),
            reopen: None,
        };
        ports.turns.claim(&request, &WorkerId("w".to_owned()), LEASE).await.unwrap()
    }

    /// The same where it must be granted.
    pub async fn claim(&self, ports: &Ports, message: &MessageSubmitted) -> Claim {
        match self.ask(ports, message).await {
            ClaimOutcome::Claimed(claim) => claim,
            other => panic!("not granted: {other:?}"),
        }
    }
}

/// The end of a turn as the reply tells it.
pub fn end(reply: &ReplyCompleted) -> TurnEnd {
    let task = &reply.task;
    TurnEnd {
        status: task.status,
        content: task.reply.content.clone(),
        provider: Some("mock".to_owned()),
        model: task.model.clone(),
        usage: task.usage,
        first_token_at: None,
        error: task.error.clone(),
        details: task.details.clone(),
    }
}

/// Erases a user to the end; gives the sum of the steps.
pub async fn erase(ports: &Ports, user: &UserId) -> EraseStep {
    let mut sum = EraseStep::default();
    let erasing = async {
        loop {
            let step = ports.users.erase(user).await.unwrap();
            sum.sessions += step.sessions;
            sum.messages += step.messages;
            if step.done {
                sum.done = true;
                return sum;
            }
        }
    };
    tokio::time::timeout(PATIENCE, erasing).await.expect("the erasure has an end")
}
