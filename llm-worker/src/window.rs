//! The window: which of a session's latest turns the model is shown again.
//!
//! Bounded by turns and by bytes, counted from the newest turn backwards; whole turns drop out, oldest first. The bounds
//! hold for what is saved and for what is sent. The newest turn always stays, so that a message never misses the reply
//! before it: when it alone is larger than the bound, its texts are cut.

use parlance_shared::{content::Replaced, port::turns::CheckpointTurn};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// At most this many turns.
    pub(crate) turns: usize,
    /// At most this many bytes of text (UTF-8), both sides together.
    pub(crate) bytes: usize,
}

/// 96 KiB of English are about 24,000 tokens: room enough in any current model beside the largest message.
pub(crate) const WINDOW: Bounds = Bounds { turns: 20, bytes: 96 * 1024 };

const CUT: &str = " […]";

/// The latest turns within the bounds; the newest in any case.
pub(crate) fn latest(window: &[CheckpointTurn], bounds: Bounds) -> &[CheckpointTurn] {
    let mut bytes = 0;
    let fitting = window
        .iter()
        .rev()
        .take(bounds.turns)
        .take_while(|turn| {
            bytes += turn.user.len() + turn.assistant.len();
            bytes <= bounds.bytes
        })
        .count();
    let kept = fitting.max(1).min(window.len());
    &window[window.len() - kept..]
}

/// The turns before the one that is replaced: that one and what came after it are no longer part of the conversation.
pub(crate) fn before_replaced<'a>(window: &'a [CheckpointTurn], replaced: Option<&Replaced>) -> &'a [CheckpointTurn] {
    let place = replaced.and_then(|replaced| window.iter().position(|turn| turn.task_id == replaced.task_id));
    &window[..place.unwrap_or(window.len())]
}

/// Adds a turn and drops what no longer fits.
pub(crate) fn push(window: &mut Vec<CheckpointTurn>, turn: CheckpointTurn, bounds: Bounds) {
    window.retain(|earlier| earlier.task_id != turn.task_id);
    window.push(cut_to_fit(turn, bounds.bytes));
    let kept = latest(window, bounds).len();
    window.drain(..window.len() - kept);
}

/// Each side may have half, and what the other side leaves of its half.
fn cut_to_fit(mut turn: CheckpointTurn, bytes: usize) -> CheckpointTurn {
    let half = bytes / 2;
    let for_user = bytes - turn.assistant.len().min(half);
    cut(&mut turn.user, for_user);
    cut(&mut turn.assistant, bytes - turn.user.len().min(bytes));
    turn
}

fn cut(text: &mut String, bytes: usize) {
    if text.len() <= bytes {
        return;
    }
    let end = text.floor_char_boundary(bytes.saturating_sub(CUT.len()));
    text.truncate(end);
    text.push_str(CUT);
}

#[cfg(test)]
mod tests {
    use parlance_shared::{TaskId, UserId, id_mint::IdMint};

    use super::*;

    fn turn(user: &str, assistant: &str) -> CheckpointTurn {
        let mint = IdMint::new(&[1; 32], parlance_shared::Clock::system());
        let task_id: TaskId = mint.mint(&UserId::new("alice"));
        CheckpointTurn {
            task_id,
            user: user.to_owned(),
            assistant: assistant.to_owned(),
            input: Default::default(),
            tokens: Default::default(),
            tool_calls: Default::default(),
        }
    }

    fn users(window: &[CheckpointTurn]) -> Vec<&str> {
        window.iter().map(|turn| turn.user.as_str()).collect()
    }

    #[test]
    fn the_oldest_turns_drop_out_by_number() {
        let mut window = Vec::new();
        for n in 0..5 {
            push(&mut window, turn(&n.to_string(), "x"), Bounds { turns: 3, bytes: 1_000 });
        }
        assert_eq!(users(&window), ["2", "3", "4"]);
    }

    #[test]
    fn the_oldest_turns_drop_out_by_size() {
        let mut window = Vec::new();
        for n in 0..5 {
            push(&mut window, turn(&n.to_string(), "123456789"), Bounds { turns: 100, bytes: 25 });
        }
        assert_eq!(users(&window), ["3", "4"]);
    }

    #[test]
    fn a_huge_turn_is_cut_between_characters_and_stays() {
        let bounds = Bounds { turns: 3, bytes: 101 };
        let mut window = vec![turn("before", "it")];
        push(&mut window, turn("question", &"€".repeat(500)), bounds);
        assert_eq!(users(&window), ["question"]);
        let assistant = &window[0].assistant;
        assert!(assistant.starts_with("€€€") && assistant.ends_with(CUT), "{assistant}");
        assert!(assistant.len() + "question".len() <= bounds.bytes);
        assert!(assistant.len() > 80, "the reply may use what the question leaves: {}", assistant.len());

        push(&mut window, turn(&"q".repeat(500), &"a".repeat(500)), bounds);
        assert_eq!(window.len(), 1);
        assert!(window[0].user.len() + window[0].assistant.len() <= bounds.bytes);
        assert!(window[0].assistant.len() >= 50);
    }

    #[test]
    fn a_turn_stands_in_the_window_once() {
        let once = turn("hello", "hi");
        let mut window = Vec::new();
        push(&mut window, once.clone(), WINDOW);
        push(&mut window, once.clone(), WINDOW);
        assert_eq!(window, [once]);
    }

    #[test]
    fn nothing_is_the_latest_of_nothing() {
        assert!(latest(&[], WINDOW).is_empty());
    }
}
