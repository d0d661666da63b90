//! Folding: a window's older turns become part of the summary.

use chrono::{DateTime, Utc};
use parlance_shared::port::turns::{Checkpoint, CheckpointTurn, Summary};

use crate::{ask::Answer, tokens::Counter, window::fitting};

/// A turn that stands in for an early one goes back to one of so many earlier summaries.
const EARLIER_SUMMARIES: usize = 3;

/// A new summary, and what it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    from: Option<u32>,
    turns: Vec<CheckpointTurn>,
    summary: Summary,
}

/// The turns to be folded: all but the latest ones that fit into `keep` tokens, and never the newest.
pub(crate) fn older_turns(window: &[CheckpointTurn], keep: u64, counter: Counter) -> &[CheckpointTurn] {
    let kept = fitting(window, keep, counter).max(1).min(window.len());
    &window[..window.len() - kept]
}

impl Folded {
    /// What folding these first turns of the checkpoint's window gave.
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        turns: &[CheckpointTurn],
        answer: Answer,
        counter: Counter,
        made_at: DateTime<Utc>,
    ) -> Option<Self> {
        let last = turns.last()?;
        let before = checkpoint.summary.as_ref().map_or(0, |summary| summary.turns);
        let count = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        let summary = Summary {
            version: checkpoint.summaries_made + 1,
            through: last.task_id,
            turns: before.saturating_add(count),
            tokens: u32::try_from(counter.text(&answer.text)).unwrap_or(u32::MAX),
            text: answer.text,
            made_at,
            through_at: last.accepted_at,
            model: answer.model,
            usage: answer.usage,
        };
        let from = checkpoint.summary.as_ref().map(|summary| summary.version);
        Some(Self { from, turns: turns.to_vec(), summary })
    }

    /// Puts the summary in the place of its turns. False, and nothing changed, when the checkpoint no longer begins with
    /// what was folded.
    pub(crate) fn apply(&self, checkpoint: &mut Checkpoint) -> bool {
        let same = checkpoint.summary.as_ref().map(|summary| summary.version) == self.from
            && checkpoint.summaries_made < self.summary.version
            && checkpoint.window.starts_with(&self.turns);
        if !same {
            return false;
        }
        checkpoint.window.drain(..self.turns.len());
        checkpoint.summaries_made = self.summary.version;
        if let Some(earlier) = checkpoint.summary.replace(self.summary.clone()) {
            checkpoint.earlier_summaries.push(earlier);
            let surplus = checkpoint.earlier_summaries.len().saturating_sub(EARLIER_SUMMARIES);
            checkpoint.earlier_summaries.drain(..surplus);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::tests::{turns, users};

    fn answer(text: &str) -> Answer {
        Answer { text: text.to_owned(), model: Some("m".to_owned()), usage: Default::default() }
    }

    fn fold(checkpoint: &Checkpoint, keep: u64) -> Folded {
        let older = older_turns(&checkpoint.window, keep, Counter::Estimate).to_vec();
        Folded::new(checkpoint, &older, answer("short"), Counter::Estimate, DateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn older_turns_leave_the_latest_ones_and_always_the_newest() {
        let window = turns(0..6, 10);
        assert_eq!(users(older_turns(&window, 25, Counter::Estimate)), ["0", "1", "2", "3"]);
        assert_eq!(older_turns(&window, 0, Counter::Estimate).len(), 5);
        assert!(older_turns(&window, 60, Counter::Estimate).is_empty());
        assert!(older_turns(&[], 60, Counter::Estimate).is_empty());
    }

    #[test]
    fn a_turn_that_ended_meanwhile_is_kept_and_the_fold_holds() {
        let all = turns(0..8, 10);
        let mut checkpoint = Checkpoint { window: all[..6].to_vec(), ..Checkpoint::default() };
        let folded = fold(&checkpoint, 20);
        checkpoint.window.push(all[6].clone());
        assert!(folded.apply(&mut checkpoint));
        assert_eq!(users(&checkpoint.window), ["4", "5", "6"]);
        let summary = checkpoint.summary.clone().unwrap();
        assert_eq!((summary.version, summary.turns, summary.through), (1, 4, all[3].task_id));
        assert!(!folded.apply(&mut checkpoint), "twice");

        checkpoint.window.push(all[7].clone());
        let second = fold(&checkpoint, 10);
        assert!(second.apply(&mut checkpoint));
        let summary = checkpoint.summary.as_ref().unwrap();
        assert_eq!((summary.version, summary.turns, users(&checkpoint.window)), (2, 7, vec!["7"]));
        assert_eq!(checkpoint.earlier_summaries.len(), 1);
    }

    #[test]
    fn a_fold_of_what_is_no_longer_there_changes_nothing() {
        let mut checkpoint = Checkpoint { window: turns(0..6, 10), ..Checkpoint::default() };
        let folded = fold(&checkpoint, 20);
        checkpoint.window.truncate(2);
        let before = checkpoint.clone();
        assert!(!folded.apply(&mut checkpoint));
        assert_eq!(checkpoint, before);
    }
}
