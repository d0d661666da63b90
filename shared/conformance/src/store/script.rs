//! Events to tell a store, with ids of their own in each run.

use chrono::{DateTime, Utc};
use parlance_shared::{
    CallId, MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted, Strategy},
    id::PrefixedId,
    port::{PortError, store::Store},
    task::{Status, Task, TaskError, Timings, Usage},
};
use uuid::Uuid;

pub(super) fn fresh<I: PrefixedId>() -> I {
    I::from_uuid(Uuid::now_v7())
}

/// A user that no other test knows.
pub(super) fn user(name: &str) -> UserId {
    UserId::new(format!("{name} {}", Uuid::now_v7().as_simple()))
}

/// A time, in milliseconds after some fixed one.
pub(super) fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_790_000_000_000 + millis).unwrap()
}

/// Anything that a store is told.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Submitted(MessageSubmitted),
    Changed(SessionChanged),
    Deleted(SessionDeleted),
    Replied(ReplyCompleted),
}

impl Fact {
    pub(super) async fn tell(&self, store: &dyn Store) -> Result<(), PortError> {
        match self {
            Self::Submitted(event) => store.record_message_submitted(event).await,
            Self::Changed(event) => store.record_session_changed(event).await,
            Self::Deleted(event) => store.record_session_deleted(event).await,
            Self::Replied(event) => store.record_reply_completed(event).await,
        }
    }
}

pub(super) async fn tell(store: &dyn Store, facts: &[Fact]) {
    for fact in facts {
        fact.tell(store).await.unwrap_or_else(|error| panic!("{error}: {fact:?}"));
    }
}

/// One conversation of one user.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) user: UserId,
    pub(super) session: SessionId,
}

impl Talk {
    pub(super) fn of(user: &UserId) -> Self {
        Self { user: user.clone(), session: fresh() }
    }

    pub(super) fn submitted(&self, content: &str, millis: i64) -> MessageSubmitted {
        MessageSubmitted {
            task_id: fresh(),
            session_id: self.session,
            message_id: fresh(),
            reply_message_id: fresh(),
            user_id: self.user.clone(),
            content: content.to_owned(),
            model: Some("some-model".to_owned()),
            strategy: Strategy::Enqueue,
            metadata: None,
            accepted_at: at(millis),
            fingerprint: Some(format!("hash of {content}")),
            input: Default::default(),
            looked_at: None,
        }
    }

    pub(super) fn changed(&self, millis: i64) -> SessionChanged {
        SessionChanged {
            session_id: self.session,
            user_id: self.user.clone(),
            change_id: fresh::<CallId>(),
            changed_at: at(millis),
            heading: None,
            instructions: None,
            metadata: None,
            strategy: Default::default(),
        }
    }

    pub(super) fn headed(&self, heading: &str, millis: i64) -> SessionChanged {
        SessionChanged { heading: Some(Some(heading.to_owned())), ..self.changed(millis) }
    }

    pub(super) fn deleted(&self, millis: i64) -> SessionDeleted {
        SessionDeleted { session_id: self.session, user_id: self.user.clone(), deleted_at: at(millis) }
    }
}

/// How the task of a request ended.
pub(super) fn ended(
    request: &MessageSubmitted,
    status: Status,
    attempt: u32,
    text: &str,
    millis: i64,
) -> ReplyCompleted {
    let mut task = Task::queued(request.task_id);
    task.session_id = Some(request.session_id);
    task.message_id = Some(request.message_id);
    task.status = status;
    task.attempt = attempt;
    task.reply.message_id = Some(request.reply_message_id);
    task.reply.content = text.to_owned();
    let began = (attempt > 0).then(|| at(millis));
    task.timings = Timings::from_instants(Some(request.accepted_at), began, began, Some(at(millis)));
    if attempt > 0 {
        task.provider = Some("some provider".to_owned());
        task.model = Some("some-model-2026".to_owned());
        task.usage = Usage { input_tokens: Some(12), output_tokens: Some(u64::from(attempt)), cached_tokens: None };
    }
    if status == Status::Failed {
        let message = format!("Attempt {attempt} went wrong.");
        task.error = Some(TaskError { code: "provider_error".to_owned(), message, retryable: true });
    }
    ReplyCompleted { user_id: request.user_id.clone(), session_id: request.session_id, task, webhook: None }
}

pub(super) fn completed(request: &MessageSubmitted, text: &str, millis: i64) -> ReplyCompleted {
    ended(request, Status::Completed, 1, text, millis)
}

/// Ids that tests name a thing by.
pub(super) fn ids_of(facts: &[Fact]) -> (Vec<SessionId>, Vec<TaskId>) {
    let (mut sessions, mut tasks) = (Vec::new(), Vec::new());
    for fact in facts {
        let (session, task) = match fact {
            Fact::Submitted(event) => (event.session_id, Some(event.task_id)),
            Fact::Changed(event) => (event.session_id, None),
            Fact::Deleted(event) => (event.session_id, None),
            Fact::Replied(event) => (event.session_id, Some(event.task.id)),
        };
        sessions.push(session);
        tasks.extend(task);
    }
    sessions.sort_unstable();
    sessions.dedup();
    tasks.sort_unstable();
    tasks.dedup();
    (sessions, tasks)
}

/// The ids of messages, as the tests compare them.
pub(super) fn message_ids(messages: &[parlance_shared::message::Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}
