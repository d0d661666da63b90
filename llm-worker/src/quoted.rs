//! Providers repeat in their errors what they were sent. Their words go to the log; the conversation must not go with them.
//!
//! Compared are letters and digits alone, without case and with JSON's escapes undone: a quote stays one however it was
//! printed. What a conversation shares with an error by chance is taken out, too; the error's code stays.

use std::collections::HashMap;

/// So many letters and digits in a row are a quote; fewer are words that anybody uses.
const RUN: usize = 12;
/// A whole text is a quote from this length on.
const SHORTEST_TEXT: usize = 4;
const TAKEN_OUT: &str = "[…]";

/// `detail` without what it quotes of `said`.
pub(crate) fn without_quotes<'a>(detail: &str, said: impl Iterator<Item = &'a str>) -> String {
    let letters = unescaped_letters(detail);
    let plain: Vec<char> = letters.iter().map(|(_, letter)| *letter).collect();
    let mut runs: HashMap<&[char], Vec<usize>> = HashMap::new();
    for (start, run) in plain.windows(RUN).enumerate() {
        runs.entry(run).or_default().push(start);
    }
    let mut quoted = vec![false; plain.len()];
    for text in said {
        let text: Vec<char> = text.chars().flat_map(folded).collect();
        if (SHORTEST_TEXT..RUN).contains(&text.len()) {
            let starts = plain.windows(text.len()).enumerate().filter(|(_, run)| *run == text);
            starts.for_each(|(start, _)| quoted[start..start + text.len()].fill(true));
        }
        for run in text.windows(RUN) {
            runs.get(run).into_iter().flatten().for_each(|start| quoted[*start..start + RUN].fill(true));
        }
    }
    let quotes = quoted.chunk_by(|a, b| a == b).scan(0, |end, run| {
        let start = *end;
        *end += run.len();
        Some((run[0], letters[start].0, letters[*end - 1].0))
    });
    let (mut kept, mut from) = (String::new(), 0);
    for (_, first, last) in quotes.filter(|(is_quote, ..)| *is_quote) {
        kept.push_str(&detail[from..first]);
        kept.push_str(TAKEN_OUT);
        from = last + detail[last..].chars().next().map_or(0, char::len_utf8);
    }
    kept.push_str(&detail[from..]);
    kept
}

fn folded(c: char) -> impl Iterator<Item = char> {
    c.is_alphanumeric().then(|| c.to_lowercase()).into_iter().flatten()
}

/// The letters and digits that a JSON string means, each with the place of its first byte.
fn unescaped_letters(detail: &str) -> Vec<(usize, char)> {
    let mut letters = Vec::with_capacity(detail.len());
    let mut chars = detail.char_indices();
    while let Some((place, c)) = chars.next() {
        let meant = if c == '\\' { escaped(&mut chars) } else { Some(c) };
        letters.extend(meant.into_iter().flat_map(folded).map(|letter| (place, letter)));
    }
    letters
}

/// What follows a backslash; of it all, only `\u` can mean a letter.
fn escaped(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    let (_, 'u') = chars.next()? else { return None };
    let code = u32::from_str_radix(chars.as_str().get(..4)?, 16).ok()?;
    chars.nth(3);
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(detail: &str, said: &[&str]) -> String {
        without_quotes(detail, said.iter().copied())
    }

    #[test]
    fn quotes_are_taken_out_and_the_rest_stays() {
        let said = ["Where did I bury the treasure, Anna?"];
        for (detail, kept) in [
            ("500: the model is overloaded", "500: the model is overloaded"),
            ("no answer to 'where did I bury the treasure' today", "no answer to '[…]' today"),
            ("422: [{\"input\": \"Where did I bury the treasure, Anna?\"}]", "422: [{\"input\": \"[…]?\"}]"),
            ("Where did I bury the treasure, Anna?", "[…]?"),
            ("bad: …the treasure, Anna?", "bad: …[…]?"),
            ("the treasure", "the treasure"),
            ("", ""),
        ] {
            assert_eq!(cleaned(detail, &said), kept);
        }
    }

    #[test]
    fn escapes_hide_no_quote() {
        let said = ["Grüße aus Köln,\nsagt \"Anna\"\u{1f642} leise"];
        for printed in [
            r#"Gr\u00fc\u00dfe aus K\u00f6ln,\nsagt \"Anna\"\ud83d\ude42 leise"#,
            r#"Grüße aus Köln,\nsagt \"Anna\"🙂 leise"#,
            "GRÜSSE aus Köln, sagt Anna leise",
        ] {
            let kept = cleaned(&format!("bad input: {printed}"), &said);
            assert!(kept.starts_with("bad input: ") && !kept.contains("Anna") && !kept.contains("leise"), "{kept}");
        }
    }

    #[test]
    fn a_short_text_is_a_quote_when_it_is_there_as_a_whole() {
        assert_eq!(cleaned("can't say \"hush!\"", &["Hush!"]), "can't say \"[…]!\"");
        assert_eq!(cleaned("400: no", &["no", "", "400"]), "400: no");
    }

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(cleaned("日本語の長い文章を書いてください。", &["日本語の長い文章を書いてください"]), "[…]。");
        assert_eq!(cleaned(r"\u65e5", &["日本語の長い文章を書いてください"]), r"\u65e5");
        assert_eq!(cleaned(r"a\u12", &["abc"]), r"a\u12");
    }
}
