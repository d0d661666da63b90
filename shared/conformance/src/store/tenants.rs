//! Users are apart.

use std::sync::Arc;

use parlance_shared::port::{PortError, store::Store};

use super::{
    reading::{Sight, all_sessions},
    script::{Fact, Talk, completed, ids_of, tell, user},
};

/// Whoever else asks, there is nothing.
pub async fn reads_find_nothing_of_another_user(store: Arc<dyn Store>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let (kept, gone) = (Talk::of(&alice), Talk::of(&alice));
    let (request, other) = (kept.submitted("for alice only", 1), gone.submitted("also", 2));
    let facts = [
        Fact::Changed(kept.headed("mine", 0)),
        Fact::Submitted(request.clone()),
        Fact::Replied(completed(&request, "private", 3)),
        Fact::Submitted(other),
        Fact::Deleted(gone.deleted(4)),
    ];
    tell(&*store, &facts).await;
    let ids = ids_of(&facts);
    assert!(!Sight::of(&*store, &alice, &ids, 10).await.is_blank());
    assert!(Sight::of(&*store, &bob, &ids, 10).await.is_blank());
    // Nor is a user found whose name is much the same.
    for name in [alice.as_str().to_uppercase(), format!("{alice} "), "%".to_owned(), String::new()] {
        let user = parlance_shared::UserId::new(name);
        assert!(Sight::of(&*store, &user, &ids, 10).await.is_blank(), "{user:?} finds alice's");
    }
}

/// Events that would change another user's rows are refused whole.
pub async fn events_of_another_user_are_refused_and_leave_nothing(store: Arc<dyn Store>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let hers = Talk::of(&alice);
    let request = hers.submitted("hello", 1);
    let facts = [
        Fact::Changed(hers.headed("mine", 0)),
        Fact::Submitted(request.clone()),
        Fact::Replied(completed(&request, "hi", 3)),
    ];
    tell(&*store, &facts).await;
    let ids = ids_of(&facts);
    let before = Sight::of(&*store, &alice, &ids, 10).await;

    let intruder = Talk { user: bob.clone(), session: hers.session };
    let his = Talk::of(&bob);
    let mut taken = his.submitted("mine now", 5);
    taken.task_id = request.task_id;
    let mut answered = completed(&taken, "mine now", 6);
    answered.task.attempt = 9;
    let other_session = Talk::of(&alice);
    let mut moved = other_session.submitted("moved", 7);
    moved.task_id = request.task_id;
    let mut moved_reply = completed(&moved, "moved", 8);
    moved_reply.task.attempt = 9;
    for fact in [
        Fact::Submitted(intruder.submitted("let me in", 5)),
        Fact::Changed(intruder.headed("his", 5)),
        Fact::Deleted(intruder.deleted(5)),
        Fact::Replied(completed(&intruder.submitted("", 5), "let me in", 6)),
        Fact::Submitted(taken),
        Fact::Replied(answered),
        Fact::Submitted(moved.clone()),
        Fact::Replied(moved_reply),
    ] {
        let told = fact.tell(&*store).await;
        assert!(matches!(told, Err(PortError::Rejected { .. })), "{told:?}: {fact:?}");
    }
    assert_eq!(Sight::of(&*store, &alice, &ids, 10).await, before);
    assert!(all_sessions(&*store, &bob, 10).await.is_empty(), "a refused event left a session");
}
