//! A session's fields and times.

use std::sync::Arc;

use parlance_shared::{
    event::{SessionChanged, Strategy},
    port::store::Store,
};

use super::{
    reading::session,
    script::{Fact, Talk, at, completed, fresh, tell, user},
};

/// In each of their orders, three changes end the same: each field has the value of the latest change that set it.
pub async fn each_field_keeps_its_latest_change(store: Arc<dyn Store>) {
    let alice = user("alice");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let talk = Talk::of(&alice);
        let json = |text: &str| Some(Some(serde_json::from_str(text).unwrap()));
        let made = SessionChanged {
            heading: Some(Some("first".to_owned())),
            instructions: Some(Some("be brief".to_owned())),
            strategy: Some(Some(Strategy::Reject)),
            metadata: json(r#"{"color":"red","n":[1,2.5,null]}"#),
            ..talk.changed(10)
        };
        // The second and the third change are of one millisecond: their ids decide.
        let renamed = SessionChanged { strategy: Some(Some(Strategy::Interrupt)), ..talk.headed("second", 20) };
        let cleared = SessionChanged {
            change_id: fresh(),
            heading: Some(Some("third".to_owned())),
            instructions: Some(None),
            ..talk.changed(20)
        };
        assert!(renamed.change_id < cleared.change_id);
        let changes = [Fact::Changed(made), Fact::Changed(renamed), Fact::Changed(cleared)];
        for index in order {
            tell(&*store, &changes[index..=index]).await;
        }
        let read = session(&*store, &alice, talk.session).await;
        assert_eq!(read.heading.as_deref(), Some("third"), "{order:?}");
        assert_eq!(read.instructions, None, "{order:?}");
        assert_eq!(read.strategy, Some(Strategy::Interrupt), "{order:?}");
        let admission = store.admission(&alice, talk.session, &[], 10).await.unwrap();
        assert_eq!((admission.strategy, admission.deleted), (Some(Strategy::Interrupt), false), "{order:?}");
        assert_eq!(read.metadata, serde_json::from_str(r#"{"n":[1,2.5,null],"color":"red"}"#).unwrap(), "{order:?}");
        assert_eq!((read.created_at, read.updated_at), (Some(at(10)), Some(at(20))), "{order:?}");
    }
}

/// Created with the first event that names it, updated with the last, whichever comes first.
pub async fn the_earliest_and_latest_events_date_a_session(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let (early, late) = (talk.submitted("early", 10), talk.submitted("late", 30));
    let dates = async || {
        let session = session(&*store, &alice, talk.session).await;
        (session.created_at.unwrap(), session.updated_at.unwrap())
    };
    tell(&*store, &[Fact::Submitted(late)]).await;
    assert_eq!(dates().await, (at(30), at(30)));
    tell(&*store, &[Fact::Submitted(early.clone())]).await;
    assert_eq!(dates().await, (at(10), at(30)));
    tell(&*store, &[Fact::Replied(completed(&early, "reply", 40))]).await;
    assert_eq!(dates().await, (at(10), at(40)));
    tell(&*store, &[Fact::Changed(talk.headed("made", 5))]).await;
    assert_eq!(dates().await, (at(5), at(40)));
    // A reply whose request was not seen tells of the request's time.
    let other = Talk::of(&alice);
    tell(&*store, &[Fact::Replied(completed(&other.submitted("unseen", 50), "reply", 60))]).await;
    let session = session(&*store, &alice, other.session).await;
    assert_eq!((session.created_at, session.updated_at), (Some(at(50)), Some(at(60))));
}
