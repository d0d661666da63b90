//! Operators find accepted requests again, whole, across users.

use std::sync::Arc;

use parlance_shared::{
    event::MessageSubmitted,
    port::store::{RequestFilter, RequestPosition, Store, StoreAdmin, StoredRequest},
    task::Status,
};

use super::script::{Fact, Talk, at, completed, ended, tell, user};

/// All that match, in pages of the given size.
async fn all(admin: &dyn StoreAdmin, filter: &RequestFilter, page: u32) -> Vec<StoredRequest> {
    let (mut found, mut after): (Vec<StoredRequest>, Option<RequestPosition>) = (Vec::new(), None);
    loop {
        let requests = admin.requests(filter, after.as_ref(), page).await.unwrap();
        assert!(requests.len() <= page as usize);
        let Some(last) = requests.last() else { return found };
        after = Some(last.position());
        found.extend(requests);
    }
}

async fn of_session(admin: &dyn StoreAdmin, talk: &Talk) -> Vec<StoredRequest> {
    all(admin, &RequestFilter { session: Some(talk.session), ..RequestFilter::default() }, 2).await
}

fn messages(found: Vec<StoredRequest>) -> Vec<MessageSubmitted> {
    found.into_iter().map(|request| request.message).collect()
}

/// What was accepted is given back word for word, so that it can be published as the same event.
pub async fn requests_are_given_back_whole(store: Arc<dyn Store>, admin: Arc<dyn StoreAdmin>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let mut full = talk.submitted("with everything \u{1F30D}", 1);
    full.metadata = Some([("note".to_owned(), serde_json::json!({"n": [1, null]}))].into_iter().collect());
    full.accepted_at += chrono::TimeDelta::microseconds(7);
    let mut bare = talk.submitted("with nothing", 2);
    (bare.model, bare.fingerprint) = (None, None);
    tell(&*store, &[Fact::Submitted(bare.clone()), Fact::Submitted(full.clone())]).await;
    assert_eq!(messages(of_session(&*admin, &talk).await), [full, bare]);
}

/// As far as the record knows: a task whose end is not recorded is `queued`.
pub async fn requests_say_where_their_tasks_stand(store: Arc<dyn Store>, admin: Arc<dyn StoreAdmin>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let statuses = [Status::Queued, Status::Completed, Status::Failed, Status::Cancelled];
    for (millis, status) in (0..).zip(statuses) {
        let request = talk.submitted(status.as_str(), millis);
        tell(&*store, &[Fact::Submitted(request.clone())]).await;
        if status.is_terminal() {
            tell(&*store, &[Fact::Replied(ended(&request, status, 1, "text", 10))]).await;
        }
    }
    let found = of_session(&*admin, &talk).await;
    assert_eq!(found.iter().map(|request| request.status).collect::<Vec<_>>(), statuses);
}

