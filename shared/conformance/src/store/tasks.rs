//! Tasks, their ends and their replies.

use std::sync::Arc;

use parlance_shared::{
    UserId,
    event::MessageSubmitted,
    message::{Message, Role},
    port::{
        PortError,
        store::{Lookup, Store},
    },
    task::{Status, Task, Timings},
};

use super::{
    reading::{all_messages, all_sessions, session, task},
    script::{Fact, Talk, at, completed, ended, fresh, message_ids, tell, user},
};

/// Queued, and then word for word as the event has it; the messages say the same.
pub async fn a_task_is_read_as_it_ended(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let request = talk.submitted("hello", 10);
    assert_eq!(store.task(&alice, request.task_id).await.unwrap(), Lookup::Unknown);
    tell(&*store, &[Fact::Submitted(request.clone())]).await;
    let mut queued = Task::queued(request.task_id);
    queued.session_id = Some(talk.session);
    queued.message_id = Some(request.message_id);
    queued.reply.message_id = Some(request.reply_message_id);
    queued.timings.accepted_at = Some(at(10));
    let stored = found(&*store, &alice, &request).await;
    assert_eq!(stored, (queued, request.fingerprint.clone()));
    assert_eq!(said(&*store, &talk).await, [(Role::User, "hello".to_owned(), Status::Queued)]);

    for (status, text) in [(Status::Completed, "all of it"), (Status::Failed, "half"), (Status::Cancelled, "a bit")] {
        let talk = Talk::of(&alice);
        let request = talk.submitted("hello", 10);
        let mut reply = ended(&request, status, 2, text, 40);
        reply.task.timings = Timings::from_instants(Some(at(10)), Some(at(20)), Some(at(30)), Some(at(40)));
        reply.task.usage.cached_tokens = Some(7);
        tell(&*store, &[Fact::Submitted(request.clone()), Fact::Replied(reply.clone())]).await;
        let stored = found(&*store, &alice, &request).await;
        assert_eq!(stored, (reply.task.clone(), request.fingerprint.clone()));
        let messages = all_messages(&*store, &alice, talk.session, 10).await;
        let expected = Message {
            id: request.reply_message_id,
            session_id: talk.session,
            task_id: request.task_id,
            role: Role::Assistant,
            content: text.to_owned(),
            status,
            usage: Some(reply.task.usage),
            timings: Some(reply.task.timings),
            created_at: at(40),
            parts: Vec::new(),
            tool_results: Vec::new(),
            tool_calls: Vec::new(),
            superseded_by: None,
        };
        let asked = Message {
            id: request.message_id,
            role: Role::User,
            content: "hello".to_owned(),
            usage: None,
            timings: None,
            created_at: at(10),
            ..expected.clone()
        };
        assert_eq!(messages, [asked, expected]);
    }
}

/// The reply alone shows; the request, when it comes, stands before it and does not reopen the task.
pub async fn a_reply_may_come_before_its_request(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let request = talk.submitted("question", 10);
    // The worker's clock is behind, and its event may lack what a damaged request did not say.
    for (at_millis, vague) in [(10, false), (3, false), (3, true)] {
        let talk = Talk::of(&alice);
        let request = MessageSubmitted { session_id: talk.session, task_id: fresh(), ..request.clone() };
        let mut reply = completed(&request, "answer", at_millis);
        if vague {
            reply.task.message_id = None;
            reply.task.timings = Timings::from_instants(None, None, None, Some(at(at_millis)));
        }
        tell(&*store, &[Fact::Replied(reply.clone())]).await;
        assert_eq!(task(&*store, &alice, request.task_id).await, reply.task);
        assert_eq!(said(&*store, &talk).await, [(Role::Assistant, "answer".to_owned(), Status::Completed)]);
        assert!(all_sessions(&*store, &alice, 10).await.iter().any(|session| session.id == talk.session));

        tell(&*store, &[Fact::Submitted(request.clone())]).await;
        let mut expected = reply.task;
        expected.message_id = Some(request.message_id);
        expected.timings = Timings::from_instants(
            Some(at(10)),
            expected.timings.started_at,
            expected.timings.first_token_at,
            Some(at(at_millis)),
        );
        assert_eq!(found(&*store, &alice, &request).await, (expected, request.fingerprint.clone()));
        let both = [
            (Role::User, "question".to_owned(), Status::Completed),
            (Role::Assistant, "answer".to_owned(), Status::Completed),
        ];
        assert_eq!(said(&*store, &talk).await, both);
    }
}

