//! A conversation up to one of its turns, read from the record for a fork.
//!
//! Turns are those of the branch that the turn was on. Bounded: of a longer conversation the latest turns are told.

use std::collections::{HashMap, HashSet};

use parlance_shared::{
    Caller, SessionId, TaskId,
    content::ToolCall,
    message::{Message, Role},
    page::{PagePosition, PageRequest},
    port::{
        llm::{PromptMessage, PromptRole},
        store::{Lookup, StoredTurn, TurnOf},
    },
    task::Task,
};

use crate::{
    await_end::await_end,
    bounded::bounded,
    problem::{Code, Problem},
    state::ApiState,
};

/// At most so many turns are told, and about so many bytes.
const MAX_TURNS: usize = 100;
const MAX_BYTES: usize = 1024 * 1024;
/// Pages that are read of one conversation at most.
const MAX_PAGES: usize = 100;

/// Everything up to `turn` and its reply, which must have ended.
pub(super) async fn said_so_far(
    state: &ApiState,
    caller: &Caller,
    turn: &StoredTurn,
    task: Task,
) -> Result<Vec<PromptMessage>, Problem> {
    let task = await_end(state, caller, task, state.limits.record_patience).await?;
    if !task.status.is_terminal() {
        let detail = "has not ended, and another one follows it already: wait for its end to go on from it.";
        return Err(Problem::with_field("previous_response_id", Code::TaskNotEnded, detail, &[]));
    }
    let session = turn.message.session_id;
    let earlier = turns_before(state, caller, session, turn.message.task_id).await?;
    let mut turns = vec![(turn.message.task_id, (task.reply.content, task.details.tool_calls))];
    turns.extend(earlier.into_iter().rev());
    let (mut told, mut bytes) = (Vec::new(), 0);
    for (n, (id, (text, calls))) in turns.into_iter().take(MAX_TURNS).enumerate() {
        let asked = if n == 0 { Some(turn.message.clone()) } else { asked(state, caller, session, id).await? };
        let Some(asked) = asked else { continue };
        let mut turn = asked.input.history.clone();
        turn.extend(asked.input.tool_results.into_iter().map(|result| PromptMessage {
            tool_call_id: Some(result.tool_call_id),
            ..PromptMessage::text(PromptRole::Tool, result.content)
        }));
        if !asked.content.is_empty() || !asked.input.parts.is_empty() {
            let message = PromptMessage::text(PromptRole::User, asked.content);
            turn.push(PromptMessage { parts: asked.input.parts, ..message });
        }
        if !text.is_empty() || !calls.is_empty() {
            turn.push(PromptMessage { tool_calls: calls, ..PromptMessage::text(PromptRole::Assistant, text) });
        }
        bytes += serde_json::to_vec(&turn).map_or(usize::MAX, |json| json.len());
        if n > 0 && bytes > MAX_BYTES {
            break;
        }
        told.push(turn);
        if !asked.input.history.is_empty() && !asked.input.history_follows {
            // It brought all that was said before.
            break;
        }
    }
    Ok(told.into_iter().rev().flatten().collect())
}

/// Earlier turns of the branch with what was replied, oldest first.
async fn turns_before(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    last: TaskId,
) -> Result<Vec<(TaskId, (String, Vec<ToolCall>))>, Problem> {
    let messages = messages_up_to(state, caller, session, last).await?;
    let known: HashSet<TaskId> = messages.iter().map(|message| message.task_id).collect();
    let mut order = Vec::new();
    let mut replies = HashMap::new();
    for message in messages {
        // What a later turn stands in for was still said when this branch was left.
        if message.superseded_by.flatten().is_some_and(|by| known.contains(&by)) || message.task_id == last {
            continue;
        }
        match message.role {
            Role::User => order.push(message.task_id),
            Role::Assistant => drop(replies.insert(message.task_id, (message.content, message.tool_calls))),
        }
    }
    Ok(order.into_iter().map(|task| (task, replies.remove(&task).unwrap_or_default())).collect())
}

/// Messages of the turns up to this one: those asked later are left out, though replies of earlier ones may stand behind them.
async fn messages_up_to(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    last: TaskId,
) -> Result<Vec<Message>, Problem> {
    let (mut messages, mut later) = (Vec::new(), HashSet::new());
    let (mut asked_last, mut replied) = (false, false);
    let mut from: Option<PagePosition> = None;
    for _ in 0..MAX_PAGES {
        let request = PageRequest { limit: 200, from: from.clone() };
        let listing = state.store.messages_of_all_branches(&caller.user, session, &request);
        let page = bounded(state.limits.read_timeout, "store", listing).await?;
        for message in page.data {
            match message.role {
                Role::User if asked_last => drop(later.insert(message.task_id)),
                Role::User => asked_last = message.task_id == last,
                Role::Assistant => replied |= message.task_id == last,
            }
            if !later.contains(&message.task_id) {
                messages.push(message);
            }
        }
        from = page.next.as_deref().and_then(PagePosition::decode);
        if from.is_none() || replied {
            break;
        }
    }
    Ok(messages)
}

async fn asked(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    task: TaskId,
) -> Result<Option<parlance_shared::event::MessageSubmitted>, Problem> {
    let turn = state.store.turn(&caller.user, session, TurnOf::Task(task));
    match bounded(state.limits.read_timeout, "store", turn).await? {
        Lookup::Found(turn) => Ok(Some(turn.message)),
        Lookup::Deleted | Lookup::Unknown => Ok(None),
    }
}
