//! A turn may stand in for an earlier one and all that came after it: what it starts from.

use parlance_shared::{
    content::Replaced,
    port::turns::{Checkpoint, CheckpointTurn, Summary},
};

/// What a turn starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Base<'a> {
    /// What was said before the turns, in short.
    pub(crate) summary: Option<&'a Summary>,
    /// The turns.
    pub(crate) turns: &'a [CheckpointTurn],
}

/// Without the turn that is replaced and what came after it. One that was folded already goes back to the latest summary
/// that does not know it, if that is still there; what was said between that and the turn is lost to the context.
pub(crate) fn base<'a>(checkpoint: &'a Checkpoint, replaced: Option<&Replaced>) -> Base<'a> {
    let (window, summary) = (checkpoint.window.as_slice(), checkpoint.summary.as_ref());
    let Some(replaced) = replaced else { return Base { summary, turns: window } };
    let is_replaced = |turn: &CheckpointTurn| {
        turn.task_id == replaced.task_id || turn.accepted_at.is_some_and(|at| at >= replaced.accepted_at)
    };
    let place = window.iter().position(is_replaced).unwrap_or(window.len());
    let knows_it = |summary: &Summary| {
        summary.through == replaced.task_id || summary.through_at.is_some_and(|at| at >= replaced.accepted_at)
    };
    if place > 0 || !summary.is_some_and(knows_it) {
        return Base { summary, turns: &window[..place] };
    }
    let summary = checkpoint.earlier_summaries.iter().rev().find(|earlier| !knows_it(earlier));
    Base { summary, turns: &[] }
}

/// The checkpoint goes on from there.
pub(crate) fn go_back(checkpoint: &mut Checkpoint, replaced: Option<&Replaced>) {
    let Base { summary, turns } = base(checkpoint, replaced);
    let (summary, kept) = (summary.cloned(), turns.len());
    let version = summary.as_ref().map_or(0, |summary| summary.version);
    checkpoint.window.truncate(kept);
    checkpoint.earlier_summaries.retain(|earlier| earlier.version < version);
    checkpoint.summary = summary;
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration};

    use super::*;
    use crate::window::tests::{turns, users};

    fn summary(version: u32, through: &CheckpointTurn) -> Summary {
        Summary {
            version,
            text: format!("v{version}"),
            through: through.task_id,
            turns: 1,
            tokens: 1,
            made_at: DateTime::UNIX_EPOCH,
            through_at: through.accepted_at,
            model: None,
            usage: Default::default(),
        }
    }

    fn replaced(turn: &CheckpointTurn) -> Replaced {
        Replaced { task_id: turn.task_id, accepted_at: turn.accepted_at.unwrap() }
    }

    #[test]
    fn the_replaced_turn_and_what_came_after_it_are_gone() {
        let all = turns(0..8, 1);
        let mut checkpoint = Checkpoint {
            summary: Some(summary(2, &all[3])),
            earlier_summaries: vec![summary(1, &all[1])],
            window: all[4..].to_vec(),
            summaries_made: 2,
            ..Checkpoint::default()
        };
        assert_eq!(base(&checkpoint, None).turns.len(), 4);
        let at_6 = base(&checkpoint, Some(&replaced(&all[6])));
        assert_eq!((users(at_6.turns), at_6.summary.unwrap().version), (vec!["4", "5"], 2));
        // The turn that failed was never in the window; what came before it stays.
        let failed = Replaced { task_id: turns(9..10, 1)[0].task_id, ..replaced(&all[7]) };
        let failed = Replaced { accepted_at: failed.accepted_at + Duration::milliseconds(1), ..failed };
        assert_eq!(base(&checkpoint, Some(&failed)).turns.len(), 4);
        let first = base(&checkpoint, Some(&replaced(&all[4])));
        assert_eq!((first.turns.len(), first.summary.unwrap().version), (0, 2));
        let folded = base(&checkpoint, Some(&replaced(&all[2])));
        assert_eq!((folded.turns.len(), folded.summary.unwrap().version), (0, 1));
        assert_eq!(base(&checkpoint, Some(&replaced(&all[0]))), Base { summary: None, turns: &[] });

        go_back(&mut checkpoint, Some(&replaced(&all[2])));
        assert_eq!(checkpoint.summary.as_ref().map(|summary| summary.version), Some(1));
        assert!(checkpoint.window.is_empty() && checkpoint.earlier_summaries.is_empty());
        assert_eq!(checkpoint.summaries_made, 2, "the next one has a version of its own");
    }
}
