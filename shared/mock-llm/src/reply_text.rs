//! What the mock says: words that follow from the user's text alone, so that a test can compute the reply.

/// A few words have more than one byte to a letter: cuts inside a letter must happen in tests too.
/// None needs escaping in JSON.
const WORDS: [&str; 24] = [
    "the ", "river ", "naïve ", "of ", "stone ", "and ", "light ", "über ", "a ", "quiet ", "日本 ", "window ", "to ",
    "carries ", "salt ", "under ", "café ", "seven ", "bridges ", "in ", "rain ", "🙂 ", "slow ", "paper ",
];

/// Bytes that [`crate::Fault::Big`] says.
pub const BIG_REPLY_BYTES: usize = 1024 * 1024;

const BIG_TOKEN_BYTES: usize = 4096;

/// The reply's text: all its tokens in a row.
pub(crate) struct ReplyText {
    seed: u64,
    head: Option<String>,
    big: bool,
    /// As they stand in JSON.
    said: Vec<String>,
    pub(crate) tokens: u32,
}

impl ReplyText {
    pub(crate) fn new(user_text: &str, attempt: Option<u32>, tokens: u32, messages: Option<usize>) -> Self {
        let mut seed = fnv1a(user_text.as_bytes());
        if let Some(attempt) = attempt {
            seed = mix(seed ^ (u64::from(attempt) + 1));
        }
        Self { seed, head: messages.map(|n| format!("messages={n} ")), big: false, said: Vec::new(), tokens }
    }

    /// This text, a word a token.
    pub(crate) fn said(text: &str) -> Self {
        let escaped = |word: &str| {
            let json = serde_json::Value::from(word).to_string();
            json[1..json.len() - 1].to_owned()
        };
        let said: Vec<String> = text.split_inclusive(char::is_whitespace).map(escaped).collect();
        let tokens = u32::try_from(said.len()).unwrap_or(u32::MAX);
        Self { seed: 0, head: None, big: false, said, tokens }
    }

    pub(crate) fn big() -> Self {
        Self { seed: 0, head: None, big: true, said: Vec::new(), tokens: (BIG_REPLY_BYTES / BIG_TOKEN_BYTES) as u32 }
    }

    /// The text of token `i`, as it stands in JSON.
    pub(crate) fn token(&self, i: u32) -> &str {
        if let Some(word) = self.said.get(i as usize) {
            return word;
        }
        match &self.head {
            Some(head) if i == 0 => head,
            _ if self.big => big_token(i),
            _ => WORDS[(mix(self.seed.wrapping_add(u64::from(i))) % WORDS.len() as u64) as usize],
        }
    }

    pub(crate) fn first(&self, tokens: u32) -> String {
        (0..tokens.min(self.tokens)).map(|i| self.token(i)).collect()
    }
}

fn big_token(i: u32) -> &'static str {
    const A: &str = match std::str::from_utf8(&[b'a'; BIG_TOKEN_BYTES]) {
        Ok(text) => text,
        Err(_) => "",
    };
    const B: &str = match std::str::from_utf8(&[b'b'; BIG_TOKEN_BYTES]) {
        Ok(text) => text,
        Err(_) => "",
    };
    if i.is_multiple_of(2) { A } else { B }
}

/// What the mock replies to this text with so many tokens.
pub fn expected_reply(user_text: &str, tokens: u32) -> String {
    ReplyText::new(user_text, None, tokens, None).first(tokens)
}

/// The same where the behaviour's `vary` is set: the reply to request `k` (from 0) with this text.
pub fn expected_varied_reply(user_text: &str, k: u32, tokens: u32) -> String {
    ReplyText::new(user_text, Some(k), tokens, None).first(tokens)
}

/// The same where the behaviour's `echo_count` is set: the first token says how many messages the prompt had.
pub fn expected_counted_reply(user_text: &str, messages: usize, tokens: u32) -> String {
    ReplyText::new(user_text, None, tokens, Some(messages)).first(tokens)
}

/// What [`crate::Fault::Big`] says.
pub fn expected_big_reply() -> String {
    let text = ReplyText::big();
    text.first(text.tokens)
}

pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Splitmix64's finalizer.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_follow_from_the_text() {
        assert_eq!(expected_reply("a", 30), expected_reply("a", 30));
        assert_ne!(expected_reply("a", 30), expected_reply("b", 30));
        assert!(expected_reply("a", 30).starts_with(&expected_reply("a", 10)));
        assert_ne!(expected_varied_reply("a", 0, 30), expected_varied_reply("a", 1, 30));
        assert!(expected_counted_reply("a", 3, 5).starts_with("messages=3 "));
        assert_eq!(expected_big_reply().len(), BIG_REPLY_BYTES);
    }

    #[test]
    fn no_word_needs_escaping() {
        for word in WORDS {
            assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{word}\""));
        }
    }
}
