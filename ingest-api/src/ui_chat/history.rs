//! A session's messages as the AI SDK's UI messages. A reply that called tools, their results and the reply that went on are
//! one message there, of several steps.

use chrono::{DateTime, Utc};
use parlance_shared::{
    Caller, SessionId, TaskId,
    content::ContentPart,
    message::{Message, Role},
    page::{PagePosition, PageRequest},
    task::Status,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{bounded::bounded, problem::Problem, state::ApiState};

/// Messages read at once.
const PAGE: u32 = 200;
/// Of a longer chat, its latest messages are given.
const MOST: usize = 2_000;
/// The most pages that are read to find them.
const MAX_PAGES: usize = 100;

/// A message, as `useChat` keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct UiMessage {
    pub(super) id: String,
    role: Role,
    pub(super) parts: Vec<UiPart>,
    metadata: UiMetadata,
}

/// What a page may want to know of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct UiMetadata {
    task_id: TaskId,
    status: Status,
    created_at: DateTime<Utc>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum UiPart {
    StepStart,
    Text {
        text: String,
    },
    File {
        media_type: String,
        url: String,
    },
    #[serde(untagged)]
    Tool(UiTool),
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UiTool {
    /// `tool-NAME`
    r#type: String,
    pub(super) tool_call_id: String,
    #[serde(rename = "state", serialize_with = "state_of")]
    pub(super) output: Option<Value>,
    pub(super) input: Value,
    #[serde(rename = "output", skip_serializing_if = "Option::is_none")]
    shown_output: Option<Value>,
}

impl UiTool {
    pub(super) fn name(&self) -> &str {
        self.r#type.strip_prefix("tool-").unwrap_or_default()
    }
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn state_of<S: Serializer>(output: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if output.is_some() { "output-available" } else { "input-available" })
}

/// All that was said in a chat, oldest first. Nothing for a chat that is not known (yet).
pub(super) async fn history(state: &ApiState, caller: &Caller, session: SessionId) -> Result<Vec<UiMessage>, Problem> {
    let mut all = Vec::new();
    let mut page = PageRequest { limit: PAGE, from: None };
    for _ in 0..MAX_PAGES {
        let reading = state.store.messages(&caller.user, session, &page);
        let read = bounded(state.limits.read_timeout, "store", reading).await?;
        all.extend(read.data);
        if all.len() > 2 * MOST {
            all.drain(..all.len() - MOST);
        }
        page.from = read.next.as_deref().and_then(PagePosition::decode);
        if page.from.is_none() {
            break;
        }
    }
    let surplus = all.len().saturating_sub(MOST);
    Ok(assemble(all.into_iter().skip(surplus)))
}

/// Puts steps together that are one message to the client.
pub(super) fn assemble(messages: impl IntoIterator<Item = Message>) -> Vec<UiMessage> {
    let mut all: Vec<UiMessage> = Vec::new();
    let mut goes_on = false;
    for message in messages {
        match message.role {
            Role::User if !message.tool_results.is_empty() && message.content.is_empty() => {
                goes_on = all.last_mut().is_some_and(|last| take_results(last, &message));
            }
            Role::User => {
                goes_on = false;
                let parts = said(&message);
                all.push(of(message, parts));
            }
            Role::Assistant => {
                let parts = replied(&message);
                // A turn without a word was given up, or cancelled before it began.
                if parts.len() < 2 {
                    continue;
                }
                match all.last_mut() {
                    Some(last) if goes_on => {
                        last.parts.extend(parts);
                        last.metadata.status = message.status;
                    }
                    _ => all.push(of(message, parts)),
                }
            }
        }
    }
    all
}

fn of(message: Message, parts: Vec<UiPart>) -> UiMessage {
    let metadata = UiMetadata { task_id: message.task_id, status: message.status, created_at: message.created_at };
    UiMessage { id: message.id.to_string(), role: message.role, parts, metadata }
}

fn said(message: &Message) -> Vec<UiPart> {
    if message.parts.is_empty() {
        return vec![UiPart::Text { text: message.content.clone() }];
    }
    let part = |part: &ContentPart| match part {
        ContentPart::Text { text } => UiPart::Text { text: text.clone() },
        ContentPart::ImageUrl { image_url } => {
            let kind = image_url.url.strip_prefix("data:").and_then(|rest| rest.split([';', ',']).next());
            UiPart::File { media_type: kind.unwrap_or("image/*").to_owned(), url: image_url.url.clone() }
        }
    };
    message.parts.iter().map(part).collect()
}

fn replied(message: &Message) -> Vec<UiPart> {
    let mut parts = vec![UiPart::StepStart];
    if !message.content.is_empty() {
        parts.push(UiPart::Text { text: message.content.clone() });
    }
    parts.extend(message.tool_calls.iter().map(|call| {
        let raw = || Value::String(call.arguments.clone());
        UiPart::Tool(UiTool {
            r#type: format!("tool-{}", call.name),
            tool_call_id: call.id.clone(),
            input: serde_json::from_str(&call.arguments).unwrap_or_else(|_| raw()),
            output: None,
            shown_output: None,
        })
    }));
    parts
}

/// Whether the message had calls that wait for these results.
fn take_results(last: &mut UiMessage, results: &Message) -> bool {
    let mut taken = false;
    for result in &results.tool_results {
        let tools = last.parts.iter_mut().rev().filter_map(|part| match part {
            UiPart::Tool(tool) => Some(tool),
            _ => None,
        });
        for tool in tools.filter(|tool| tool.tool_call_id == result.tool_call_id).take(1) {
            let text = || Value::String(result.content.clone());
            tool.output = Some(serde_json::from_str(&result.content).unwrap_or_else(|_| text()));
            tool.shown_output.clone_from(&tool.output);
            taken = true;
        }
    }
    taken
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
