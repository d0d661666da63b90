//! Lists: order, pages, and what comes or goes while they are read.

use std::sync::Arc;

use parlance_shared::{SessionId, UserId, page::PageRequest, port::store::Store};

use super::{
    reading::{all_messages, all_sessions, position},
    script::{Fact, Talk, at, completed, message_ids, tell, user},
};

/// Newest first; those of one millisecond by their ids. Any page size gives the same list.
pub async fn sessions_are_listed_newest_first(store: Arc<dyn Store>) {
    let alice = user("alice");
    assert_eq!(all_sessions(&*store, &alice, 10).await, []);
    let mut expected = Vec::new();
    for millis in [30, 10, 20, 20, 20, 40, 10] {
        let talk = Talk::of(&alice);
        tell(&*store, &[Fact::Changed(talk.headed("a heading", millis))]).await;
        expected.push((at(millis), talk.session));
    }
    expected.sort_unstable();
    expected.reverse();
    let expected: Vec<SessionId> = expected.into_iter().map(|(_, session)| session).collect();
    for limit in [1, 2, 3, 6, 7, 8, 1000] {
        let listed: Vec<_> = all_sessions(&*store, &alice, limit).await.into_iter().map(|s| s.id).collect();
        assert_eq!(listed, expected, "in pages of {limit}");
    }
    let whole = PageRequest { limit: 7, from: None };
    assert_eq!(store.sessions(&alice, &whole).await.unwrap().next, None, "a full last page has no next one");
}

/// A reader on page one misses and repeats nothing of what was there, whatever is made, changed or deleted meanwhile.
pub async fn pages_of_sessions_are_stable_while_others_come(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talks: Vec<Talk> = (0..6).map(|_| Talk::of(&alice)).collect();
    for (talk, millis) in talks.iter().zip([60, 50, 40, 30, 20, 10]) {
        tell(&*store, &[Fact::Changed(talk.headed("a heading", millis))]).await;
    }
    let (first, next) = page_of_sessions(&*store, &alice, 2, None).await;
    assert_eq!(first, [talks[0].session, talks[1].session]);

    let newer = Talk::of(&alice);
    tell(
        &*store,
        &[
            Fact::Changed(newer.headed("newer", 70)),
            Fact::Submitted(talks[2].submitted("a message changes no place", 80)),
            Fact::Deleted(talks[1].deleted(90)),
            Fact::Deleted(talks[3].deleted(90)),
        ],
    )
    .await;
    let (second, next) = page_of_sessions(&*store, &alice, 2, next).await;
    assert_eq!(second, [talks[2].session, talks[4].session]);
    let (third, next) = page_of_sessions(&*store, &alice, 2, next).await;
    assert_eq!((third, next), (vec![talks[5].session], None));
}

/// In the order in which they were said; a reply after its message, also within one millisecond.
pub async fn messages_are_listed_oldest_first(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let mut expected = Vec::new();
    // Instant replies, at one time; ids in no helpful order.
    for turn in 0..8 {
        let mut request = talk.submitted("question", turn * 10);
        if turn % 2 == 0 {
            std::mem::swap(&mut request.message_id, &mut request.reply_message_id);
        }
        let facts = [Fact::Submitted(request.clone()), Fact::Replied(completed(&request, "answer", turn * 10))];
        tell(&*store, &facts).await;
        expected.extend([request.message_id, request.reply_message_id]);
    }
    // Two that were sent while the first one's reply was still to come.
    let (one, two) = (talk.submitted("one", 100), talk.submitted("two", 110));
    let facts = [
        Fact::Submitted(one.clone()),
        Fact::Submitted(two.clone()),
        Fact::Replied(completed(&one, "answer to one", 120)),
        Fact::Replied(completed(&two, "answer to two", 130)),
    ];
    tell(&*store, &facts).await;
    expected.extend([one.message_id, two.message_id, one.reply_message_id, two.reply_message_id]);
    // A quick client's, all within one millisecond; ids in no helpful order, as derived ones are.
    let mut quick: Vec<_> = (0..8).map(|n| talk.submitted(&format!("quick {n}"), 200)).collect();
    quick.sort_by_key(|request| std::cmp::Reverse(request.message_id));
    for (request, micros) in quick.iter_mut().zip(0..) {
        request.accepted_at += std::time::Duration::from_micros(micros);
        tell(&*store, &[Fact::Submitted(request.clone())]).await;
        expected.push(request.message_id);
    }
    for limit in [1, 3, 27, 28, 29] {
        let messages = all_messages(&*store, &alice, talk.session, limit).await;
        assert_eq!(message_ids(&messages), expected, "in pages of {limit}");
    }
    let elsewhere = Talk::of(&alice);
    assert_eq!(all_messages(&*store, &alice, elsewhere.session, 10).await, []);
}

/// A reader that follows a conversation by its cursor sees each message once.
pub async fn pages_of_messages_are_stable_while_others_come(store: Arc<dyn Store>) {
    let alice = user("alice");
    let (talk, other) = (Talk::of(&alice), Talk::of(&alice));
    let requests: Vec<_> = (0..4).map(|n| talk.submitted("question", n * 10)).collect();
    for request in &requests[..3] {
        tell(&*store, &[Fact::Submitted(request.clone())]).await;
    }
    let page = PageRequest { limit: 2, from: None };
    let first = store.messages(&alice, talk.session, &page).await.unwrap();
    assert_eq!(message_ids(&first.data), [requests[0].message_id, requests[1].message_id]);
    let next = first.next.unwrap();

    let facts = [
        Fact::Submitted(requests[3].clone()),
        Fact::Replied(completed(&requests[0], "answer", 40)),
        Fact::Submitted(other.submitted("elsewhere", 25)),
        Fact::Submitted(requests[0].clone()),
    ];
    tell(&*store, &facts).await;
    let page = PageRequest { limit: 10, from: Some(position(&next)) };
    let second = store.messages(&alice, talk.session, &page).await.unwrap();
    let expected = [requests[2].message_id, requests[3].message_id, requests[0].reply_message_id];
    assert_eq!((message_ids(&second.data), second.next), (expected.to_vec(), None));
}

async fn page_of_sessions(
    store: &dyn Store,
    user: &UserId,
    limit: u32,
    from: Option<String>,
) -> (Vec<SessionId>, Option<String>) {
    let request = PageRequest { limit, from: from.as_deref().map(position) };
    let page = store.sessions(user, &request).await.unwrap();
    (page.data.into_iter().map(|session| session.id).collect(), page.next)
}
