//! Long texts, in short.

const LEFT_OUT: &str = "\n[…]\n";

/// The text, or its beginning and its end within so many bytes.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let half = most.saturating_sub(LEFT_OUT.len()) / 2;
    let (head, tail) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    format!("{}{LEFT_OUT}{}", &text[..head], &text[tail..])
}

/// The text's first sentence on one line, within so many characters, cut between words.
pub(crate) fn first_sentence(text: &str, most: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut ends = line.char_indices().filter(|(_, character)| ".!?。！？".contains(*character));
    let end = ends.find_map(|(at, mark)| {
        let end = at + mark.len_utf8();
        let is_end = !mark.is_ascii() || line[end..].chars().next().is_none_or(char::is_whitespace);
        is_end.then_some(end)
    });
    shorten(&line[..end.unwrap_or(line.len())], most)
}

/// Within so many characters, with single spaces; cut between words where there are any.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let readable = |character: char| if character.is_control() { ' ' } else { character };
    let text: String = text.chars().map(readable).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= most {
        return text;
    }
    let cut: String = text.chars().take(most.saturating_sub(1)).collect();
    let end = cut.rfind(' ').filter(|end| 2 * end > cut.len()).unwrap_or(cut.len());
    format!("{}…", cut[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let text = format!("start{}end", "ä".repeat(500));
        let short = excerpt(&text, 101);
        assert!(short.starts_with("startä") && short.ends_with("äend") && short.len() <= 101, "{short}");
        assert_eq!(excerpt("short", 101), "short");
    }

    #[test]
    fn sentences_end_where_they_end() {
        assert_eq!(first_sentence("\n  Version 1.5 is\tout! Hurry.", 80), "Version 1.5 is out!");
        assert_eq!(first_sentence("今日は。元気？", 80), "今日は。");
        assert_eq!(first_sentence("", 80), "");
        assert_eq!(first_sentence("one two three four", 12), "one two…");
        assert_eq!(first_sentence(&"x".repeat(90), 10).chars().count(), 10);
    }
}