/// By session, task and time, of any user, in the order of each session, in pages of any size.
pub async fn requests_are_found_by_session_task_and_time(store: Arc<dyn Store>, admin: Arc<dyn StoreAdmin>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let talks = [Talk::of(&alice), Talk::of(&alice), Talk::of(&bob)];
    // A time that no other test uses.
    let base = i64::from(uuid::Uuid::new_v4().as_fields().0) * 1_000 + 1_000_000_000;
    let mut told = Vec::new();
    for n in (0..10).rev() {
        for talk in &talks {
            let request = talk.submitted(&format!("m{n}"), base + n * 10);
            tell(&*store, &[Fact::Submitted(request.clone())]).await;
            told.push(request);
        }
    }
    told.sort_by_key(|request| (request.session_id.to_string(), request.accepted_at));
    let (since, until) = (Some(at(base)), Some(at(base + 100)));
    let range = RequestFilter { since, until, ..RequestFilter::default() };
    for page in [1, 7, 100] {
        let mut found = messages(all(&*admin, &range, page).await);
        for session in talks.each_ref().map(|talk| talk.session) {
            let times: Vec<_> = found
                .iter()
                .filter(|request| request.session_id == session)
                .map(|request| request.accepted_at)
                .collect();
            assert!(times.len() == 10 && times.is_sorted(), "{times:?}");
        }
        found.sort_by_key(|request| (request.session_id.to_string(), request.accepted_at));
        assert_eq!(found, told);
    }
    let inner = RequestFilter { since: Some(at(base + 10)), until: Some(at(base + 30)), ..RequestFilter::default() };
    let found = messages(all(&*admin, &inner, 4).await);
    assert_eq!(found.len(), 6, "from the first time on, up to the second");
    assert!(found.iter().all(|request| ["m1", "m2"].contains(&request.content.as_str())));

    let wanted = &told[4];
    let by_task = RequestFilter { task: Some(wanted.task_id), ..RequestFilter::default() };
    assert_eq!(messages(all(&*admin, &by_task, 5).await), std::slice::from_ref(wanted));
    let elsewhere = talks.iter().map(|talk| talk.session).find(|session| *session != wanted.session_id);
    let nowhere = RequestFilter { session: elsewhere, ..by_task.clone() };
    assert_eq!(all(&*admin, &nowhere, 5).await, []);
    let too_late = RequestFilter { since: Some(at(base + 1000)), ..by_task };
    assert_eq!(all(&*admin, &too_late, 5).await, []);
}

/// A page ends early where its messages are long, and the next one goes on behind it.
pub async fn pages_of_requests_are_bounded_in_bytes(store: Arc<dyn Store>, admin: Arc<dyn StoreAdmin>) {
    const LONG: usize = 1 << 20;
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let mut told = Vec::new();
    for n in 0..12 {
        let mut request = talk.submitted(&format!("{n} {}", "x".repeat(LONG)), n);
        request.fingerprint = None;
        tell(&*store, &[Fact::Submitted(request.clone())]).await;
        told.push(request);
    }
    let filter = RequestFilter { session: Some(talk.session), ..RequestFilter::default() };
    let first = admin.requests(&filter, None, 100).await.unwrap();
    assert!((1..=6).contains(&first.len()), "a page of {} MiB", first.len());
    assert_eq!(messages(all(&*admin, &filter, 100).await), told);
    let range = RequestFilter { since: Some(at(0)), until: Some(at(12)), ..RequestFilter::default() };
    let by_time = admin.requests(&range, None, 100).await.unwrap();
    let bytes: usize = by_time.iter().map(|request| request.message.content.len()).sum();
    assert!(bytes <= 6 * LONG, "a page of {bytes} bytes");
    let theirs =
        all(&*admin, &range, 100).await.into_iter().filter(|request| request.message.session_id == talk.session);
    assert_eq!(messages(theirs.collect()), told);
}

/// What its owner deleted is not sent again; neither is what is known by its end alone.
pub async fn deleted_sessions_have_no_requests(store: Arc<dyn Store>, admin: Arc<dyn StoreAdmin>) {
    let alice = user("alice");
    let (gone, kept) = (Talk::of(&alice), Talk::of(&alice));
    let (deleted, only_ended) = (gone.submitted("secret", 1), kept.submitted("not seen yet", 2));
    tell(
        &*store,
        &[
            Fact::Submitted(deleted.clone()),
            Fact::Deleted(gone.deleted(5)),
            Fact::Submitted(deleted.clone()),
            Fact::Replied(completed(&only_ended, "reply", 3)),
        ],
    )
    .await;
    assert_eq!(of_session(&*admin, &gone).await, []);
    let by_task = RequestFilter { task: Some(deleted.task_id), ..RequestFilter::default() };
    assert_eq!(all(&*admin, &by_task, 5).await, []);
    assert_eq!(of_session(&*admin, &kept).await, []);
    tell(&*store, &[Fact::Submitted(only_ended.clone())]).await;
    let found = of_session(&*admin, &kept).await;
    assert_eq!((found.len(), found[0].status), (1, Status::Completed));
    assert_eq!(found[0].message, only_ended);
}
