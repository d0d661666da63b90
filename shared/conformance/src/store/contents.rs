//! What is said comes back as it was said.

use std::sync::Arc;

use parlance_shared::{UserId, event::SessionChanged, port::store::Store};

use super::{
    reading::{all_messages, session, task},
    script::{Fact, Talk, completed, tell, user},
};

const KIB: usize = 1024;

/// The longest message that is accepted and replies of a megabyte; many of them too, in as many pages as the store likes.
pub async fn long_texts_come_back_whole(store: Arc<dyn Store>) {
    let alice = user("alice");
    let talk = Talk::of(&alice);
    let mut expected = Vec::new();
    for turn in 0..6_u8 {
        let letter = char::from(b'a' + turn);
        let (question, answer) = (String::from(letter).repeat(256 * KIB), format!("{letter}€").repeat(256 * KIB));
        let request = talk.submitted(&question, i64::from(turn) * 10);
        let reply = completed(&request, &answer, i64::from(turn) * 10 + 5);
        tell(&*store, &[Fact::Submitted(request.clone()), Fact::Replied(reply)]).await;
        assert!(task(&*store, &alice, request.task_id).await.reply.content == answer, "the task's reply is another");
        expected.extend([question, answer]);
    }
    for limit in [1, 100] {
        let messages = all_messages(&*store, &alice, talk.session, limit).await;
        let same = messages.iter().map(|message| &message.content).eq(&expected);
        assert!(same, "{} messages of {}, or other texts", messages.len(), expected.len());
    }
}

/// Any characters, in every text there is.
pub async fn text_of_any_script_comes_back_unchanged(store: Arc<dyn Store>) {
    for text in [
        "Grüße, 世界! Привет. سلام \u{202e}olleh\u{202c}",
        "👩‍👩‍👧‍👦 e\u{301} ﷽ \u{feff}\u{fffd}\u{10ffff}",
        "a\0b",
        "'; DROP TABLE messages; -- \" \\ % _ ?1 :x $y {}",
        " \t\r\n leading and trailing \n",
    ] {
        let name = user(text);
        let alice = UserId::new(name.as_str());
        let talk = Talk::of(&alice);
        let request = talk.submitted(text, 1);
        let metadata: parlance_shared::session::Metadata =
            [(text.to_owned(), serde_json::json!({"deep": [text, u64::MAX, -1.5e300, true, null]}))]
                .into_iter()
                .collect();
        let change = SessionChanged {
            heading: Some(Some(text.to_owned())),
            instructions: Some(Some(text.to_owned())),
            metadata: Some(Some(metadata.clone())),
            ..talk.changed(0)
        };
        let facts =
            [Fact::Changed(change), Fact::Submitted(request.clone()), Fact::Replied(completed(&request, text, 2))];
        tell(&*store, &facts).await;
        let read = session(&*store, &alice, talk.session).await;
        assert_eq!((read.heading.as_deref(), read.instructions.as_deref()), (Some(text), Some(text)));
        assert_eq!(read.metadata, Some(metadata));
        let messages = all_messages(&*store, &alice, talk.session, 10).await;
        assert_eq!(messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), [text, text]);
        assert_eq!(task(&*store, &alice, request.task_id).await.reply.content, text);
    }
}
