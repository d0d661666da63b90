//! After the last crash: what is stored, against what every subscriber was told.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    asked::Asked,
    conversation::{Told, ToldTurn},
    findings::{Finding, Flaw},
    follower::resume,
    memory::audit_memory,
    messages::judge_messages,
    plan::End,
    world::{Call, World, read},
};
use crate::api::{Accepted, Message, Messages, Task, message_body, messages_path};

const POLL_PAUSE: Duration = Duration::from_millis(50);
/// Small, so that pages are crossed.
const PAGE: usize = 3;
/// Workers that may be lost before a task is given up; fewer are no excuse.
const LOST_WORKERS: u32 = 5;

/// Checks one conversation.
pub async fn audit(world: &World, asked: &Asked, told: &Told) {
    for turn in &told.turns {
        if let Err(finding) = audit_turn(world, asked, turn).await {
            world.findings.add(finding.at(&turn.plan.content));
        }
    }
    if let Some(session) = &told.session
        && let Err(finding) = audit_messages(world, session, &told.turns).await
    {
        world.findings.add(finding.at(format!("messages of {session}")));
    }
    if let Some(session) = &told.session
        && let Err(finding) = audit_memory(world, session, &told.turns).await
    {
        world.findings.add(finding.at(format!("memory of {session}")));
    }
}

async fn audit_turn(world: &World, asked: &Asked, turn: &ToldTurn) -> Result<(), Finding> {
    let Some(accepted) = &turn.accepted else { return Ok(()) };
    let stored: Task = world.get(&format!("/v1/tasks/{}", accepted.task_id)).await?;
    if !stored.has_ended() {
        return Err(Finding::new(Flaw::Hanging, format!("{} is {}", stored.id, stored.status)));
    }
    if turn.end.as_ref().is_some_and(|end| !end.agrees_with(&stored)) {
        return Err(Finding::new(Flaw::Disagreement, format!("stored {stored:?}, told {:?}", turn.end)));
    }
    judge_end(turn, &stored)?;
    asked.judge_charge(turn, &stored)?;
    world.findings.count(match &stored.error {
        Some(error) if error.code == "worker_lost" => {
            format!("tasks failed: worker_lost, after {} attempts", stored.attempt)
        }
        Some(error) => format!("tasks failed: {}", error.code),
        None => format!("tasks {}", stored.status),
    });
    if stored.attempt > 1 {
        world.findings.count("tasks with more than one attempt");
    }
    for sample in &turn.samples {
        resume(world, sample, &stored).await.map_err(|finding| finding.at(format!("resumed at {}", sample.id)))?;
        world.findings.count("old cursors resumed");
    }
    if let Some(key) = &turn.plan.key {
        let (headers, body) = (format!("idempotency-key: {key}\r\n"), message_body(&turn.plan.content));
        let path = messages_path(turn.posted_in.as_deref());
        let response = world.call(Call::post(&path, &headers, Some(&body)), 202).await?;
        let again: Accepted = read(&response, &path)?;
        if again != *accepted {
            return Err(Finding::new(Flaw::Doubled, format!("{again:?} for the key of {accepted:?}")));
        }
        world.findings.count("POSTs repeated at the end");
    }
    Ok(())
}

/// Whether the task may have ended so.
fn judge_end(turn: &ToldTurn, stored: &Task) -> Result<(), Finding> {
    let wrong = |flaw, why: &str| Err(Finding::new(flaw, format!("{why}: {stored:?}")));
    let code = stored.error.as_ref().map(|error| error.code.as_str());
    let workers_lost = code == Some("worker_lost") && stored.attempt >= LOST_WORKERS;
    let as_it_must = match turn.plan.end {
        End::Completed => stored.status == "completed" && code.is_none(),
        End::Cancelled(_) => stored.status == "cancelled" && code.is_none(),
        End::Failed(expected) => stored.status == "failed" && code == Some(expected),
    };
    if !as_it_must && !workers_lost {
        return wrong(Flaw::WrongEnd, "wrong end");
    }
    if !turn.plan.may_be_said(&stored.reply.content, stored.status == "completed") {
        return wrong(Flaw::Mixed, "the mock said no such thing");
    }
    Ok(())
}

/// Every accepted message once, one reply each, in order.
async fn audit_messages(world: &World, session: &str, turns: &[ToldTurn]) -> Result<(), Finding> {
    let since = Instant::now();
    loop {
        let messages = all_messages(world, session).await?;
        match judge_messages(&messages, turns, world.may_overtake) {
            // The record is written behind the reply: what is missing may still come. What is too much does not go.
            Err(finding) if finding.flaw == Flaw::Lost && since.elapsed() < world.record_lag => sleep(POLL_PAUSE).await,
            verdict => return verdict,
        }
    }
}

async fn all_messages(world: &World, session: &str) -> Result<Vec<Message>, Finding> {
    let mut messages = Vec::new();
    let mut path = format!("{}?limit={PAGE}", messages_path(Some(session)));
    loop {
        let page: Messages = world.get(&path).await?;
        if page.data.len() > PAGE {
            return Err(Finding::new(Flaw::BadAnswer, "a page is longer than its limit"));
        }
        messages.extend(page.data);
        match page.next {
            Some(next) => path = format!("{}?limit={PAGE}&after={next}", messages_path(Some(session))),
            None => return Ok(messages),
        }
    }
}
