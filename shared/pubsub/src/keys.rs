//! The messages that a consumer holds, in order: of each ordering key the earliest is out or may go out next, the others
//! wait behind it. Knows nothing of Pub/Sub, runs no task and reads no clock.
//!
//! A message is given back together with all that follow it, the earliest first. Pub/Sub then delivers them again in
//! order; its emulator puts what is given back behind what it has not delivered yet. So what was given back is awaited in
//! its order (see [`Awaited`]) and whatever of its key arrives before is given back too.
//!
//! Pub/Sub may deliver a message that is held: the second hold on it is kept beside the first, the message comes once.

mod awaited;
mod first;
mod rules;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use self::awaited::{AWAITED, Awaited};
pub(crate) use self::rules::Rules;

/// The hold on a message.
pub(crate) trait Hold {
    /// It is done: it never comes again, as a rule.
    fn ack(self);
    /// Somebody should have it, soon.
    fn nack(self);
}

/// A consumer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// Again after the wait, or after the backoff.
    Again(Option<Duration>),
    /// After those of its key that were published before it; while none is here, after the wait.
    Behind(Duration),
    /// Somebody else should have it.
    Back,
    /// There was none.
    Dropped,
}

/// A message that goes out.
#[derive(Debug)]
pub(crate) struct Out<M> {
    pub(crate) key: String,
    /// Says whether an answer is to this delivery or to an earlier one.
    pub(crate) token: u64,
    pub(crate) message: M,
    /// How many times it went out here, this time included.
    pub(crate) attempt: u32,
    /// How many of the latest times it was not answered.
    pub(crate) unanswered: u32,
}

/// Holds on one message; of more, the oldest is surely void.
const HOLDS: usize = 4;

pub(crate) struct Keys<M, H> {
    rules: Rules,
    keys: HashMap<String, Key<M, H>>,
    /// Keys whose first message may go out, in the order in which it became so.
    ready: VecDeque<String>,
    /// When to look at a key again; what it says may be outdated.
    wakes: BTreeSet<(Instant, String)>,
    out: usize,
    tokens: u64,
    closed: bool,
}

struct Key<M, H> {
    items: VecDeque<Item<M, H>>,
    first: First,
    awaited: Awaited,
}

/// What the first message of a key does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Ready,
    Out { token: u64, until: Instant },
    Waits { until: Instant },
}

struct Item<M, H> {
    id: String,
    message: M,
    holds: Vec<H>,
    attempt: u32,
    unanswered: u32,
    /// When it was published, by any clock that all messages share.
    published: i64,
    /// It waits for one that was published before it and is not here.
    is_behind: bool,
}

