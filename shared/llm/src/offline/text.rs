//! Sentences, words and what they are about. Knows no language but the little words of English and German.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// A word shorter than this says little.
const SHORTEST_TERM: usize = 3;
/// A longer one is data rather than a word.
const LONGEST_TERM: usize = 40;

const LITTLE_WORDS: &[&str] = &[
    "about", "above", "after", "again", "all", "also", "and", "any", "are", "because", "been", "before", "being",
    "but", "can", "could", "did", "does", "doing", "done", "each", "for", "from", "get", "give", "had", "has", "have",
    "her", "here", "him", "his", "how", "into", "its", "just", "know", "let", "like", "make", "many", "may", "more",
    "most", "much", "must", "not", "now", "off", "one", "only", "other", "our", "out", "over", "own", "please", "same",
    "say", "she", "should", "some", "such", "tell", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "through", "too", "under", "until", "very", "was", "way", "were", "what", "when", "where",
    "which", "while", "who", "whom", "why", "will", "with", "would", "you", "your", "yours", // German
    "aber", "als", "auch", "auf", "aus", "bei", "bin", "bis", "das", "dass", "dem", "den", "der", "des", "die", "doch",
    "dies", "diese", "dieser", "dieses", "durch", "ein", "eine", "einem", "einen", "einer", "eines", "für", "hat",
    "ich", "ihr", "ist", "kann", "kein", "keine", "mit", "nach", "nicht", "noch", "nur", "oder", "sein", "sich", "sie",
    "sind", "über", "und", "uns", "unter", "vom", "von", "vor", "war", "warum", "was", "wann", "welche", "wenn", "wer",
    "werden", "wie", "wird", "wir", "zum", "zur",
];

/// The sentences of a text, without the space around them. Line breaks end one: lists and headings have no full stops.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let mut characters = line.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            let is_wide_stop = matches!(c, '。' | '！' | '？');
            let is_stop = matches!(c, '.' | '!' | '?' | '…') && next.is_none_or(char::is_whitespace);
            if is_wide_stop || is_stop {
                let end = at + c.len_utf8();
                sentences.push(line[start..end].trim());
                start = end;
            }
        }
        sentences.push(line[start..].trim());
    }
    sentences.retain(|sentence| sentence.chars().any(char::is_alphanumeric));
    sentences
}

/// How many words a text has.
pub(super) fn count_words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

/// The words that say what a text is about, in lower case, in order, with repeats.
pub(super) fn terms(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .map(|word| word.trim_matches(['\'', '’']).to_lowercase())
        .filter(|word| (SHORTEST_TERM..=LONGEST_TERM).contains(&word.chars().count()))
        .filter(|word| !LITTLE_WORDS.contains(&word.as_str()))
}

/// How often each term occurs, the most frequent first; among equals the one that comes first in the text.
pub(super) fn frequencies(text: &str) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (position, term) in terms(text).enumerate() {
        counts.entry(term).or_insert((0, position)).0 += 1;
    }
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, (count, position))| (Reverse(*count), *position));
    sorted.into_iter().map(|(term, (count, _))| (term, count)).collect()
}

/// The sentences that speak most of what the whole text speaks of, in the text's order.
pub(super) fn key_sentences<'a>(text: &'a str, most: usize) -> Vec<&'a str> {
    let weights: BTreeMap<String, usize> = frequencies(text).into_iter().collect();
    let score = |sentence: &str| {
        let own: BTreeSet<String> = terms(sentence).collect();
        let sum: usize = own.iter().filter_map(|term| weights.get(term)).sum();
        // By the root of the length: neither the longest nor the shortest wins by its length.
        sum as f64 / (count_words(sentence) as f64).sqrt().max(2.0)
    };
    let mut seen = BTreeSet::new();
    let mut scored: Vec<(usize, &'a str, f64)> = sentences(text)
        .into_iter()
        .enumerate()
        .filter(|(_, sentence)| seen.insert(*sentence))
        .map(|(position, sentence)| (position, sentence, score(sentence)))
        .collect();
    scored.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    scored.truncate(most);
    scored.sort_by_key(|(position, ..)| *position);
    scored.into_iter().map(|(_, sentence, _)| sentence).collect()
}

/// The text, or its beginning and an ellipsis.
pub(super) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_at_stops_and_lines() {
        let text = "Version 1.5 is out. Is it good?\n\n- first item\n- second item…  東京。大阪。\n---\n";
        assert_eq!(
            sentences(text),
            ["Version 1.5 is out.", "Is it good?", "- first item", "- second item…", "東京。", "大阪。"]
        );
    }

    #[test]
    fn terms_leave_out_little_words() {
        assert_eq!(terms("What is the Tide's height, and why?").collect::<Vec<_>>(), ["tide's", "height"]);
        assert_eq!(frequencies("salt water, fresh water")[0], ("water".to_owned(), 2));
        assert_eq!(count_words("a - b"), 2);
    }

    #[test]
    fn key_sentences_speak_of_the_subject_and_keep_their_order() {
        let text =
            "Good morning. Tides follow the moon. My lunch was fine. The moon pulls the sea, and tides rise. Bye.";
        assert_eq!(key_sentences(text, 2), ["Tides follow the moon.", "The moon pulls the sea, and tides rise."]);
    }
}
