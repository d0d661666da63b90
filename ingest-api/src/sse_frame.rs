//! Server-sent events, written straight into the bytes that are sent.

use std::io;

use bytes::{BufMut as _, BytesMut};
use parlance_shared::log_view::{Entry, LogEvent};
use serde::Serialize;

/// Asks the client to come back this soon when the stream breaks.
pub(crate) const RETRY_HINT: &[u8] = b"retry: 1000\n\n";

/// Asks the client to come back at once: nothing is wrong. The next stream begins with the usual hint.
pub(crate) const RETRY_SOON: &[u8] = b"retry: 10\n\n";

/// Keeps proxies from taking a silent stream for a dead one; clients ignore it.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Appends one event.
pub(crate) fn write_frame(buffer: &mut BytesMut, entry: &Entry) -> io::Result<()> {
    use std::fmt::Write as _;
    write!(buffer, "id: {}\nevent: {}\ndata: ", entry.cursor, entry.event.name()).map_err(io::Error::other)?;
    match &entry.event {
        LogEvent::Status(data) => write_json(buffer, data)?,
        LogEvent::Delta(data) => write_json(buffer, data)?,
        LogEvent::ToolCall(data) => write_json(buffer, data)?,
        LogEvent::Reset(data) => write_json(buffer, data)?,
        LogEvent::End(task) => write_json(buffer, task)?,
    }
    buffer.put_slice(b"\n\n");
    Ok(())
}

/// Compact JSON has no line breaks, so it is one `data:` line.
fn write_json(buffer: &mut BytesMut, data: &impl Serialize) -> io::Result<()> {
    Ok(serde_json::to_writer(buffer.writer(), data)?)
}

#[cfg(test)]
mod tests {
    use parlance_shared::{
        cursor::{Cursor, Place},
        log_view::DeltaData,
    };
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the text, a frame is four lines, the last one empty, and gives the text back.
        #[test]
        fn text_can_not_break_out_of_its_frame(text in any::<String>(), bytes in any::<u64>()) {
            let cursor = Cursor { attempt: 3, place: Place::Text(bytes) };
            let entry = Entry { cursor, event: LogEvent::Delta(DeltaData { text: text.clone(), attempt: 3 }) };
            let mut buffer = BytesMut::new();
            write_frame(&mut buffer, &entry).unwrap();
            let frame = std::str::from_utf8(&buffer).unwrap().strip_suffix("\n\n").unwrap();
            let lines: Vec<_> = frame.split(['\n', '\r']).collect();
            prop_assert_eq!(lines.len(), 3);
            prop_assert_eq!(lines[0], format!("id: {cursor}"));
            prop_assert_eq!(lines[1], "event: delta");
            let data: serde_json::Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
            prop_assert_eq!(&data["text"], &text);
        }
    }
}
