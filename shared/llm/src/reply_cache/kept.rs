//! Whole replies, for a time and within a bound: the one that was used least recently goes first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parlance_shared::{content::ToolCall, port::llm::LlmEvent, settings::ReplyCacheSettings, task::Usage};
use tokio::time::Instant;

use super::key::Key;

/// What a reply takes beyond its text, about.
const OVERHEAD: usize = 512;

/// Text is given out in pieces of at most so many bytes.
pub(super) const PIECE: usize = 16 * 1024;

/// Nobody was asked.
pub(super) const NO_TOKENS: Usage = Usage { input_tokens: Some(0), output_tokens: Some(0), cached_tokens: Some(0) };

/// A reply that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WholeReply {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) model: Option<String>,
    pub(super) finish_reason: Option<String>,
}

impl WholeReply {
    fn bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| OVERHEAD + call.id.len() + call.name.len() + call.arguments.len());
        OVERHEAD + self.text.len() + calls.sum::<usize>()
    }

    /// It as a provider would say it.
    pub(super) fn events(&self) -> impl Iterator<Item = LlmEvent> {
        let calls = self.calls.iter().cloned().map(LlmEvent::ToolCall);
        let (model, finish_reason) = (self.model.clone(), self.finish_reason.clone());
        pieces(&self.text).map(|piece| LlmEvent::Delta(piece.to_owned())).chain(calls).chain([LlmEvent::Finished {
            model,
            usage: NO_TOKENS,
            finish_reason,
        }])
    }
}

fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

struct Entry {
    reply: Arc<WholeReply>,
    bytes: usize,
    until: Instant,
    /// Its place in the order of use.
    used: u64,
    /// Its place in the order of age.
    born: u64,
}

/// Replies by their keys.
pub(super) struct Kept {
    keep: Duration,
    most_bytes: usize,
    bytes: usize,
    uses: u64,
    entries: HashMap<Key, Entry>,
    /// The least recently used first.
    order: BTreeMap<u64, Key>,
    /// The oldest first: all are kept for the same time.
    ages: BTreeMap<u64, Key>,
}

impl Kept {
    pub(super) fn new(ReplyCacheSettings { keep, bytes: most_bytes }: ReplyCacheSettings) -> Self {
        Self {
            keep,
            most_bytes,
            bytes: 0,
            uses: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            ages: BTreeMap::new(),
        }
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<WholeReply>> {
        let entry = self.entries.get_mut(key)?;
        if entry.until <= Instant::now() {
            self.remove(key);
            return None;
        }
        self.order.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.order.insert(self.uses, *key);
        Some(Arc::clone(&entry.reply))
    }

    /// Takes the place of what others used least recently; a reply that is too large is not kept.
    pub(super) fn put(&mut self, key: Key, reply: WholeReply) {
        self.remove(&key);
        let bytes = reply.bytes();
        if bytes > self.most_bytes {
            return;
        }
        while self.bytes + bytes > self.most_bytes {
            let Some(oldest) = self.order.first_key_value().map(|(_, key)| *key) else { break };
            self.remove(&oldest);
        }
        self.uses += 1;
        self.bytes += bytes;
        self.order.insert(self.uses, key);
        self.ages.insert(self.uses, key);
        let until = Instant::now() + self.keep;
        self.entries.insert(key, Entry { reply: Arc::new(reply), bytes, until, used: self.uses, born: self.uses });
    }

    /// Drops what has been kept for its time; says when there is more to drop.
    pub(super) fn forget_expired(&mut self) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let key = *self.ages.first_key_value()?.1;
            let until = self.entries.get(&key)?.until;
            if until > now {
                return Some(until);
            }
            self.remove(&key);
        }
    }

    /// What all that is kept takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.order.remove(&entry.used);
            self.ages.remove(&entry.born);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(text: &str) -> WholeReply {
        WholeReply { text: text.to_owned(), calls: Vec::new(), model: None, finish_reason: None }
    }

    fn kept(bytes: usize) -> Kept {
        Kept::new(ReplyCacheSettings { keep: Duration::from_secs(60), bytes })
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_is_kept_for_its_time() {
        let mut kept = kept(10_000);
        kept.put([1; 32], reply("one"));
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert_eq!(kept.get(&[1; 32]).as_deref(), Some(&reply("one")));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(kept.get(&[1; 32]), None, "being used does not make it younger");
        assert_eq!((kept.bytes, kept.entries.len(), kept.order.len(), kept.ages.len()), (0, 0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_dropped_in_time() {
        let mut kept = kept(10_000);
        assert_eq!(kept.forget_expired(), None);
        kept.put([1; 32], reply("one"));
        tokio::time::advance(Duration::from_secs(20)).await;
        kept.put([2; 32], reply("two"));
        kept.get(&[1; 32]);
        assert_eq!(kept.forget_expired(), Some(Instant::now() + Duration::from_secs(40)));
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(kept.forget_expired(), Some(Instant::now() + Duration::from_secs(20)), "the first is gone");
        assert_eq!((kept.entries.len(), kept.ages.len()), (1, 1));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!((kept.forget_expired(), kept.bytes), (None, 0));
    }

    #[tokio::test]
    async fn the_least_recently_used_goes_first_and_what_is_too_large_is_not_kept() {
        let mut kept = kept(3 * (OVERHEAD + 1));
        for n in 1..=3 {
            kept.put([n; 32], reply("x"));
        }
        assert!(kept.get(&[1; 32]).is_some());
        kept.put([4; 32], reply("x"));
        assert!(kept.get(&[2; 32]).is_none());
        assert!([1, 3, 4].iter().all(|n| kept.get(&[*n; 32]).is_some()));
        kept.put([1; 32], reply(&"x".repeat(3 * (OVERHEAD + 1))));
        assert!(kept.get(&[1; 32]).is_none(), "what it stood for is gone");
        assert!([3, 4].iter().all(|n| kept.get(&[*n; 32]).is_some()));
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_the_books_are_right(puts in proptest::collection::vec((0_u8..9, 0_usize..2_000), 1..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut kept = kept(5_000);
                for (n, length) in puts {
                    kept.get(&[n.wrapping_add(1); 32]);
                    kept.put([n; 32], reply(&"x".repeat(length)));
                    assert!(kept.bytes <= 5_000);
                    assert_eq!(kept.bytes, kept.entries.values().map(|entry| entry.bytes).sum::<usize>());
                    assert_eq!((kept.order.len(), kept.ages.len()), (kept.entries.len(), kept.entries.len()));
                }
            });
        }

        #[test]
        fn pieces_are_the_text(text in "\\PC{0,40}") {
            let text = text.repeat(1_500);
            prop_assert!(pieces(&text).all(|piece| piece.len() <= PIECE));
            prop_assert_eq!(pieces(&text).collect::<String>(), text);
        }
    }
}
