//! `GET /v1/responses/{id}/input_items?limit=&after=&order=`: what the response was asked.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{
    TaskId,
    content::ContentPart,
    event::MessageSubmitted,
    port::llm::{PromptMessage, PromptRole},
};
use serde_json::{Value, json};

use super::{
    find_response::find_response,
    ids::{ResponseId, input_item},
};
use crate::{
    call::Call,
    find_task::note_session,
    problem::{Code, Problem},
    state::ApiState,
};

const LIMIT: usize = 20;
const MOST: usize = 100;

#[utoipa::path(
    get,
    path = "/v1/responses/{response_id}/input_items",
    operation_id = "listInputItems",
    tag = "openai",
    summary = "What a response was asked with",
    params(
        ("response_id" = String, Path, description = "The id of a response."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Items on a page."),
        ("order" = Option<String>, Query, pattern = "^(asc|desc)$", description = "`desc` unless given."),
        ("after" = Option<String>, Query, description = "The last item of an earlier page."),
    ),
    responses(
        (status = 200, description = "A page.", body = ref("#/components/schemas/ResponseItems"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[Code::ResponseNotFound])))),
)]
pub(crate) async fn list_input_items(
    State(state): State<Arc<ApiState>>,
    call: Call,
    ResponseId(id): ResponseId,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let page = Page::read(query.as_deref())?;
    let found = find_response(&state, &call.caller, id).await?;
    note_session(&found.task);
    let Some(message) = found.message else {
        return Err(Problem::unavailable(1, "the record does not have the response's request yet"));
    };
    page.of(items(id, message)).map(Json)
}

/// All items, in the order of the conversation.
fn items(task: TaskId, message: MessageSubmitted) -> Vec<Value> {
    let input = message.input;
    let results = input.tool_results.into_iter().map(|result| PromptMessage {
        tool_call_id: Some(result.tool_call_id),
        ..PromptMessage::text(PromptRole::Tool, result.content)
    });
    let says_something = !message.content.is_empty() || !input.parts.is_empty();
    let asked = PromptMessage { parts: input.parts, ..PromptMessage::text(PromptRole::User, message.content) };
    let told = input.history.into_iter().chain(results).chain(says_something.then_some(asked));
    let mut items = Vec::new();
    for message in told {
        write(&mut items, task, message);
    }
    items
}

fn write(items: &mut Vec<Value>, task: TaskId, message: PromptMessage) {
    let role = match message.role {
        PromptRole::System => "developer",
        PromptRole::User => "user",
        PromptRole::Assistant => "assistant",
        PromptRole::Tool => {
            let id = input_item("fco", task, items.len());
            let (call_id, output) = (message.tool_call_id, message.content);
            let kind = "function_call_output";
            items.push(json!({"id": id, "type": kind, "status": "completed", "call_id": call_id, "output": output}));
            return;
        }
    };
    let parts: Vec<Value> = if message.parts.is_empty() {
        let kind = if message.role == PromptRole::Assistant { "output_text" } else { "input_text" };
        let text = (!message.content.is_empty()).then(|| match kind {
            "output_text" => json!({"type": kind, "text": message.content, "annotations": []}),
            _ => json!({"type": kind, "text": message.content}),
        });
        text.into_iter().collect()
    } else {
        message.parts.iter().map(part).collect()
    };
    if !parts.is_empty() || message.tool_calls.is_empty() {
        let id = input_item("msg", task, items.len());
        items.push(json!({"id": id, "type": "message", "status": "completed", "role": role, "content": parts}));
    }
    for call in message.tool_calls {
        let id = input_item("fc", task, items.len());
        items.push(json!({
            "id": id, "type": "function_call", "status": "completed",
            "call_id": call.id, "name": call.name, "arguments": call.arguments,
        }));
    }
}

fn part(part: &ContentPart) -> Value {
    match part {
        ContentPart::Text { text } => json!({"type": "input_text", "text": text}),
        ContentPart::ImageUrl { image_url } => {
            let detail = image_url.detail.as_deref().unwrap_or("auto");
            json!({"type": "input_image", "image_url": image_url.url, "detail": detail})
        }
    }
}

struct Page {
    limit: usize,
    after: Option<String>,
    ascending: bool,
}

impl Page {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut page = Self { limit: LIMIT, after: None, ascending: false };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "limit" => {
                    page.limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
                        let accepted = ["a whole number from 1 to 100"];
                        Problem::with_field("limit", Code::InvalidParameter, "is out of range.", &accepted)
                    })?;
                }
                "after" => page.after = Some(value.into_owned()),
                "order" => {
                    page.ascending = match &*value {
                        "asc" => true,
                        "desc" => false,
                        _ => {
                            let detail = "must be asc or desc.";
                            let accepted = ["asc", "desc"];
                            return Err(Problem::with_field("order", Code::InvalidParameter, detail, &accepted));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(page)
    }

    fn of(&self, mut items: Vec<Value>) -> Result<Value, Problem> {
        if !self.ascending {
            items.reverse();
        }
        let start = match &self.after {
            None => 0,
            Some(after) => {
                items.iter().position(|item| item["id"] == after.as_str()).map(|at| at + 1).ok_or_else(|| {
                    let detail = "must be the id of an item of this list.";
                    Problem::with_field("after", Code::InvalidParameter, detail, &["the last_id of an earlier page"])
                })?
            }
        };
        let has_more = items.len() > start + self.limit;
        let data: Vec<Value> = items.into_iter().skip(start).take(self.limit).collect();
        let id = |item: Option<&Value>| item.map(|item| item["id"].clone()).unwrap_or_default();
        let (first, last) = (id(data.first()), id(data.last()));
        Ok(json!({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}))
    }
}
