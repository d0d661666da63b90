//! Text that people and models wrote, as Postgres can hold it: everything but U+0000, which JSON carries and Postgres'
//! `text` and `jsonb` refuse.
//!
//! [`to_sql`] writes U+0000 as U+001A `0`, and U+001A itself as U+001A `1`; all other text is stored as it is, byte for
//! byte. It goes character by character: the stored form of two pieces joined is their stored forms joined. JSON that is
//! stored in `json` or `text` columns needs none of this: JSON text has no U+0000, only its escape.

use std::borrow::Cow;

const ESCAPE: char = '\u{1a}';
const ESCAPED: [char; 2] = ['\0', ESCAPE];

/// The text as it is stored. Costs one pass over the bytes, and a copy only if something has to be escaped.
pub(crate) fn to_sql(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPED) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => stored.extend([ESCAPE, '0']),
            ESCAPE => stored.extend([ESCAPE, '1']),
            other => stored.push(other),
        }
    }
    Cow::Owned(stored)
}

/// The text that was stored.
pub(crate) fn from_sql(stored: String) -> String {
    if !stored.contains(ESCAPE) {
        return stored;
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            (ESCAPE, Some('0')) => text.push('\0'),
            (ESCAPE, Some('1')) => text.push(ESCAPE),
            // Not of our making; shown as it is.
            _ => {
                text.push(character);
                continue;
            }
        }
        characters.next();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_none_holds_a_nul() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let text: String = (0..random.usize(..9))
                .map(|_| ['\0', ESCAPE, '0', '1', 'é', '\u{10ffff}'][random.usize(..6)])
                .collect();
            let stored = to_sql(&text);
            assert!(!stored.contains('\0'));
            assert_eq!(from_sql(stored.clone().into_owned()), text, "{stored:?}");
            let (head, tail) = text.split_at(text.char_indices().nth(2).map_or(0, |(at, _)| at));
            assert_eq!(format!("{}{}", to_sql(head), to_sql(tail)), stored);
        }
        assert!(matches!(to_sql("plain \n text"), Cow::Borrowed(_)));
    }

    #[test]
    fn text_that_was_not_stored_by_this_scheme_is_left_alone() {
        for foreign in ["\u{1a}", "a\u{1a}b", "\u{1a}\u{1a}"] {
            assert_eq!(from_sql(foreign.to_owned()), foreign);
        }
    }
}
