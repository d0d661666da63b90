//! Which dead letters a command is about.

use std::cell::RefCell;

use clap::Args;
use futures_util::future::try_join_all;
use parlance_shared::{
    Clock, SessionId, TaskId,
    port::bus::{DeadLetter, DeadLetters, Subscription},
    topology,
};

use super::letter::task_of;
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    progress::Progress,
    when::{Range, When},
};

/// Each condition narrows the choice down.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// Only the one with this id; may be repeated.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only those that were given up for this reason, such as provider_unavailable; may be repeated.
    #[arg(long = "reason", value_name = "CODE")]
    reasons: Vec<String>,
    /// Only those given up at this time or later: 2026-11-20T08:30:00Z, or an age such as 15m, 2h or 3d.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only those given up before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Only those of this session.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only those of this task.
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// Only those of this subscription; may be repeated. All of them when absent.
    #[arg(long = "subscription", value_name = "NAME", value_parser = subscription)]
    subscriptions: Vec<Subscription>,
    /// So many at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// The subscription of this name.
pub(crate) fn subscription(name: &str) -> Result<Subscription, String> {
    let known = topology::ALL.into_iter().find(|subscription| subscription.name == name);
    known.ok_or_else(|| format!("one of {}", topology::ALL.map(|subscription| subscription.name).join(", ")))
}

/// The subscriptions to look in, each once.
pub(crate) fn subscriptions(named: &[Subscription]) -> Vec<Subscription> {
    topology::ALL.into_iter().filter(|known| named.is_empty() || named.contains(known)).collect()
}

/// A selection with its times made out.
pub(super) struct Chosen<'a> {
    selection: &'a Selection,
    range: Range,
}

impl Selection {
    /// Whether anything narrows it down.
    pub(super) fn is_narrow(&self) -> bool {
        let Self { ids, reasons, since, until, session, task, subscriptions, limit: _ } = self;
        !(ids.is_empty() && reasons.is_empty() && subscriptions.is_empty())
            || since.is_some()
            || until.is_some()
            || session.is_some()
            || task.is_some()
    }

    pub(super) fn at(&self, clock: &Clock) -> Result<Chosen<'_>, Stop> {
        Ok(Chosen { selection: self, range: Range::of(self.since, self.until, clock).map_err(Stop::Usage)? })
    }
}

/// A subscription that was looked through to its end, or to the limit, and what `keep` made of each letter that matched. The
/// look stays open: what it found can be redriven or discarded.
pub(super) struct Found<T> {
    pub(super) look: Box<dyn DeadLetters>,
    pub(super) letters: Vec<T>,
}

impl Chosen<'_> {
    /// Looks through everything, all subscriptions at once: on some buses the end of each shows only by waiting. The letters
    /// are gathered first and changed afterwards, so that one which is given up anew meanwhile is not met a second time.
    pub(super) async fn find<T>(
        &self,
        operator: &Operator,
        keep: impl Fn(DeadLetter) -> T,
    ) -> Result<Vec<Found<T>>, Stop> {
        let limit = self.selection.limit.unwrap_or(usize::MAX);
        let progress = RefCell::new(Progress::new("looked at", None));
        let looks = subscriptions(&self.selection.subscriptions).into_iter().map(async |subscription| {
            let mut look = in_time(operator.admin.dead_letters(subscription)).await?;
            let mut letters = Vec::new();
            while letters.len() < limit {
                let page = in_time(look.next_page()).await?;
                if page.is_empty() {
                    break;
                }
                page.iter().for_each(|_| progress.borrow_mut().step());
                let wanted = page.into_iter().filter(|letter| self.matches(letter));
                letters.extend(wanted.take(limit - letters.len()).map(&keep));
            }
            Ok::<_, Stop>(Found { look, letters })
        });
        let mut all = try_join_all(looks).await?;
        let mut left = limit;
        for found in &mut all {
            found.letters.truncate(left);
            left -= found.letters.len();
        }
        Ok(all)
    }

    fn matches(&self, letter: &DeadLetter) -> bool {
        let Selection { ids, reasons, session, task, .. } = self.selection;
        (ids.is_empty() || ids.contains(&letter.id))
            && (reasons.is_empty() || reasons.contains(&letter.reason.code))
            && self.range.holds(letter.dead_at)
            && session.is_none_or(|session| letter.ordering_key == session.to_string())
            && task.is_none_or(|task| task_of(letter) == Some(task))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use clap::Parser;
    use cloudevents::{EventBuilder as _, EventBuilderV10};
    use parlance_shared::port::bus::Reason;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        selection: Selection,
    }

    fn selection(line: &str) -> Selection {
        Line::try_parse_from(["test"].into_iter().chain(line.split_whitespace())).unwrap().selection
    }

    const SESSION: &str = "ses_01890a5d00007000800000000000000a";
    const TASK: &str = "tsk_01890a5d00007000800000000000000b";

    #[test]
    fn every_condition_must_hold() {
        let clock = Clock::manual(DateTime::from_timestamp(1_790_000_000, 0).unwrap());
        let dead_at = clock.now() - TimeDelta::hours(2);
        let letter = DeadLetter {
            id: "7".to_owned(),
            subscription: "llm-worker".to_owned(),
            event: EventBuilderV10::new().id("e").ty("t").source("//s").subject(TASK).build().unwrap(),
            ordering_key: SESSION.to_owned(),
            reason: Reason::new("provider_unavailable", "It was down."),
            attempts: 1,
            published_at: dead_at,
            dead_at,
        };
        let matches = |line: &str| selection(line).at(&clock).unwrap_or_else(|_| panic!("{line}")).matches(&letter);
        let held = [
            "",
            "--id 7",
            "--id 6 --id 7",
            "--reason provider_unavailable",
            "--since 2h",
            "--until 1h",
            &format!("--session {SESSION}"),
            &format!("--task {TASK} --id 7 --since 3h --until 1h"),
        ]
        .map(matches);
        assert_eq!(held, [true; 8]);
        let other = "01890a5d00007000800000000000000c";
        let missed = [
            "--id 6",
            "--reason other",
            "--since 1h",
            "--until 2h",
            &format!("--session ses_{other}"),
            &format!("--task tsk_{other}"),
            "--id 7 --reason other",
        ]
        .map(matches);
        assert_eq!(missed, [false; 7]);
    }

    #[test]
    fn what_is_narrow_is_told_from_what_is_not() {
        assert!(!selection("").is_narrow() && !selection("--limit 3").is_narrow());
        for line in ["--id 1", "--reason x", "--since 1h", "--until 1h", "--subscription llm-worker"] {
            assert!(selection(line).is_narrow(), "{line}");
        }
        assert_eq!(subscriptions(&selection("--subscription persist-replies").subscriptions).len(), 1);
        assert_eq!(subscriptions(&[]).len(), topology::ALL.len());
        assert!(subscription("nobody").is_err());
    }
}
