//! What a session's memory holds: each summary once and of more turns than the one before, and a heading that was made.

use std::time::Instant;

use parlance_mock_llm::MOCK_HEADING;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::sleep;

use super::{
    conversation::ToldTurn,
    findings::{Finding, Flaw},
    world::{Call, World, read, wrong_answer},
};

/// A version of a summary.
#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    version: u32,
    turns: u32,
    through_task_id: String,
}

#[derive(Deserialize)]
struct Session {
    heading: Option<String>,
}

/// Checks what is recorded of it by now; what comes late is nobody's loss.
pub(super) async fn audit_memory(world: &World, session: &str, turns: &[ToldTurn]) -> Result<(), Finding> {
    let mut summaries = Vec::new();
    for version in 1.. {
        let path = format!("/v1/sessions/{session}/summary?version={version}");
        let Some(summary) = find::<Summary>(world, &path).await? else { break };
        summaries.push(summary);
        world.findings.count("summaries checked");
    }
    let tasks: Vec<&str> =
        turns.iter().filter_map(|turn| turn.accepted.as_ref()).map(|accepted| accepted.task_id.as_str()).collect();
    let is_sure = !world.may_overtake && turns.iter().all(|turn| turn.accepted.is_some());
    judge_summaries(&summaries, &tasks, is_sure)?;
    let found: Session = world.get(&format!("/v1/sessions/{session}")).await?;
    match found.heading.as_deref() {
        Some(MOCK_HEADING) => world.findings.count("headings checked"),
        None => {}
        Some(other) => return Err(Finding::new(Flaw::Mixed, format!("the mock made no heading {other:?}"))),
    }
    Ok(())
}

/// `tasks` as they were accepted; unless that `is_sure`, some may be missing, or were answered in another order.
fn judge_summaries(summaries: &[Summary], tasks: &[&str], is_sure: bool) -> Result<(), Finding> {
    let (mut covered, mut through) = (0, None);
    for (summary, version) in summaries.iter().zip(1..) {
        let place = tasks.iter().position(|task| *task == summary.through_task_id);
        if summary.version != version || (is_sure && place.is_none()) {
            return Err(Finding::new(Flaw::Mixed, format!("version {version} is {summary:?}")));
        }
        // Each covers what the one before covers, and at least one turn more.
        if summary.turns <= covered || (is_sure && place <= through) {
            return Err(Finding::new(Flaw::Doubled, format!("{summary:?} after one of {covered} turns")));
        }
        if is_sure && place.is_some_and(|place| summary.turns as usize > place + 1) {
            return Err(Finding::new(Flaw::Doubled, format!("{summary:?} through turn {place:?}")));
        }
        (covered, through) = (summary.turns, place);
    }
    Ok(())
}

/// What is there; `None` when there is no such thing.
async fn find<T: DeserializeOwned>(world: &World, path: &str) -> Result<Option<T>, Finding> {
    let since = Instant::now();
    for tries in 0.. {
        match world.try_call(Call::get(path), tries).await {
            Ok(response) if response.status == 200 => return read(&response, path).map(Some),
            Ok(response) if response.status == 404 => return Ok(None),
            Ok(response) if response.status == 503 => world.findings.count("answers of 503"),
            Ok(response) => return Err(wrong_answer(Call::get(path), &response)),
            Err(_) => {}
        }
        if since.elapsed() > world.patience {
            break;
        }
        sleep(world.retry_pause).await;
    }
    Err(Finding::new(Flaw::Hanging, format!("GET {path} gets no answer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(summaries: &[(u32, u32, &str)]) -> Option<Flaw> {
        let summary = |(version, turns, through): &(u32, u32, &str)| Summary {
            version: *version,
            turns: *turns,
            through_task_id: (*through).to_owned(),
        };
        let summaries: Vec<_> = summaries.iter().map(summary).collect();
        judge_summaries(&summaries, &["a", "b", "c", "d"], true).err().map(|finding| finding.flaw)
    }

    #[test]
    fn each_summary_goes_further_than_the_one_before() {
        assert_eq!(judged(&[]), None);
        assert_eq!(judged(&[(1, 1, "a"), (2, 3, "d")]), None, "a failed turn is in none");
        assert_eq!(judged(&[(1, 2, "b"), (2, 2, "c")]), Some(Flaw::Doubled));
        assert_eq!(judged(&[(1, 2, "b"), (2, 3, "b")]), Some(Flaw::Doubled), "the same turns twice");
        assert_eq!(judged(&[(1, 3, "b")]), Some(Flaw::Doubled), "a turn is counted twice");
        assert_eq!(judged(&[(1, 1, "x")]), Some(Flaw::Mixed), "another session's turn");
        assert_eq!(judged(&[(2, 1, "a")]), Some(Flaw::Mixed));
    }
}
