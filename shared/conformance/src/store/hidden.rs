//! Replies that are no longer to be fetched as responses.

use std::sync::Arc;

use parlance_shared::{TaskId, port::store::Store};

use super::{
    reading::task,
    script::{Fact, Talk, at, completed, fresh, tell, user},
};

/// A reply that was hidden stays so, for its owner alone, also when it was hidden before anything of it was recorded; the
/// conversation keeps it.
pub async fn a_hidden_response_stays_hidden(store: Arc<dyn Store>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let talk = Talk::of(&alice);
    let (one, two) = (talk.submitted("one", 10), talk.submitted("two", 20));
    let hidden = async |user, task: TaskId| store.response_is_hidden(user, task).await.unwrap();
    store.hide_response(&alice, one.task_id, at(5)).await.unwrap();
    store.hide_response(&alice, one.task_id, at(6)).await.unwrap();
    tell(&*store, &[Fact::Submitted(one.clone()), Fact::Replied(completed(&one, "1", 15))]).await;
    tell(&*store, &[Fact::Submitted(two.clone()), Fact::Replied(completed(&two, "2", 25))]).await;
    assert!(hidden(&alice, one.task_id).await);
    assert!(!hidden(&alice, two.task_id).await && !hidden(&alice, fresh()).await);
    assert!(!hidden(&bob, one.task_id).await, "it is alice's affair");
    assert_eq!(task(&*store, &alice, one.task_id).await.reply.content, "1");
}
