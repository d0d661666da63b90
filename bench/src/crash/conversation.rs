//! One conversation: posts its turns, follows each, cancels some, and checks on the way what it is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{task::JoinSet, time::sleep};

use super::{
    findings::{Finding, Flaw},
    follower::{Sample, follow},
    plan::{ConversationPlan, End, TurnPlan},
    world::{Call, NoAnswer, World, read, wrong_answer},
};
use crate::{
    api::{Accepted, Task, message_body, messages_path},
    random::Random,
};

/// Seconds of a long-poll.
const WAIT: u64 = 5;

/// What a conversation has done and been told.
#[derive(Debug)]
pub struct Told {
    /// What it had in mind.
    pub plan: ConversationPlan,
    /// The session; `None` when nothing was accepted.
    pub session: Option<String>,
    /// Its turns, in the order in which they were posted.
    pub turns: Vec<ToldTurn>,
}

/// What became of a turn.
#[derive(Debug)]
pub struct ToldTurn {
    /// What was in mind.
    pub plan: Arc<TurnPlan>,
    /// The session it was posted in; `None` when it began one.
    pub posted_in: Option<String>,
    /// The 202; `None` when the connection died and the POST could not be repeated: it may have been accepted.
    pub accepted: Option<Accepted>,
    /// How its stream said it ended.
    pub end: Option<Task>,
    /// Events to resume from at the end.
    pub samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Session {
    id: String,
}

/// Has the conversation.
pub async fn converse(world: World, mut plan: ConversationPlan) -> Told {
    let world = world.of_conversation(plan.number);
    let mut random = plan.random.fork();
    sleep(plan.begins_after).await;
    let mut told = Told { session: None, turns: Vec::new(), plan };
    if told.plan.makes_session {
        match make_session(&world).await {
            Ok(session) => told.session = Some(session),
            Err(finding) => world.findings.add(finding.at(format!("conversation {}", told.plan.number))),
        }
    }
    let mut followed = JoinSet::new();
    for (index, turn) in told.plan.turns.clone().into_iter().enumerate() {
        let turn = Arc::new(turn);
        let posted_in = told.session.clone();
        let accepted = match post(&world, &turn, posted_in.as_deref(), &mut random).await {
            Ok(accepted) => accepted,
            Err(finding) => {
                world.findings.add(finding.at(&turn.content));
                break;
            }
        };
        if let Some(accepted) = &accepted {
            told.session.get_or_insert_with(|| accepted.session_id.clone());
            let (world, turn, accepted, random) = (world.clone(), Arc::clone(&turn), accepted.clone(), random.fork());
            followed.spawn(async move { (index, attend(&world, &turn, &accepted, random).await) });
        }
        told.turns.push(ToldTurn { plan: turn, posted_in, accepted, end: None, samples: Vec::new() });
        if !told.plan.posts_ahead {
            collect(&world, &mut followed, &mut told.turns).await;
        }
    }
    collect(&world, &mut followed, &mut told.turns).await;
    told
}

type Attended = (usize, Result<(Task, Vec<Sample>), Finding>);

async fn collect(world: &World, followed: &mut JoinSet<Attended>, turns: &mut [ToldTurn]) {
    while let Some(joined) = followed.join_next().await {
        match joined {
            Ok((index, Ok((end, samples)))) => {
                turns[index].end = Some(end);
                turns[index].samples = samples;
            }
            Ok((index, Err(finding))) => world.findings.add(finding.at(&turns[index].plan.content)),
            Err(error) => world.findings.add(Finding::new(Flaw::BadAnswer, format!("the client failed: {error}"))),
        }
    }
}

async fn make_session(world: &World) -> Result<String, Finding> {
    let response = world.call(Call::post("/v1/sessions", "", Some(b"{}")), 201).await?;
    let session: Session = read(&response, "/v1/sessions")?;
    let path = format!("/v1/sessions/{}", session.id);
    world.get::<Session>(&path).await?;
    Ok(session.id)
}

/// Posts until there is a 202, or until it can't be known whether there was one.
async fn post(
    world: &World,
    turn: &TurnPlan,
    session: Option<&str>,
    random: &mut Random,
) -> Result<Option<Accepted>, Finding> {
    let path = messages_path(session);
    let headers = turn.key.as_ref().map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    let body = message_body(&turn.content);
    let call = Call::post(&path, &headers, Some(&body));
    let since = Instant::now();
    let mut tries = 0;
    let accepted: Accepted = loop {
        world.posting.notify_waiters();
        let answer = world.try_call(call, tries).await;
        tries += 1;
        match answer {
            Ok(response) if response.status == 202 => break read(&response, &path)?,
            Ok(response) if response.status == 503 => {
                world.findings.count("answers of 503");
                if !response.says_when_to_retry {
                    return Err(Finding::new(Flaw::BadAnswer, "a 503 without Retry-After"));
                }
                if world.is_unsure_when_busy && turn.key.is_none() {
                    world.findings.count("POSTs of unknown fate");
                    return Ok(None);
                }
            }
            Ok(response) => return Err(wrong_answer(call, &response)),
            Err(NoAnswer::NotSent) => {}
            Err(NoAnswer::Unsure) if turn.key.is_some() => world.findings.count("POSTs repeated with their key"),
            Err(NoAnswer::Unsure) => {
                world.findings.count("POSTs of unknown fate");
                return Ok(None);
            }
        }
        if since.elapsed() > world.patience {
            return Err(Finding::new(Flaw::Hanging, "is not accepted"));
        }
        sleep(world.retry_pause).await;
    };
    world.recovery.accepted(&world.findings);
    world.findings.count("messages accepted");
    if session.is_some_and(|session| session != accepted.session_id) {
        return Err(Finding::new(Flaw::Mixed, format!("accepted in {}", accepted.session_id)));
    }
    if turn.key.is_some() && random.chance(20) {
        let again: Accepted = read(&world.call(call, 202).await?, &path)?;
        world.findings.count("POSTs repeated after their 202");
        if again != accepted {
            return Err(Finding::new(Flaw::Doubled, format!("{again:?} for the key of {accepted:?}")));
        }
    }
    Ok(Some(accepted))
}

/// Everything that happens to a task from its 202 to its end.
async fn attend(
    world: &World,
    turn: &TurnPlan,
    accepted: &Accepted,
    mut random: Random,
) -> Result<(Task, Vec<Sample>), Finding> {
    let mut followers = JoinSet::new();
    for _ in 0..turn.subscribers {
        followers.spawn(follow(world.clone(), accepted.task_id.clone(), random.fork()));
    }
    let (read, polled, cancelled) = tokio::join!(
        read_own_writes(world, accepted),
        async { if turn.polls { poll(world, accepted).await.map(Some) } else { Ok(None) } },
        async {
            match turn.end {
                End::Cancelled(after) => cancel(world, accepted, Duration::from_millis(after)).await.map(Some),
                _ => Ok(None),
            }
        },
    );
    let mut ends = Vec::new();
    let mut samples = Vec::new();
    while let Some(joined) = followers.join_next().await {
        let followed =
            joined.map_err(|error| Finding::new(Flaw::BadAnswer, format!("the client failed: {error}")))??;
        ends.push(followed.end);
        samples.extend(followed.samples);
    }
    read?;
    ends.extend(polled?);
    ends.extend(cancelled?.filter(Task::has_ended));
    let Some(end) = ends.first().cloned() else {
        return Err(Finding::new(Flaw::Lost, "nobody saw its end"));
    };
    if let Some(other) = ends.iter().find(|other| !other.agrees_with(&end)) {
        return Err(Finding::new(Flaw::Disagreement, format!("ended as {end:?} and as {other:?}")));
    }
    Ok((end, samples))
}

/// From the 202 on its owner finds the task, the session and its messages (invariant 7).
async fn read_own_writes(world: &World, accepted: &Accepted) -> Result<(), Finding> {
    let task: Task = world.get(&format!("/v1/tasks/{}", accepted.task_id)).await?;
    if task.id != accepted.task_id {
        return Err(Finding::new(Flaw::Mixed, format!("{} for {}", task.id, accepted.task_id)));
    }
    world.get::<Session>(&format!("/v1/sessions/{}", accepted.session_id)).await?;
    world.call(Call::get(&messages_path(Some(&accepted.session_id))), 200).await?;
    Ok(())
}

async fn poll(world: &World, accepted: &Accepted) -> Result<Task, Finding> {
    let path = format!("/v1/tasks/{}?wait={WAIT}", accepted.task_id);
    let since = Instant::now();
    let mut attempt = 0;
    while since.elapsed() <= world.patience {
        let task: Task = world.get(&path).await?;
        if task.has_ended() {
            return Ok(task);
        }
        if task.attempt < attempt {
            return Err(Finding::new(Flaw::Mixed, format!("attempt {} after {attempt}", task.attempt)));
        }
        attempt = task.attempt;
    }
    Err(Finding::new(Flaw::Hanging, "long-polls see no end"))
}

/// The owner's intent, repeated until it is answered.
async fn cancel(world: &World, accepted: &Accepted, after: Duration) -> Result<Task, Finding> {
    sleep(after).await;
    let path = format!("/v1/tasks/{}/cancel", accepted.task_id);
    let response = world.call(Call::post(&path, "", None), 200).await?;
    world.findings.count("cancels answered");
    read(&response, &path)
}
