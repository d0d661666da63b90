//! Turns that stand in for earlier ones: what is listed, and what can still be read.

use std::sync::Arc;

use parlance_shared::{
    MessageId, TaskId,
    content::{ContentPart, ImageUrl, Replaced, ToolCall, ToolResult, TurnInput},
    event::MessageSubmitted,
    page::PageRequest,
    port::store::{Lookup, Store, StoredTurn, TurnOf},
    task::{Status, TaskError, codes},
};
use serde_json::json;

use super::{
    reading::{all_branches, all_messages, position, task},
    script::{Fact, Talk, at, completed, fresh, message_ids, tell, user},
};

fn replacing(talk: &Talk, content: &str, millis: i64, replaced: &MessageSubmitted) -> MessageSubmitted {
    let mut request = talk.submitted(content, millis);
    request.input.replaces = Some(Replaced { task_id: replaced.task_id, accepted_at: replaced.accepted_at });
    request
}

fn contents(messages: &[parlance_shared::message::Message]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

/// A regenerated reply, one more, and then an edit of the first message: each time what was said since is gone from the
/// list, and all of it is there when all is asked for. In any order of events.
pub async fn a_branch_takes_the_place_of_what_it_covers(store: Arc<dyn Store>) {
    let alice = user("alice");
    for rotation in 0..10 {
        let talk = Talk::of(&alice);
        let (one, two) = (talk.submitted("one", 10), talk.submitted("two", 20));
        let mut again = replacing(&talk, "two", 30, &two);
        again.message_id = two.message_id;
        let mut once_more = replacing(&talk, "two", 40, &again);
        once_more.message_id = two.message_id;
        let edited = replacing(&talk, "won", 50, &one);
        let mut facts = Vec::new();
        for (request, text) in
            [(&one, "1"), (&two, "2"), (&again, "2 again"), (&once_more, "2 once more"), (&edited, "ONE")]
        {
            let millis = request.accepted_at.signed_duration_since(at(0)).num_milliseconds();
            facts.push(Fact::Submitted(request.clone()));
            facts.push(Fact::Replied(completed(request, text, millis + 5)));
        }
        let listed = async || all_messages(&*store, &alice, talk.session, 3).await;
        if rotation == 0 {
            tell(&*store, &facts[..4]).await;
            assert_eq!(contents(&listed().await), ["one", "1", "two", "2"]);
            tell(&*store, &facts[4..6]).await;
            assert_eq!(contents(&listed().await), ["one", "1", "two", "2 again"]);
            tell(&*store, &facts[6..8]).await;
            assert_eq!(contents(&listed().await), ["one", "1", "two", "2 once more"]);
        }
        facts.rotate_left(rotation);
        tell(&*store, &facts).await;
        tell(&*store, &facts[3..5]).await;
        let current = listed().await;
        assert_eq!(contents(&current), ["won", "ONE"], "from {rotation} on");
        assert!(
            current.iter().all(|message| message.superseded_by.is_none()),
            "it is not told in a list of one branch"
        );

        let all = all_branches(&*store, &alice, talk.session, 4).await;
        let superseded: Vec<(&str, Option<TaskId>)> =
            all.iter().map(|message| (message.content.as_str(), message.superseded_by.unwrap())).collect();
        let (by_again, by_once_more, by_edit) = (Some(again.task_id), Some(once_more.task_id), Some(edited.task_id));
        let expected = [
            ("one", by_edit),
            ("1", by_edit),
            ("two", by_again),
            ("2", by_again),
            ("two", by_once_more),
            ("2 again", by_once_more),
            ("two", by_edit),
            ("2 once more", by_edit),
            ("won", None),
            ("ONE", None),
        ];
        assert_eq!(superseded, expected, "from {rotation} on");
        assert_eq!(task(&*store, &alice, two.task_id).await.reply.content, "2", "an earlier version stays readable");
    }
}

/// A reader on page one neither misses nor repeats what stays, though the rest is superseded before page two.
pub async fn pages_of_a_branch_are_stable(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let requests: Vec<_> = (0..6).map(|n| talk.submitted(&format!("question {n}"), n * 10)).collect();
    for request in &requests {
        tell(&*store, &[Fact::Submitted(request.clone())]).await;
    }
    let first = store.messages(&alice, talk.session, &PageRequest { limit: 2, from: None }).await.unwrap();
    assert_eq!(contents(&first.data), ["question 0", "question 1"]);
    tell(&*store, &[Fact::Submitted(replacing(&talk, "another", 70, &requests[3]))]).await;
    let from = first.next.as_deref().map(position);
    let second = store.messages(&alice, talk.session, &PageRequest { limit: 2, from }).await.unwrap();
    assert_eq!((contents(&second.data), second.next), (vec!["question 2", "another"], None));
    for limit in [1, 2, 3, 4, 7] {
        let listed = all_messages(&*store, &alice, talk.session, limit).await;
        assert_eq!(contents(&listed), ["question 0", "question 1", "question 2", "another"], "in pages of {limit}");
        assert_eq!(all_branches(&*store, &alice, talk.session, limit).await.len(), 7, "in pages of {limit}");
    }
}

/// A turn comes back as it was asked, by its task and by its message, and says whether it is the last and still stands.
pub async fn a_turn_is_found_whole(store: Arc<dyn Store>) {
    let (alice, bob) = (user("alice"), user("bob"));
    let talk = Talk::of(&alice);
    let mut one = talk.submitted("what is this?", 10);
    let image_url = ImageUrl { url: "data:image/png;base64,aGVsbG8=".to_owned(), detail: Some("low".to_owned()) };
    one.input = TurnInput {
        parts: vec![ContentPart::Text { text: "what is this?".to_owned() }, ContentPart::ImageUrl { image_url }],
        tool_results: vec![ToolResult { tool_call_id: "c1".to_owned(), content: "nul \0 there".to_owned() }],
        tools: Some(json!([{"type": "function", "function": {"name": "f"}}])),
        ..TurnInput::default()
    };
    one.metadata = serde_json::from_value(json!({"a": 1})).unwrap();
    let find = async |turn| store.turn(&alice, talk.session, turn).await.unwrap();
    assert_eq!(find(TurnOf::Task(one.task_id)).await, Lookup::Unknown);
    let mut reply = completed(&one, "", 15);
    reply.task.details.tool_calls =
        vec![ToolCall { id: "c2".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() }];
    tell(&*store, &[Fact::Submitted(one.clone()), Fact::Replied(reply.clone())]).await;
    let found = Lookup::Found(StoredTurn { message: one.clone(), superseded_by: None, is_last: true });
    assert_eq!(find(TurnOf::Task(one.task_id)).await, found);
    assert_eq!(find(TurnOf::Message(one.message_id)).await, found);

    let listed = all_messages(&*store, &alice, talk.session, 10).await;
    assert_eq!(message_ids(&listed), [one.message_id, one.reply_message_id]);
    assert_eq!((&listed[0].parts, &listed[0].tool_results), (&one.input.parts, &one.input.tool_results));
    assert_eq!((&listed[1].parts, &listed[1].tool_calls), (&Vec::new(), &reply.task.details.tool_calls));

    // The message is asked again: it is found where it was asked last.
    let mut again = replacing(&talk, "what is this?", 20, &one);
    again.message_id = one.message_id;
    tell(&*store, &[Fact::Submitted(again.clone())]).await;
    let latest = Lookup::Found(StoredTurn { message: again.clone(), superseded_by: None, is_last: true });
    assert_eq!(find(TurnOf::Message(one.message_id)).await, latest);
    let superseded_by = Some(again.task_id);
    let found = Lookup::Found(StoredTurn { message: one.clone(), superseded_by, is_last: false });
    assert_eq!(find(TurnOf::Task(one.task_id)).await, found);

    for turn in [TurnOf::Message(one.reply_message_id), TurnOf::Message(fresh::<MessageId>()), TurnOf::Task(fresh())] {
        assert_eq!(find(turn).await, Lookup::Unknown, "{turn:?}");
    }
    let turn = TurnOf::Task(again.task_id);
    assert_eq!(store.turn(&bob, talk.session, turn).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.turn(&alice, fresh(), turn).await.unwrap(), Lookup::Unknown);
    tell(&*store, &[Fact::Deleted(talk.deleted(30)), Fact::Submitted(again.clone())]).await;
    assert_eq!(find(turn).await, Lookup::Deleted);
    assert_eq!(all_branches(&*store, &alice, talk.session, 10).await, []);
}

/// A turn that was refused, as another one came first, stands in for nothing, whatever order the events come in.
pub async fn a_refused_turn_stands_in_for_nothing(store: Arc<dyn Store>) {
    let alice = user("alice");
    for refusal_first in [false, true] {
        let talk = Talk::of(&alice);
        let asked = talk.submitted("why?", 10);
        let (again, refused) = (replacing(&talk, "why?", 20, &asked), replacing(&talk, "why?", 30, &asked));
        let mut refusal = completed(&refused, "", 35);
        refusal.task.status = Status::Failed;
        refusal.task.error = Some(TaskError {
            code: codes::SESSION_BUSY.to_owned(),
            message: "Another one came first.".to_owned(),
            retryable: true,
        });
        let mut facts = vec![Fact::Submitted(refused.clone()), Fact::Replied(refusal)];
        if refusal_first {
            facts.reverse();
        }
        tell(&*store, &[Fact::Submitted(asked.clone()), Fact::Replied(completed(&asked, "1", 15))]).await;
        tell(&*store, &[Fact::Submitted(again.clone()), Fact::Replied(completed(&again, "2", 25))]).await;
        tell(&*store, &facts).await;
        tell(&*store, &facts[..1]).await;
        let listed = all_messages(&*store, &alice, talk.session, 3).await;
        assert_eq!(contents(&listed), ["why?", "2", "why?"], "refusal first: {refusal_first}");
        let found = store.turn(&alice, talk.session, TurnOf::Task(again.task_id)).await.unwrap();
        assert!(matches!(&found, Lookup::Found(turn) if turn.superseded_by.is_none()), "{found:?}");
    }
}
