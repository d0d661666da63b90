//! Asks the model something of our own: an answer as a whole, within bounds, for work that nobody waits for.

use std::time::Duration;

use futures_util::StreamExt as _;
use parlance_shared::{
    port::llm::{Llm, LlmError, LlmErrorKind, LlmEvent, Prompt},
    task::Usage,
};

use crate::{Worker, attempt_span};

/// The longest that an answer may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The longest answer, in bytes; what comes after it is left out.
const MOST_BYTES: usize = 64 * 1024;

/// What the model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) model: Option<String>,
    pub(crate) usage: Usage,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The process must go.
    Stopping,
    /// The provider failed.
    Failed(LlmError),
}

/// Asks and waits for the end.
pub(crate) async fn ask(worker: &Worker, prompt: Prompt) -> Result<Answer, Unanswered> {
    let provider = worker.parts.llm.describe();
    let mut span = attempt_span::span(&provider, prompt.model.as_deref().unwrap_or(&provider.model));
    let asking = span.scope(tokio::time::timeout(LIMIT, whole(worker.parts.llm.as_ref(), prompt)));
    let answer = tokio::select! {
        biased;
        () = worker.parts.lifecycle.aborting().cancelled() => return Err(Unanswered::Stopping),
        answer = asking => answer,
    };
    let answer = answer
        .unwrap_or_else(|_| Err(LlmError::new(LlmErrorKind::ReplyTimeout, format!("no answer within {LIMIT:?}"))));
    match &answer {
        Ok(answer) => {
            attempt_span::answered(&mut span, answer.model.as_deref());
            attempt_span::counted(&mut span, &answer.usage);
        }
        Err(error) => attempt_span::failed(&mut span, error.kind.code()),
    }
    answer.map_err(Unanswered::Failed)
}

async fn whole(llm: &dyn Llm, prompt: Prompt) -> Result<Answer, LlmError> {
    let mut reply = llm.stream(prompt).await?;
    let mut text = String::new();
    while let Some(event) = reply.next().await {
        match event? {
            LlmEvent::Delta(delta) => {
                let room = MOST_BYTES - text.len();
                text.push_str(&delta[..delta.floor_char_boundary(room)]);
            }
            LlmEvent::Finished { model, usage, .. } => {
                let text = without_thoughts(&text).trim().to_owned();
                if text.is_empty() {
                    return Err(LlmError::new(LlmErrorKind::EmptyReply, "finished without text"));
                }
                return Ok(Answer { text, model, usage });
            }
            _ => {}
        }
    }
    Err(LlmError::new(LlmErrorKind::StreamCut, "the stream ended without an end"))
}

/// Local models that reason do so at the beginning of their answers.
fn without_thoughts(text: &str) -> &str {
    match text.trim_start().strip_prefix("<think>") {
        Some(rest) => rest.split_once("</think>").map_or("", |(_, answer)| answer),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::without_thoughts;

    #[test]
    fn thoughts_are_no_part_of_the_answer() {
        assert_eq!(without_thoughts(" <think>hm\n</think>\n\nThe answer"), "\n\nThe answer");
        assert_eq!(without_thoughts("<think>never ends"), "");
        assert_eq!(without_thoughts("No <think> here"), "No <think> here");
    }
}
