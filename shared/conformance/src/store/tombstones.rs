//! What was deleted stays so.

use std::sync::Arc;

use parlance_shared::port::store::{Lookup, Store};

use super::{
    reading::{all_messages, all_sessions},
    script::{Fact, Talk, completed, ended, tell, user},
};
use parlance_shared::task::Status;

/// Neither a replay nor what comes late brings anything back.
pub async fn a_deleted_session_stays_deleted(store: Arc<dyn Store>) {
    let alice = user("alice");
    let (talk, kept) = (Talk::of(&alice), Talk::of(&alice));
    let (first, second) = (talk.submitted("first", 1), talk.submitted("second", 2));
    let before = [
        Fact::Changed(talk.headed("secret", 0)),
        Fact::Submitted(first.clone()),
        Fact::Replied(completed(&first, "one", 3)),
        Fact::Submitted(second.clone()),
    ];
    tell(&*store, &before).await;
    tell(&*store, &[Fact::Changed(kept.headed("kept", 0))]).await;
    let late = talk.submitted("late", 6);
    let after = [
        Fact::Deleted(talk.deleted(5)),
        Fact::Replied(ended(&second, Status::Cancelled, 1, "tw", 6)),
        Fact::Submitted(late.clone()),
        Fact::Changed(talk.headed("again", 7)),
        Fact::Replied(completed(&late, "too late", 8)),
        Fact::Deleted(talk.deleted(9)),
    ];
    tell(&*store, &after).await;
    tell(&*store, &before).await;

    assert_eq!(store.session(&alice, talk.session).await.unwrap(), Lookup::Deleted);
    assert_eq!(all_messages(&*store, &alice, talk.session, 10).await, []);
    for task in [first.task_id, second.task_id, late.task_id] {
        assert_eq!(store.task(&alice, task).await.unwrap(), Lookup::Deleted);
    }
    let listed: Vec<_> = all_sessions(&*store, &alice, 10).await.into_iter().map(|session| session.id).collect();
    assert_eq!(listed, [kept.session]);
    let stranger = user("bob");
    assert_eq!(store.session(&stranger, talk.session).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.task(&stranger, first.task_id).await.unwrap(), Lookup::Unknown);
}

/// The deletion may overtake all else.
pub async fn a_session_can_be_deleted_before_it_is_known(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let request = talk.submitted("never seen", 1);
    tell(&*store, &[Fact::Deleted(talk.deleted(5))]).await;
    assert_eq!(store.session(&alice, talk.session).await.unwrap(), Lookup::Deleted);
    let overtaken = [
        Fact::Replied(completed(&request, "never read", 3)),
        Fact::Submitted(request.clone()),
        Fact::Changed(talk.headed("never shown", 0)),
    ];
    tell(&*store, &overtaken).await;
    assert_eq!(store.session(&alice, talk.session).await.unwrap(), Lookup::Deleted);
    assert_eq!(store.task(&alice, request.task_id).await.unwrap(), Lookup::Deleted);
    assert_eq!(all_messages(&*store, &alice, talk.session, 10).await, []);
    assert_eq!(all_sessions(&*store, &alice, 10).await, []);
}
