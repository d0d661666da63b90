//! A reply as one text, for the reply log: what the model said, then the tools that it called.
//!
//! Calls stand between two U+001E, as JSON, which holds no such character itself; one that was said is doubled. So a cursor
//! is a number of bytes here as well, and a reply without calls is its own encoding.

use std::borrow::Cow;

use crate::content::ToolCall;

const MARK: char = '\u{1e}';

/// What was said, as it stands in the log.
pub fn encode_text(text: &str) -> Cow<'_, str> {
    if text.contains(MARK) { text.replace(MARK, "\u{1e}\u{1e}").into() } else { text.into() }
}

/// A call, as it stands in the log.
pub fn encode_call(call: &ToolCall) -> String {
    // Three texts: nothing that JSON can't hold.
    let json = serde_json::to_string(call).unwrap_or_default();
    format!("{MARK}{json}{MARK}")
}

/// A whole reply, as it stands in the log.
pub fn encode<'a>(text: &'a str, calls: &[ToolCall]) -> Cow<'a, str> {
    let mut whole = encode_text(text);
    calls.iter().for_each(|call| whole.to_mut().push_str(&encode_call(call)));
    whole
}

/// The next piece of an encoded reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Something was said.
    Text(&'a str),
    /// A tool is to be called.
    Call(ToolCall),
}

/// The first piece of what is left of an encoded reply, at most `most` bytes of text, and how many bytes it takes there.
/// `None` when there is none, or not all of it yet; text is never empty.
pub fn next_piece(rest: &str, most: usize) -> Option<(Piece<'_>, usize)> {
    let Some(marked) = rest.strip_prefix(MARK) else {
        let until_mark = rest.find(MARK).unwrap_or(rest.len());
        let text = &rest[..rest.floor_char_boundary(most.min(until_mark))];
        return (!text.is_empty()).then_some((Piece::Text(text), text.len()));
    };
    if marked.starts_with(MARK) {
        return Some((Piece::Text(&marked[..MARK.len_utf8()]), 2 * MARK.len_utf8()));
    }
    let (json, _) = marked.split_once(MARK)?;
    let call = serde_json::from_str(json).ok()?;
    Some((Piece::Call(call), json.len() + 2 * MARK.len_utf8()))
}

/// What an encoded reply says and calls. What was cut off in the middle of a call is left out.
pub fn decode(mut encoded: &str) -> (String, Vec<ToolCall>) {
    let (mut text, mut calls) = (String::with_capacity(encoded.len()), Vec::new());
    while let Some((piece, taken)) = next_piece(encoded, usize::MAX) {
        match piece {
            Piece::Text(said) => text.push_str(said),
            Piece::Call(call) => calls.push(call),
        }
        encoded = &encoded[taken..];
    }
    (text, calls)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(arguments: &str) -> ToolCall {
        ToolCall { id: "call_1".to_owned(), name: "weather".to_owned(), arguments: arguments.to_owned() }
    }

    proptest! {
        #[test]
        fn every_reply_comes_back(text in "[a-c🙂\u{1e}\n]{0,12}", arguments in proptest::collection::vec("[a\"\u{1e}{}]{0,6}", 0..3)) {
            let calls: Vec<ToolCall> = arguments.iter().map(|arguments| call(arguments)).collect();
            let encoded = encode(&text, &calls);
            prop_assert_eq!(decode(&encoded), (text.clone(), calls.clone()));
            if !text.contains(MARK) && calls.is_empty() {
                prop_assert_eq!(&*encoded, text.as_str());
            }
        }

        #[test]
        fn what_is_not_all_there_waits(text in "[a🙂\u{1e}]{0,6}", cut in 0_usize..60) {
            let calls = [call("{\"city\":\"Bern\"}")];
            let encoded = encode(&text, &calls);
            let start = &encoded[..encoded.floor_char_boundary(cut)];
            let (said, called) = decode(start);
            prop_assert!(text.starts_with(&said));
            prop_assert!(called.is_empty() || start == encoded);
        }
    }

    #[test]
    fn long_text_comes_in_pieces_of_whole_characters() {
        assert_eq!(next_piece("🙂🙂", 5), Some((Piece::Text("🙂"), 4)));
        assert_eq!(next_piece("", 5), None);
        assert_eq!(next_piece("\u{1e}", 5), None, "the second half is still to come");
    }
}
