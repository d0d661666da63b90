//! The database is lost and restored as it was some time ago: the drill of docs/operations.md.
//!
//! What was accepted since then is gone from it, but not from the bus, which keeps what was published. Google's emulator can't
//! seek: a subscription of the test's own keeps what was published to the topic, and the test publishes it again. Workers
//! see the same as after a seek: each event once more.

use std::{collections::BTreeMap, time::Duration};

use parlance_mock_llm::{Behaviour, Script};
use reqwest::Method;

use crate::support::{Accepted, Message, Service, World, eventually};

const RETAINED: &str = "retained";
const ENDS: &str = "ends";

/// No two requests get the same words, so that a reply of before the loss differs from one made after it.
fn script() -> Script {
    Script::always(Behaviour { vary: true, ..Behaviour::tokens(20).with_token_delay(Duration::from_millis(3)) })
}

/// What the user has said in each session, in order.
#[derive(Default)]
struct Said(BTreeMap<String, Vec<(String, String)>>);

impl Said {
    async fn say(&mut self, ingest: &Service, session: Option<&str>, content: &str) -> Accepted {
        let accepted = ingest.say(session, content).await;
        self.0.entry(accepted.session.clone()).or_default().push((accepted.task.clone(), content.to_owned()));
        accepted
    }

    /// The same, answered and recorded.
    async fn talk(&mut self, ingest: &Service, session: Option<&str>, content: &str) -> Accepted {
        let accepted = self.say(ingest, session, content).await;
        ingest.completed(&accepted.task).await;
        ingest.recorded(&accepted.session, 2 * self.0[&accepted.session].len()).await;
        accepted
    }

    /// Every message is in the record once, in its order, and so is its whole reply, which is the task's, too. Gives what was
    /// said in each session, by turns.
    async fn is_on_record(&self, ingest: &Service) -> BTreeMap<String, Vec<String>> {
        let mut records = BTreeMap::new();
        for (session, turns) in &self.0 {
            let mut record = Vec::new();
            for (task, content) in turns {
                let ended = ingest.completed(task).await;
                record.extend([content.clone(), ended["reply"]["content"].as_str().unwrap().to_owned()]);
            }
            ingest.recorded(session, record.len()).await;
            let listed = ingest.messages(session).await;
            for (role, first) in [("user", 0), ("assistant", 1)] {
                let listed: Vec<_> = listed.iter().filter(|(by, ..)| by == role).map(|(_, text, _)| text).collect();
                let said: Vec<_> = record.iter().skip(first).step_by(2).collect();
                assert_eq!(listed, said, "what the {role} said, wherever it is read");
            }
            records.insert(session.clone(), record);
        }
        records
    }
}

async fn publish_again(world: &World, topic: &str, kept: Vec<Message>) {
    for message in kept {
        world.pubsub.publish(topic, &message).await;
    }
}

/// What the subscription holds, once nothing more comes, in the order in which it was published.
async fn kept(world: &World, subscription: &str, least: usize) -> Vec<Message> {
    let mut kept = Vec::new();
    eventually(&format!("{least} messages wait for {subscription}"), async || {
        let more = world.pubsub.take(subscription).await;
        let is_all = more.is_empty() && kept.len() >= least;
        kept.extend(more);
        is_all.then_some(())
    })
    .await;
    kept.sort_by_key(|message: &Message| message.attributes.get("ce-time").cloned());
    kept
}

#[tokio::test]
async fn what_was_accepted_since_the_backup_is_answered_again_from_what_the_bus_kept() {
    let Some(world) = World::new(script()).await else { return };
    let (ingest, worker, persist) = world.all().await;
    world.pubsub.subscribe(RETAINED, "parlance-requests").await;
    world.pubsub.subscribe(ENDS, "parlance-replies").await;
    let mut said = Said::default();
    let old = said.talk(&ingest, None, "old").await;
    let known = said.talk(&ingest, None, "known").await;
    let gone = ingest.say(None, "deleted later").await;
    ingest.completed(&gone.task).await;
    ingest.recorded(&gone.session, 2).await;
    let before = said.is_on_record(&ingest).await;

    // A turn is under way at the time of the backup.
    let under_way = said.say(&ingest, Some(&known.session), "under way").await;
    world.database.back_up().await;
    ingest.completed(&under_way.task).await;
    said.talk(&ingest, Some(&known.session), "after the backup").await;
    let new = said.talk(&ingest, None, "a new session").await;
    said.talk(&ingest, Some(&new.session), "its second message").await;
    let deleted = ingest.try_call(Method::DELETE, &format!("/v1/sessions/{}", gone.session), &[], None).await.unwrap();
    assert!(deleted.status < 300, "{deleted:?}");

    // An end waits on the bus to be recorded when it is lost; ingest-api goes on accepting, also in a session that the backup
    // does not know.
    persist.kill();
    let unrecorded = said.say(&ingest, Some(&old.session), "ended and not recorded").await;
    let lost_reply = ingest.completed(&unrecorded.task).await["reply"]["content"].as_str().unwrap().to_owned();
    let says_so = |end: &Message| String::from_utf8_lossy(&end.data).contains(&lost_reply);
    eventually("the end is published", async || world.pubsub.take(ENDS).await.iter().any(says_so).then_some(())).await;
    world.to_database.refuse();
    worker.kill();
    said.say(&ingest, None, "accepted without a database").await;
    said.say(&ingest, Some(&new.session), "its third message").await;
    world.database.lose_and_restore().await;
    world.to_database.heal();
    assert!(ingest.is_ready().await);

    // From here on as in the runbook. Ends of before are forgotten: nobody knows their replies any more. Requests come again.
    let ends = kept(&world, "persist-replies", 1).await;
    assert!(ends.iter().any(says_so), "{ends:?}");
    // A seek puts what was done before what waits, as they were published: so what waits is taken out here.
    let requests = kept(&world, RETAINED, 11).await;
    for subscription in ["llm-worker", "persist-requests"] {
        kept(&world, subscription, 2).await;
    }
    publish_again(&world, "parlance-requests", requests.clone()).await;
    // Every service is started anew: ingest-api, too, remembers ends for a while.
    ingest.kill();
    let (ingest, _worker, _persist) = world.all().await;
    let after = said.is_on_record(&ingest).await;
    for session in [&old.session, &known.session] {
        assert_eq!(after[session][..2], before[session][..], "what the backup has is not answered again");
    }
    assert_ne!(after[&old.session][3], lost_reply, "what it lacks is");
    eventually("the deletion has come again", async || {
        (ingest.get(&format!("/v1/sessions/{}", gone.session)).await.status == 404).then_some(())
    })
    .await;

    // Once more, as an operator does who is not sure: nothing changes, and no model is asked.
    let asked = world.mock.requests().len();
    publish_again(&world, "parlance-requests", requests).await;
    // What follows in each session is behind it.
    for session in [&old.session, &known.session, &new.session] {
        said.talk(&ingest, Some(session), "and now?").await;
        let request = world.mock.requests().last().unwrap().clone();
        let heard: Vec<_> = request.messages.iter().map(|message| message.content.clone()).collect();
        let so_far = &after[session];
        assert_eq!(
            heard[heard.len() - 1 - so_far.len()..heard.len() - 1],
            so_far[..],
            "the model hears what is on record"
        );
    }
    assert_eq!(world.mock.requests().len(), asked + 3);
    let at_the_end = said.is_on_record(&ingest).await;
    for (session, record) in after {
        assert_eq!(at_the_end[&session][..record.len()], record[..]);
    }
}
