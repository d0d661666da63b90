//! The protocol's chunks, each a `data:` frame, named as the AI SDK's own schema names them.

use std::io;

use bytes::{BufMut as _, BytesMut};
use serde::Serialize;
use serde_json::Value;

/// What ends every stream that came to its end.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// One chunk.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum Chunk<'a> {
    Start {
        message_id: &'a str,
    },
    StartStep,
    FinishStep,
    TextStart {
        id: &'a str,
    },
    TextDelta {
        id: &'a str,
        delta: &'a str,
    },
    TextEnd {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<Value>,
    },
    ToolInputStart {
        tool_call_id: &'a str,
        tool_name: &'a str,
    },
    ToolInputDelta {
        tool_call_id: &'a str,
        input_text_delta: &'a str,
    },
    ToolInputAvailable {
        tool_call_id: &'a str,
        tool_name: &'a str,
        input: Value,
    },
    ToolInputError {
        tool_call_id: &'a str,
        tool_name: &'a str,
        input: &'a str,
        error_text: &'a str,
    },
    ToolOutputAvailable {
        tool_call_id: &'a str,
        output: &'a Value,
    },
    ToolOutputError {
        tool_call_id: &'a str,
        error_text: &'a str,
    },
    /// How far it has come; not kept in the message.
    DataProgress {
        transient: bool,
        data: Value,
    },
    /// What was shown of an attempt is void; kept in the message.
    DataReset {
        id: String,
        data: Value,
    },
    Error {
        error_text: &'a str,
    },
    Abort {
        reason: &'a str,
    },
    Finish {
        finish_reason: &'static str,
    },
}

impl Chunk<'_> {
    /// Compact JSON has no line breaks, so it is one `data:` line.
    pub(super) fn write(&self, out: &mut BytesMut) -> io::Result<()> {
        out.put_slice(b"data: ");
        serde_json::to_writer(out.writer(), self)?;
        out.put_slice(b"\n\n");
        Ok(())
    }
}
