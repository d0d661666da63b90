//! Requests that keep a conversation's memory, told by the first line of their instructions: what they are for. The mock
//! answers them apart from turns, with a log of their own, and knows no directives in what they quote.
//!
//! It remembers as a model would that is asked to keep facts: its summaries are the `FACT key=value` of what they are made
//! from, and `[[mock recall=KEY]]` is answered from what was sent alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::log::LoggedMessage;

/// What a request that is no turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Turns are folded into a summary.
    Summary,
    /// A session is given a heading.
    Heading,
}

/// What the mock calls every conversation.
pub const MOCK_HEADING: &str = "A heading of the mock";

impl Purpose {
    pub(crate) fn of(messages: &[LoggedMessage]) -> Option<Self> {
        let first = messages.first().filter(|message| message.role == "system")?;
        let purpose = first.content.lines().next()?.strip_prefix("Purpose: ")?;
        let known = [("summary", Self::Summary), ("heading", Self::Heading)];
        known.into_iter().find(|(word, _)| purpose.starts_with(word)).map(|(_, purpose)| purpose)
    }

    /// What is answered.
    pub(crate) fn answer(self, messages: &[LoggedMessage]) -> String {
        match self {
            Self::Heading => format!("\"{MOCK_HEADING}.\"\n"),
            Self::Summary => {
                let mut seen = BTreeSet::new();
                let facts = facts(messages).filter(|fact| seen.insert(*fact)).map(|fact| format!("FACT {fact}\n"));
                facts.chain(["They talked.\n".to_owned()]).collect()
            }
        }
    }
}

/// What is known of this key from the messages: the latest that was said of it.
pub(crate) fn recall(key: &str, messages: &[LoggedMessage]) -> String {
    let known = facts(messages).filter_map(|fact| fact.split_once('=')).filter(|(known, _)| *known == key).last();
    known.map_or_else(|| format!("I do not know {key}."), |(_, value)| format!("{key} is {value}."))
}

/// `key=value` of every `FACT key=value`.
fn facts(messages: &[LoggedMessage]) -> impl Iterator<Item = &str> {
    let after_mark = messages.iter().flat_map(|message| message.content.split("FACT ").skip(1));
    after_mark.filter_map(|rest| rest.split_whitespace().next()).filter(|fact| fact.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mock_knows_what_it_was_sent_and_no_more() {
        let system = LoggedMessage::text("system", "Purpose: summary of a conversation.\nKeep facts.");
        let said = LoggedMessage::text("user", "FACT a=1\nUser: FACT b=2 and FACT a=3\nno fact");
        let messages = [system, said];
        assert_eq!(Purpose::of(&messages), Some(Purpose::Summary));
        assert_eq!(Purpose::of(&messages[1..]), None);
        assert_eq!(Purpose::Summary.answer(&messages), "FACT a=1\nFACT b=2\nFACT a=3\nThey talked.\n");
        assert_eq!(recall("a", &messages), "a is 3.");
        assert_eq!(recall("c", &messages), "I do not know c.");
    }
}
