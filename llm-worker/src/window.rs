//! The window: a session's latest turns, word for word, until they are folded into its summary.
//!
//! It is bounded by tokens: twice what triggers a summary, so that one which is late, or fails over and over, costs nothing
//! but the oldest turns. Whole turns drop out, oldest first, and none is ever cut. The newest stays whatever its length, so
//! that a message never misses the reply before it; only one that no model could be sent is left out.

use parlance_shared::port::turns::CheckpointTurn;

use crate::tokens::Counter;

/// Longer turns are not kept: no model reads them, and every turn of the session would carry them along.
const LONGEST_TURN: u64 = 500_000;

/// Adds a turn and drops what no longer fits into `most` tokens.
pub(crate) fn push(window: &mut Vec<CheckpointTurn>, turn: CheckpointTurn, most: u64) {
    window.retain(|earlier| earlier.task_id != turn.task_id);
    if u64::from(turn.tokens) <= LONGEST_TURN {
        window.push(turn);
    }
    let kept = fitting(window, most, Counter::Estimate).max(1).min(window.len());
    window.drain(..window.len() - kept);
}

/// How many of the latest turns fit into so many tokens, counted from the newest backwards: never with a gap.
pub(crate) fn fitting(window: &[CheckpointTurn], most: u64, counter: Counter) -> usize {
    let mut taken = 0;
    let fits = |turn: &&CheckpointTurn| {
        taken += counter.turn(turn);
        taken <= most
    };
    window.iter().rev().take_while(fits).count()
}

/// What the turns take together.
pub(crate) fn tokens(window: &[CheckpointTurn], counter: Counter) -> u64 {
    window.iter().map(|turn| counter.turn(turn)).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::{DateTime, Duration};
    use parlance_shared::{TaskId, UserId, id_mint::IdMint};

    use super::*;

    pub(crate) fn turn(user: &str, assistant: &str, tokens: u32) -> CheckpointTurn {
        let mint = IdMint::new(&[1; 32], parlance_shared::Clock::system());
        let task_id: TaskId = mint.mint(&UserId::new("alice"));
        CheckpointTurn {
            task_id,
            user: user.to_owned(),
            assistant: assistant.to_owned(),
            input: Default::default(),
            tokens,
            tool_calls: Default::default(),
            accepted_at: None,
        }
    }

    /// Turns that say their number and were accepted in its second.
    pub(crate) fn turns(numbers: std::ops::Range<i64>, tokens: u32) -> Vec<CheckpointTurn> {
        let numbered = |n: i64| CheckpointTurn {
            accepted_at: Some(DateTime::UNIX_EPOCH + Duration::seconds(n)),
            ..turn(&n.to_string(), "x", tokens)
        };
        numbers.map(numbered).collect()
    }

    pub(crate) fn users(window: &[CheckpointTurn]) -> Vec<&str> {
        window.iter().map(|turn| turn.user.as_str()).collect()
    }

    #[test]
    fn the_oldest_turns_drop_out_whole() {
        let mut window = Vec::new();
        for turn in turns(0..5, 10) {
            push(&mut window, turn, 35);
        }
        assert_eq!(users(&window), ["2", "3", "4"]);
    }

    #[test]
    fn a_long_turn_stays_whole_and_alone_and_an_endless_one_is_left_out() {
        let mut window = vec![turn("before", "it", 10)];
        push(&mut window, turn("question", &"€".repeat(500), 510), 100);
        assert_eq!(users(&window), ["question"]);
        assert_eq!(window[0].assistant.chars().count(), 500);
        push(&mut window, turn("endless", "", 500_001), 100);
        assert_eq!(users(&window), ["question"]);
    }

    #[test]
    fn a_turn_stands_in_the_window_once() {
        let once = turn("hello", "hi", 2);
        let mut window = Vec::new();
        push(&mut window, once.clone(), 100);
        push(&mut window, once.clone(), 100);
        assert_eq!(window, [once]);
    }

    #[test]
    fn turns_that_were_never_counted_are_counted() {
        let window = [turn("a".repeat(60).as_str(), "b", 0)];
        assert_eq!(tokens(&window, Counter::Estimate), 4 + 20 + 4 + 1);
        assert_eq!(fitting(&window, 28, Counter::Estimate), 0);
        assert_eq!(fitting(&[], 0, Counter::Estimate), 0);
    }
}
