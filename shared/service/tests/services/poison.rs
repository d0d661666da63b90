//! Messages that nobody can work on hold up nobody.

use std::collections::BTreeMap;

use parlance_mock_llm::Script;

use crate::support::{Message, World, eventually};

fn event(ty: &str, data: &[u8], key: &str) -> Message {
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "poison"),
        ("ce-type", ty),
        ("ce-source", "//elsewhere"),
        ("content-type", "application/json"),
    ];
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Message { attributes, data: data.to_vec(), key: key.to_owned() }
}

#[tokio::test]
async fn poison_blocks_neither_other_sessions_nor_its_own() {
    let Some(world) = World::new(Script::default()).await else { return };
    let (ingest, _worker, _persist) = world.all().await;
    let first = ingest.say(None, "first").await;
    ingest.completed(&first.task).await;
    let poison = [
        Message { attributes: BTreeMap::new(), data: b"no event at all".to_vec(), key: first.session.clone() },
        event("com.example.other.v1", b"{}", &first.session),
        event("parlance.message.submitted.v1", b"this is no JSON", &first.session),
        event("parlance.message.submitted.v1", b"{\"task_id\": 1}", &first.session),
        event("parlance.message.submitted.v1", b"{}", ""),
    ];
    for message in &poison {
        world.pubsub.publish("parlance-requests", message).await;
    }
    let other = ingest.say(None, "another session").await;
    let same = ingest.say(Some(&first.session), "the same session").await;
    ingest.completed(&other.task).await;
    ingest.completed(&same.task).await;
    ingest.recorded(&first.session, 4).await;
    ingest.recorded(&other.session, 2).await;
    for subscription in ["llm-worker", "persist-requests"] {
        let mut letters = Vec::new();
        eventually("each is a dead letter", async || {
            letters.extend(world.pubsub.take(&format!("{subscription}-dead-letters")).await);
            (letters.len() >= poison.len()).then_some(())
        })
        .await;
        let mut data: Vec<_> = letters.iter().map(|letter| letter.data.clone()).collect();
        let mut expected: Vec<_> = poison.iter().map(|message| message.data.clone()).collect();
        data.sort();
        expected.sort();
        assert_eq!(data, expected, "{subscription}");
        for letter in &letters {
            assert!(!letter.attributes["parlance-dead-reason-code"].is_empty(), "{letter:?}");
        }
    }
    assert_eq!(world.mock.requests().len(), 3);
}
