//! The promise that all else rests on: events in any order, any number of times, several at once, end the same.

use std::sync::Arc;

use futures_util::future::join_all;
use parlance_shared::{UserId, content::Replaced, event::Strategy, port::store::Store, task::Status};

use super::{
    reading::Sight,
    script::{Fact, Talk, at, ended, fresh, ids_of, tell, user},
};
use fastrand::Rng;

/// Events that are told at once.
const AT_ONCE: usize = 5;

/// `in_order` is told each history once as it happened, `shuffled` in another order, with repeats and several at once.
/// Both may be the same kind of store, but not the same store.
pub async fn any_order_and_any_number_of_times_end_the_same(in_order: Arc<dyn Store>, shuffled: Arc<dyn Store>) {
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let users: Vec<UserId> = ["alice", "bob", "carol"].map(user).into();
        let history = history(&mut random, &users);
        tell(&*in_order, &history).await;

        let mut deliveries = history.clone();
        for fact in &history {
            for _ in 0..random.usize(..3) {
                deliveries.push(fact.clone());
            }
        }
        shuffle(&mut random, &mut deliveries);
        for group in deliveries.chunks(AT_ONCE) {
            for told in join_all(group.iter().map(|fact| fact.tell(&*shuffled))).await {
                told.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
        }

        let ids = ids_of(&history);
        for user in &users {
            let expected = Sight::of(&*in_order, user, &ids, 100).await;
            let limit = 1 + u32::try_from(random.usize(..4)).unwrap();
            assert_eq!(Sight::of(&*shuffled, user, &ids, limit).await, expected, "seed {seed}: {deliveries:#?}");
        }
    }
}

/// What some users did, as it happened.
fn history(random: &mut Rng, users: &[UserId]) -> Vec<Fact> {
    let mut talks = Vec::new();
    for user in users {
        for _ in 0..=random.usize(..3) {
            talks.push(conversation(random, &Talk::of(user)));
        }
    }
    // Conversations go on side by side; within each, things happen in order.
    let mut history = Vec::new();
    while !talks.is_empty() {
        let talk = random.usize(..talks.len());
        match talks[talk].pop() {
            Some(fact) => history.push(fact),
            None => drop(talks.swap_remove(talk)),
        }
    }
    history
}

/// What happened in a session, latest first.
fn conversation(random: &mut Rng, talk: &Talk) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut last: Option<Replaced> = None;
    // Few different times, so that many things happen in the same millisecond.
    let mut now = i64::try_from(random.usize(..4)).unwrap();
    for turn in 0..random.usize(..5) {
        now += i64::try_from(random.usize(..3)).unwrap();
        if chance(random, 50) {
            facts.push(change(random, talk, now));
        }
        let mut request = talk.submitted(&format!("question {turn}"), now);
        if chance(random, 30) {
            request.input.replaces = last.take();
        }
        if last.is_none() || chance(random, 60) {
            last = Some(Replaced { task_id: request.task_id, accepted_at: request.accepted_at });
        }
        facts.push(Fact::Submitted(request.clone()));
        if chance(random, 20) {
            let mut again = request.clone();
            again.accepted_at = at(now + 5);
            facts.push(Fact::Submitted(again));
        }
        now += i64::try_from(random.usize(..3)).unwrap();
        let text = format!("answer {turn}");
        let ends: &[(Status, u32, &str)] = match random.usize(..8) {
            0 => &[],
            1 => &[(Status::Completed, 1, "")],
            2 => &[(Status::Failed, 3, "")],
            3 => &[(Status::Failed, 2, "half an ans")],
            4 => &[(Status::Cancelled, 0, "")],
            5 => &[(Status::Failed, 0, ""), (Status::Completed, 1, &text)],
            6 => &[(Status::Failed, 1, "half"), (Status::Failed, 2, "")],
            _ => &[(Status::Completed, 1, &text)],
        };
        for (status, attempt, text) in ends {
            facts.push(Fact::Replied(ended(&request, *status, *attempt, text, now)));
        }
    }
    if facts.is_empty() || chance(random, 30) {
        facts.push(change(random, talk, now));
    }
    if chance(random, 25) {
        facts.push(Fact::Deleted(talk.deleted(now)));
        if chance(random, 50) {
            facts.push(change(random, talk, now + 1));
            facts.push(Fact::Submitted(talk.submitted("too late", now + 1)));
        }
    }
    facts.reverse();
    facts
}

fn change(random: &mut Rng, talk: &Talk, now: i64) -> Fact {
    let mut change = talk.changed(now);
    change.change_id = fresh();
    let word = change.change_id.to_string();
    let mut value = |percent| chance(random, percent).then(|| chance(random, 70).then(|| word.clone()));
    change.heading = value(60);
    change.instructions = value(40);
    change.metadata = value(40)
        .map(|set| set.map(|word| [("change".to_owned(), serde_json::Value::String(word))].into_iter().collect()));
    change.strategy = chance(random, 40).then(|| {
        chance(random, 70).then(|| [Strategy::Enqueue, Strategy::Interrupt, Strategy::Reject][random.usize(..3)])
    });
    Fact::Changed(change)
}

/// True about `percent` times in a hundred.
fn chance(random: &mut Rng, percent: usize) -> bool {
    random.usize(..100) < percent
}

fn shuffle<T>(random: &mut Rng, items: &mut [T]) {
    for end in (1..items.len()).rev() {
        items.swap(end, random.usize(..end + 1));
    }
}
