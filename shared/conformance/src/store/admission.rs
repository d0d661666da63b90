//! What decides whether a session takes another message.

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    TaskId, UserId,
    event::MessageSubmitted,
    port::{
        store::{Admission, Store},
        turns::{Claim, ClaimOutcome, TurnEnd, TurnRequest, Turns, WorkerId},
    },
    task::Status,
};

use super::script::{Fact, Talk, at, completed, fresh, tell, user};

async fn claim(turns: &dyn Turns, message: &MessageSubmitted) -> Claim {
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
    match turns.claim(&request, &WorkerId("w1".to_owned()), Duration::from_secs(30)).await.unwrap() {
        ClaimOutcome::Claimed(claim) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

fn end() -> TurnEnd {
    TurnEnd {
        status: Status::Completed,
        content: "done".to_owned(),
        provider: None,
        model: None,
        usage: Default::default(),
        first_token_at: None,
        error: None,
        details: Default::default(),
    }
}

/// A turn counts from the moment that anybody knows of it: the caller, the record, or a worker; and until its end is stored,
/// by its worker or in the record. `turns` are those of the same database.
pub async fn admission_counts_what_no_end_is_known_of(store: Arc<dyn Store>, turns: Arc<dyn Turns>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let waiting = async |recent: &[TaskId]| {
        let mut admission = store.admission(&alice, talk.session, recent, 10).await.unwrap();
        admission.waiting.sort_unstable();
        (admission.waiting, admission.latest)
    };
    assert_eq!(waiting(&[]).await, (vec![], None));
    let first = talk.submitted("known to the caller alone", 10);
    assert_eq!(waiting(&[first.task_id]).await, (vec![first.task_id], None));
    tell(&*store, &[Fact::Submitted(first.clone())]).await;
    assert_eq!(waiting(&[]).await, (vec![first.task_id], Some(at(10))), "recorded");
    assert_eq!(waiting(&[first.task_id]).await.0, [first.task_id], "once, whoever knows of it");
    let running = claim(&*turns, &first).await;
    assert_eq!(waiting(&[]).await.0, [first.task_id], "running");

    let second = talk.submitted("claimed before it is recorded", 20);
    turns.finish(&running, end(), None).await.unwrap();
    assert_eq!(waiting(&[first.task_id]).await.0, [], "ended, which the record does not know yet");
    let running = claim(&*turns, &second).await;
    assert_eq!(waiting(&[]).await, (vec![second.task_id], Some(at(20))));
    turns.finish(&running, end(), None).await.unwrap();
    tell(&*store, &[Fact::Submitted(second.clone())]).await;
    assert_eq!(waiting(&[second.task_id]).await.0, []);

    // A later look may be at a record whose turns are long gone.
    let third = talk.submitted("known to the record alone", 30);
    tell(&*store, &[Fact::Submitted(third.clone()), Fact::Replied(completed(&third, "done", 40))]).await;
    assert_eq!(waiting(&[third.task_id]).await.0, []);

    // Cancelled before any worker had it.
    let fourth = talk.submitted("cancelled", 50);
    tell(&*store, &[Fact::Submitted(fourth.clone())]).await;
    turns.request_cancel(&alice, fourth.task_id).await.unwrap();
    assert_eq!(waiting(&[fourth.task_id]).await.0, []);

    let many: Vec<_> = (0..5).map(|n| talk.submitted("one of many", 60 + n)).collect();
    for request in &many {
        tell(&*store, &[Fact::Submitted(request.clone())]).await;
    }
    let capped = store.admission(&alice, talk.session, &[], 3).await.unwrap();
    assert_eq!((capped.waiting.len(), capped.latest), (3, Some(at(64))), "as many as were asked for");

    // What was interrupted before some time stays before it.
    turns.interrupt(&alice, talk.session, fresh(), at(70)).await.unwrap();
    assert_eq!(waiting(&[]).await.1, Some(at(70)));
    tell(&*store, &[Fact::Deleted(talk.deleted(80))]).await;
    assert!(store.admission(&alice, talk.session, &[], 3).await.unwrap().deleted);
}

/// Nothing of it is told to another user.
pub async fn admission_is_the_owners(store: Arc<dyn Store>, turns: Arc<dyn Turns>) {
    let (alice, eve) = (user("alice"), user("eve"));
    let talk = Talk::of(&alice);
    let request = talk.submitted("secret", 10);
    tell(&*store, &[Fact::Submitted(request.clone())]).await;
    claim(&*turns, &request).await;
    turns.interrupt(&alice, talk.session, fresh(), at(5)).await.unwrap();
    turns.interrupt(&eve, talk.session, fresh(), at(20)).await.unwrap();
    assert_eq!(store.admission(&alice, talk.session, &[], 10).await.unwrap().latest, Some(at(10)));
    assert_eq!(nothing_of(&*store, &eve, &talk).await, Admission::default());
    tell(&*store, &[Fact::Deleted(talk.deleted(30))]).await;
    assert_eq!(nothing_of(&*store, &eve, &talk).await, Admission::default());
}

/// A user's open tasks are counted over all sessions: known to the caller, the record or a worker, and without a stored end.
pub async fn open_tasks_are_those_without_a_known_end(store: Arc<dyn Store>, turns: Arc<dyn Turns>) {
    let (alice, eve) = (user("alice"), user("eve"));
    let (one, other) = (Talk::of(&alice), Talk::of(&alice));
    let open = async |recent: &[TaskId]| {
        let mut open = store.open_tasks(&alice, recent, 10).await.unwrap();
        open.sort_unstable();
        open
    };
    let sorted = |mut tasks: Vec<TaskId>| {
        tasks.sort_unstable();
        tasks
    };
    assert_eq!(open(&[]).await, []);
    let (first, second) = (one.submitted("first", 10), other.submitted("second", 20));
    assert_eq!(open(&[first.task_id]).await, [first.task_id], "known to the caller alone");
    tell(&*store, &[Fact::Submitted(first.clone())]).await;
    let both = sorted(vec![first.task_id, second.task_id]);
    assert_eq!(open(&[first.task_id, second.task_id]).await, both, "each once");
    tell(&*store, &[Fact::Submitted(second.clone())]).await;
    let running = claim(&*turns, &first).await;
    assert_eq!(open(&[]).await, both, "running or waiting, in any session");
    turns.finish(&running, end(), None).await.unwrap();
    assert_eq!(open(&[first.task_id]).await, [second.task_id], "ended, which the record does not know yet");
    tell(&*store, &[Fact::Replied(completed(&first, "done", 40)), Fact::Replied(completed(&second, "done", 50))]).await;
    assert_eq!(open(&[first.task_id, second.task_id]).await, []);

    for number in 0..5 {
        tell(&*store, &[Fact::Submitted(one.submitted("one of many", 60 + number))]).await;
    }
    assert_eq!(store.open_tasks(&alice, &[], 3).await.unwrap().len(), 3, "as many as were asked for");
    assert_eq!(store.open_tasks(&eve, &[], 10).await.unwrap(), [], "nobody else's");
}

/// Without the time of the look, which is always known.
async fn nothing_of(store: &dyn Store, user: &UserId, talk: &Talk) -> Admission {
    let admission = store.admission(user, talk.session, &[], 10).await.unwrap();
    assert!(admission.looked_at.is_some());
    Admission { looked_at: None, ..admission }
}
