//! What the conversations will do: all of it follows from the seed.

use std::time::Duration;

use parlance_mock_llm::expected_varied_reply;

use crate::random::Random;

/// Requests with one text that the mock may have to answer: attempts, crashes and redeliveries together.
const MOST_REQUESTS: u32 = 64;

/// One conversation.
#[derive(Clone, Debug)]
pub struct ConversationPlan {
    /// Counts conversations from 0.
    pub number: usize,
    /// It begins so long after the first.
    pub begins_after: Duration,
    /// All messages are posted before any reply is read.
    pub posts_ahead: bool,
    /// The session is made first, not by the first message.
    pub makes_session: bool,
    /// Its turns.
    pub turns: Vec<TurnPlan>,
    /// For choices on the way.
    pub random: Random,
}

/// One turn.
#[derive(Clone, Debug)]
pub struct TurnPlan {
    /// The message: unique, with a directive for the mock.
    pub content: String,
    /// Tokens of the reply.
    pub tokens: u32,
    /// The fault that the directive asks for.
    pub fault: Option<&'static str>,
    /// How the task must end.
    pub end: End,
    /// Sent with the POST, so that it can be repeated.
    pub key: Option<String>,
    /// How many follow the stream.
    pub subscribers: u64,
    /// Whether someone waits by long-poll too.
    pub polls: bool,
}

/// How a task must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a whole reply.
    Completed,
    /// With this code.
    Failed(&'static str),
    /// Because its owner said so, this many milliseconds after the 202.
    Cancelled(u64),
}

/// Faults that another attempt gets over.
const PASSING: [&str; 11] = [
    "http_500",
    "http_429",
    "reset_before_first_byte",
    "stall_before_first",
    "cut_mid_stream",
    "reset_mid_stream",
    "end_mid_stream",
    "stall_mid_stream",
    "error_event_mid_stream",
    "garbage",
    "empty_reply",
];

/// Faults that none gets over, and the codes that tell.
const LASTING: [(&str, &str); 4] = [
    ("http_500", "provider_unavailable"),
    ("http_400", "provider_rejected"),
    ("context_too_long", "context_too_long"),
    ("content_refused", "content_refused"),
];

impl ConversationPlan {
    /// A conversation of so many turns, of up to `longest` tokens each, that begins within this time.
    pub fn new(number: usize, turns: usize, longest: u64, within: Duration, seed: u64, random: &mut Random) -> Self {
        let begins_after = Duration::from_millis(random.between(0, within.as_millis() as u64));
        let posts_ahead = random.chance(30);
        let makes_session = random.chance(40);
        let turns = (0..turns)
            .map(|turn| {
                // Without a session there is nothing to find an unanswered message in.
                let may_be_unsure = turn > 0 || makes_session;
                TurnPlan::new(&format!("{seed:x} c{number} t{turn}"), longest, may_be_unsure, random)
            })
            .collect();
        Self { number, begins_after, posts_ahead, makes_session, turns, random: random.fork() }
    }
}

impl TurnPlan {
    fn new(name: &str, longest: u64, may_be_unsure: bool, random: &mut Random) -> Self {
        let mut tokens = random.between(5, longest) as u32;
        let mut delay_ms = random.pick(&[0, 0, 2, 5, 10, 15]).unwrap_or_default();
        let (mut fault, mut times, mut end) = (None, String::new(), End::Completed);
        match random.between(1, 100) {
            1..=30 => {
                fault = random.pick(&PASSING);
                times = format!(" times={}", random.between(1, 2));
            }
            31..=38 => {
                if let Some((word, code)) = random.pick(&LASTING) {
                    (fault, end) = (Some(word), End::Failed(code));
                }
            }
            39..=50 => {
                // Twelve seconds for each 80 tokens: whatever happens, the owner is sooner.
                (tokens, delay_ms) = (longest as u32 * 15 / 2, 20);
                end = End::Cancelled(random.pick(&[0, 0, 50, 300, 800]).unwrap_or_default());
            }
            _ => {}
        }
        let word = fault.map(|fault| format!(" fault={fault}{times}")).unwrap_or_default();
        let key = (!may_be_unsure || random.chance(70)).then(|| format!("key-{}", name.replace(' ', "-")));
        Self {
            content: format!("{name} [[mock tokens={tokens} delay_ms={delay_ms} vary=1{word}]]"),
            tokens,
            fault,
            end,
            key,
            subscribers: random.between(1, 3),
            polls: random.chance(30),
        }
    }

    /// Whether the mock can have said this, and nothing else, in one reply to this turn: whole, or a beginning of it.
    pub fn may_be_said(&self, text: &str, whole: bool) -> bool {
        (0..MOST_REQUESTS)
            .map(|request| expected_varied_reply(&self.content, request, self.tokens))
            .any(|reply| if whole { reply == text } else { reply.starts_with(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_plan_and_another_does_not() {
        let plan = |seed| {
            format!("{:?}", ConversationPlan::new(3, 5, 80, Duration::from_secs(9), seed, &mut Random::new(seed)))
        };
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn only_replies_of_the_mock_may_be_said() {
        let turn = TurnPlan::new("x", 80, true, &mut Random::new(1));
        let first = expected_varied_reply(&turn.content, 0, turn.tokens);
        let second = expected_varied_reply(&turn.content, 1, turn.tokens);
        assert!(turn.may_be_said(&first, true) && turn.may_be_said(&second, true));
        let half = expected_varied_reply(&turn.content, 0, turn.tokens / 2);
        assert!(turn.may_be_said(&half, false) && !turn.may_be_said(&half, true));
        assert!(!turn.may_be_said(&format!("{half}{second}"), false), "a mix of attempts was taken");
        assert!(!turn.may_be_said(&format!("{first}{first}"), true), "a doubled reply was taken");
    }
}