impl<M: Clone, H: Hold> Keys<M, H> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            keys: HashMap::new(),
            ready: VecDeque::new(),
            wakes: BTreeSet::new(),
            out: 0,
            tokens: 0,
            closed: false,
        }
    }

    /// A message was delivered to us.
    pub(crate) fn arrive(&mut self, key: &str, id: &str, published: i64, message: M, hold: H, now: Instant) {
        if self.closed {
            return hold.nack();
        }
        let of_key = self.keys.entry(key.to_owned()).or_insert_with(|| Key {
            items: VecDeque::new(),
            first: First::Ready,
            awaited: Awaited::default(),
        });
        if let Some(item) = of_key.items.iter_mut().find(|item| item.id == id) {
            item.holds.push(hold);
            if item.holds.len() > HOLDS {
                item.holds.remove(0).nack();
            }
            return;
        }
        if of_key.awaited.puts_off(id, now) {
            return hold.nack();
        }
        if of_key.items.len() >= self.rules.per_key {
            of_key.awaited.await_it(id);
            of_key.awaited.until = Some(now + AWAITED);
            self.wakes.insert((now + AWAITED, key.to_owned()));
            return hold.nack();
        }
        of_key.awaited.came(now);
        of_key.items.push_back(Item {
            id: id.to_owned(),
            message,
            holds: vec![hold],
            attempt: 1,
            unanswered: 0,
            published,
            is_behind: false,
        });
        let waited_for = of_key.items.front().is_some_and(|first| first.is_behind && published < first.published);
        if waited_for && matches!(of_key.first, First::Waits { .. }) {
            of_key.sort();
            of_key.first = First::Ready;
            self.ready.push_back(key.to_owned());
        } else if of_key.items.len() == 1 {
            of_key.first = First::Ready;
            self.ready.push_back(key.to_owned());
        }
    }

    /// The next message that may go out.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Out<M>> {
        self.wake(now);
        if self.closed || self.out >= self.rules.max_out {
            return None;
        }
        loop {
            let key = self.ready.pop_front()?;
            let Some(of_key) = self.keys.get_mut(&key) else { continue };
            let Some(item) = of_key.items.front_mut().filter(|_| of_key.first == First::Ready) else { continue };
            item.is_behind = false;
            self.tokens += 1;
            self.out += 1;
            let (token, until) = (self.tokens, now + self.rules.lease);
            of_key.first = First::Out { token, until };
            self.wakes.insert((until, key.clone()));
            let (attempt, unanswered) = (item.attempt, item.unanswered);
            return Some(Out { token, message: item.message.clone(), attempt, unanswered, key });
        }
    }

    /// When [`Keys::take`] may have something new without anything having happened.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Holds a delivery for a lease from now, or for longer. False when it is lost.
    pub(crate) fn extend(&mut self, key: &str, token: u64, by: Option<Duration>, now: Instant) -> bool {
        let until = now + by.unwrap_or(self.rules.lease);
        let Some(of_key) = self.keys.get_mut(key).filter(|of_key| of_key.is_out(token)) else { return false };
        of_key.first = First::Out { token, until };
        self.wakes.insert((until, key.to_owned()));
        true
    }

    /// An answer to a delivery. False when it was lost: then nothing changes.
    pub(crate) fn answer(&mut self, key: &str, token: u64, answer: Answer, now: Instant) -> bool {
        let Some(of_key) = self.keys.get_mut(key).filter(|of_key| of_key.is_out(token)) else { return false };
        self.out -= 1;
        match answer {
            Answer::Done => {
                of_key.first = First::Ready;
                for hold in of_key.items.pop_front().into_iter().flat_map(|item| item.holds) {
                    hold.ack();
                }
                if self.closed {
                    self.give_back(key, now);
                } else if !of_key.items.is_empty() {
                    self.ready.push_back(key.to_owned());
                } else {
                    self.forget_if_empty(key);
                }
            }
            Answer::Back => self.give_back(key, now),
            Answer::Again(_) | Answer::Behind(_) | Answer::Dropped if self.closed => self.give_back(key, now),
            Answer::Again(after) => {
                let rules = self.rules;
                let wait = of_key.items.front_mut().map(|item| {
                    item.unanswered = 0;
                    let wait = after.unwrap_or_else(|| rules.backoff(item.attempt, &item.id));
                    item.attempt = item.attempt.saturating_add(1);
                    wait
                });
                self.first_waits(key, wait.unwrap_or_default(), now);
            }
            Answer::Behind(wait) => self.first_goes_behind(key, wait, now),
            Answer::Dropped => self.first_was_lost(key),
        }
        true
    }

    /// Gives back whatever is not out; what is out, once it is answered.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closed = true;
        let idle = |of_key: &Key<M, H>| !matches!(of_key.first, First::Out { .. });
        let idle: Vec<_> = self.keys.iter().filter(|(_, of_key)| idle(of_key)).map(|(key, _)| key.clone()).collect();
        idle.iter().for_each(|key| self.give_back(key, now));
    }

    /// As [`Keys::close`], and gives up what is out.
    pub(crate) fn abandon(&mut self, now: Instant) {
        self.closed = true;
        let all: Vec<_> = self.keys.keys().cloned().collect();
        all.iter().for_each(|key| self.give_back(key, now));
        self.out = 0;
    }
}

impl<M, H> Key<M, H> {
    /// In the order in which they were published.
    fn sort(&mut self) {
        self.items.make_contiguous().sort_by_key(|item| item.published);
    }

    fn is_out(&self, token: u64) -> bool {
        matches!(self.first, First::Out { token: current, .. } if current == token)
    }
}

#[cfg(test)]
mod tests;
