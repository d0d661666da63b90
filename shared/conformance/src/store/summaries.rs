//! Summaries and headings that llm-worker found.

use std::sync::Arc;

use parlance_shared::{
    event::{HeadingMade, SessionChanged, SummaryMade},
    port::{
        PortError,
        store::{Lookup, Store},
        turns::Summary,
    },
    summary::StoredSummary,
    task::Usage,
};

use super::script::{Fact, Talk, at, completed, fresh, tell, user};

fn made(talk: &Talk, version: u32, text: &str) -> SummaryMade {
    let usage = Usage { input_tokens: Some(900), output_tokens: Some(u64::from(version)), cached_tokens: None };
    SummaryMade {
        session_id: talk.session,
        user_id: talk.user.clone(),
        summary: Summary {
            version,
            text: text.to_owned(),
            through: fresh(),
            turns: 7 * version,
            tokens: 40,
            made_at: at(100 + i64::from(version)),
            through_at: None,
            model: None,
            usage,
        },
        model: Some("some-model-2026".to_owned()),
        usage,
        cost_micro_usd: Some(12),
    }
}

fn stored(event: &SummaryMade) -> StoredSummary {
    StoredSummary {
        session_id: event.session_id,
        version: event.summary.version,
        text: event.summary.text.clone(),
        turns: event.summary.turns,
        through_task_id: event.summary.through,
        tokens: event.summary.tokens,
        made_at: event.summary.made_at,
        model: event.model.clone(),
        usage: event.usage,
    }
}

fn heading(talk: &Talk, heading: &str) -> HeadingMade {
    let (session_id, user_id) = (talk.session, talk.user.clone());
    HeadingMade {
        session_id,
        user_id,
        heading: heading.to_owned(),
        made_at: at(50),
        model: Some("model-h".to_owned()),
        usage: Usage { input_tokens: Some(70), output_tokens: Some(3), cached_tokens: None },
        cost_micro_usd: Some(2),
        through: None,
    }
}

/// Every version is kept once, as it first came, and the latest is what is read; strangers read nothing.
pub async fn every_version_of_a_summary_is_stored_once(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    assert_eq!(store.summary(&alice, talk.session, None).await.unwrap(), Lookup::Unknown);
    tell(&*store, &[Fact::Submitted(talk.submitted("hello", 1))]).await;
    assert_eq!(store.summary(&alice, talk.session, None).await.unwrap(), Lookup::Unknown);

    let (first, second) = (made(&talk, 1, "one\u{0} 🙂"), made(&talk, 2, "two"));
    // A redelivery after a crash does not know what the first event knew.
    let mut forgetful = first.clone();
    (forgetful.model, forgetful.usage) = (None, Usage::default());
    for event in [&second, &forgetful, &first, &forgetful, &second] {
        store.record_summary_made(event).await.unwrap();
    }
    assert_eq!(store.summary(&alice, talk.session, None).await.unwrap(), Lookup::Found(stored(&second)));
    assert_eq!(store.summary(&alice, talk.session, Some(1)).await.unwrap(), Lookup::Found(stored(&first)));
    assert_eq!(store.summary(&alice, talk.session, Some(3)).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.summary(&user("bob"), talk.session, None).await.unwrap(), Lookup::Unknown);

    let foreign = SummaryMade { user_id: user("bob"), ..made(&talk, 3, "mine") };
    assert!(matches!(store.record_summary_made(&foreign).await, Err(PortError::Rejected { .. })));
    assert_eq!(store.summary(&alice, talk.session, None).await.unwrap(), Lookup::Found(stored(&second)));
}

/// A deletion erases them, and what comes late stays away.
pub async fn summaries_of_a_deleted_session_are_gone(store: Arc<dyn Store>) {
    let alice = user("alice");
    let (talk, unseen) = (Talk::of(&alice), Talk::of(&alice));
    store.record_summary_made(&made(&talk, 1, "secret")).await.unwrap();
    tell(&*store, &[Fact::Deleted(talk.deleted(5)), Fact::Deleted(unseen.deleted(5))]).await;
    for late in [made(&talk, 1, "secret"), made(&talk, 2, "late"), made(&unseen, 1, "late")] {
        store.record_summary_made(&late).await.unwrap();
        store.record_heading_made(&heading(&talk, "late")).await.unwrap();
        for version in [None, Some(1), Some(2)] {
            assert_eq!(store.summary(&alice, late.session_id, version).await.unwrap(), Lookup::Deleted);
        }
    }
    assert_eq!(store.session(&alice, talk.session).await.unwrap(), Lookup::Deleted);
}

/// A heading that was found is kept once and goes before nothing that the owner set, in whatever order.
pub async fn a_found_heading_never_replaces_the_owners(store: Arc<dyn Store>) {
    let alice = user("alice");
    let shown = async |talk: &Talk| match store.session(&alice, talk.session).await.unwrap() {
        Lookup::Found(session) => session.heading,
        other => panic!("{other:?}"),
    };
    let talk = Talk::of(&alice);
    let request = talk.submitted("hello", 1);
    tell(&*store, &[Fact::Submitted(request.clone()), Fact::Replied(completed(&request, "hi", 60))]).await;
    store.record_heading_made(&heading(&talk, "Found\u{0}")).await.unwrap();
    store.record_heading_made(&heading(&talk, "Found again")).await.unwrap();
    assert_eq!(shown(&talk).await.as_deref(), Some("Found\u{0}"), "the first one stays");
    let Lookup::Found(session) = store.session(&alice, talk.session).await.unwrap() else { panic!("gone") };
    assert_eq!(
        (session.created_at, session.updated_at),
        (Some(at(1)), Some(at(60))),
        "dates are those of what was said"
    );
    tell(&*store, &[Fact::Changed(talk.headed("Mine", 0))]).await;
    assert_eq!(shown(&talk).await.as_deref(), Some("Mine"), "also one that was set before");
    store.record_heading_made(&heading(&talk, "Found")).await.unwrap();
    assert_eq!(shown(&talk).await.as_deref(), Some("Mine"));

    let cleared = Talk::of(&alice);
    let clear = SessionChanged { heading: Some(None), ..cleared.changed(70) };
    tell(&*store, &[Fact::Changed(clear.clone())]).await;
    store.record_heading_made(&heading(&cleared, "Found")).await.unwrap();
    assert_eq!(shown(&cleared).await, None, "who clears it wants none");

    let early = Talk::of(&alice);
    store.record_heading_made(&heading(&early, "Found")).await.unwrap();
    tell(&*store, &[Fact::Submitted(early.submitted("hello", 1))]).await;
    assert_eq!(shown(&early).await.as_deref(), Some("Found"), "before anything is known of the session");
    let foreign = HeadingMade { user_id: user("bob"), ..heading(&early, "Not yours") };
    assert!(matches!(store.record_heading_made(&foreign).await, Err(PortError::Rejected { .. })));
    assert_eq!(shown(&early).await.as_deref(), Some("Found"));
}
