//! Cursors: of a stream's events (`Last-Event-ID`, `after`), and of pages.

use parlance_shared::{cursor::Cursor, log_view::LogView, page::PagePosition};

/// The text that an attempt has when a cursor points into it.
const TEXT: &str = "Grüße, 世界 👋";

/// A cursor that is taken is the one that was printed, and whatever it is, reading on from it ends.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text, "a cursor has one form");
        let view =
            LogView { attempt: 2, reset_reason: "x", text: TEXT.into(), end: None, complete: true, erased: false };
        let mut seen = Some(cursor);
        // A reset and one piece of text are all there is.
        for _ in 0..4 {
            match view.next_after(seen) {
                Ok(Some(entry)) => seen = Some(entry.cursor),
                Ok(None) | Err(_) => break,
            }
        }
        assert!(!matches!(view.next_after(seen), Ok(Some(_))), "reading on from {text} does not end");
    }
    if let Some(position) = PagePosition::decode(text) {
        assert_eq!(PagePosition::decode(&position.encode()).map(|again| again.encode()), Some(position.encode()));
    }
}