/// Another end of the same or an earlier attempt, or the request again, changes nothing.
pub async fn an_end_is_final(store: Arc<dyn Store>) {
    let alice = user("alice");
    for status in [Status::Completed, Status::Failed, Status::Cancelled] {
        let talk = Talk::of(&alice);
        let request = talk.submitted("question", 1);
        let end = ended(&request, status, 2, "the end", 5);
        tell(&*store, &[Fact::Submitted(request.clone()), Fact::Replied(end.clone())]).await;
        let messages = all_messages(&*store, &alice, talk.session, 10).await;
        for other in [Status::Completed, Status::Failed, Status::Cancelled] {
            tell(
                &*store,
                &[
                    Fact::Replied(ended(&request, other, 2, "another end", 6)),
                    Fact::Replied(ended(&request, other, 1, "", 4)),
                    Fact::Replied(ended(&request, other, 0, "none", 3)),
                    Fact::Submitted(request.clone()),
                ],
            )
            .await;
        }
        assert_eq!(task(&*store, &alice, request.task_id).await, end.task);
        assert_eq!(all_messages(&*store, &alice, talk.session, 10).await, messages);
    }
}

/// A task that was given up and then redriven ends a second time: the later attempt's end counts, in either order.
pub async fn a_later_attempt_replaces_an_end(store: Arc<dyn Store>) {
    let alice = user("alice");
    for (late_status, late_text) in [(Status::Completed, "whole"), (Status::Failed, ""), (Status::Failed, "part")] {
        for swapped in [false, true] {
            let talk = Talk::of(&alice);
            let request = talk.submitted("question", 1);
            let given_up = ended(&request, Status::Failed, 1, "earlier", 5);
            let redriven = ended(&request, late_status, 2, late_text, 9);
            let mut ends = [Fact::Replied(given_up.clone()), Fact::Replied(redriven.clone())];
            if swapped {
                ends.reverse();
            }
            tell(&*store, &[Fact::Submitted(request.clone())]).await;
            tell(&*store, &ends).await;
            assert_eq!(task(&*store, &alice, request.task_id).await, redriven.task);
            let mut expected = vec![(Role::User, "question".to_owned(), late_status)];
            if !late_text.is_empty() {
                expected.push((Role::Assistant, late_text.to_owned(), late_status));
            }
            assert_eq!(said(&*store, &talk).await, expected);
        }
    }
}

/// A completed reply is a message even if it is empty; a failed or cancelled one only if something was said.
pub async fn a_reply_without_text_is_a_message_only_when_completed(store: Arc<dyn Store>) {
    let alice = user("alice");
    for (status, messages) in [(Status::Completed, 2), (Status::Failed, 1), (Status::Cancelled, 1)] {
        let talk = Talk::of(&alice);
        let request = talk.submitted("question", 1);
        let end = ended(&request, status, 1, "", 2);
        tell(&*store, &[Fact::Submitted(request.clone()), Fact::Replied(end.clone())]).await;
        let said = said(&*store, &talk).await;
        assert_eq!(said.len(), messages);
        assert!(said.iter().all(|(.., of)| *of == status), "{said:?}");
        assert_eq!(task(&*store, &alice, request.task_id).await, end.task);
    }
}

/// A client that repeats its request has the same task; whatever ids and times the repeat brings, it is said once.
pub async fn a_request_made_twice_is_one_message(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let request = talk.submitted("once", 10);
    let again = MessageSubmitted { message_id: fresh(), accepted_at: at(15), ..request.clone() };
    let reply = completed(&request, "reply", 12);
    tell(&*store, &[Fact::Submitted(request.clone()), Fact::Replied(reply.clone()), Fact::Submitted(again)]).await;
    let messages = all_messages(&*store, &alice, talk.session, 10).await;
    assert_eq!(message_ids(&messages), [request.message_id, request.reply_message_id]);
    assert_eq!(task(&*store, &alice, request.task_id).await, reply.task);
    assert_eq!(session(&*store, &alice, talk.session).await.created_at, Some(at(10)));
}

/// Data that break a rule are refused for good, and nothing is kept of them.
pub async fn what_can_never_work_is_refused(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let request = talk.submitted("question", 1);
    let running = ended(&request, Status::Running, 1, "so far", 2);
    let queued = ended(&request, Status::Queued, 0, "", 2);
    let mut astray = completed(&request, "reply", 2);
    astray.task.session_id = Some(fresh());
    let mut timeless = completed(&request, "reply", 2);
    timeless.task.timings = Timings::default();
    let mut nameless = completed(&request, "reply", 2);
    nameless.task.reply.message_id = None;
    for event in [running, queued, astray, timeless, nameless] {
        let told = store.record_reply_completed(&event).await;
        assert!(matches!(told, Err(PortError::Rejected { .. })), "{told:?}: {event:?}");
    }
    assert_eq!(all_sessions(&*store, &alice, 10).await, []);
    assert_eq!(store.task(&alice, request.task_id).await.unwrap(), Lookup::Unknown);
}

async fn found(store: &dyn Store, user: &UserId, request: &MessageSubmitted) -> (Task, Option<String>) {
    match store.task(user, request.task_id).await.unwrap() {
        Lookup::Found(stored) => (stored.task, stored.fingerprint),
        other => panic!("{other:?}"),
    }
}

async fn said(store: &dyn Store, talk: &Talk) -> Vec<(Role, String, Status)> {
    let messages = all_messages(store, &talk.user, talk.session, 10).await;
    messages.into_iter().map(|message| (message.role, message.content, message.status)).collect()
}
