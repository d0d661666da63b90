//! What a conversation's memory may hold, and when it is folded.

use super::read::Reader;

/// How much of a conversation a model is shown, and when older turns are folded into its summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// `CONTEXT_TOKENS`: the most tokens of a prompt and its reply together, whatever the model; without it, what is known
    /// of the model.
    pub context_tokens: Option<u32>,
    /// `SUMMARY_TRIGGER_TOKENS`: when the turns that are kept word for word are longer, the older ones are folded.
    pub summary_trigger_tokens: u32,
    /// `HEADINGS`: a session gets a heading from its first exchange.
    pub headings: bool,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { context_tokens: None, summary_trigger_tokens: 8_000, headings: true }
    }
}

pub(super) fn read_memory(read: &mut Reader<'_>) -> MemorySettings {
    let default = MemorySettings::default();
    let tokens = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    MemorySettings {
        context_tokens: read.number("CONTEXT_TOKENS", 512, 10_000_000).map(tokens),
        summary_trigger_tokens: read
            .number("SUMMARY_TRIGGER_TOKENS", 100, 1_000_000)
            .map_or(default.summary_trigger_tokens, tokens),
        headings: read.choice("HEADINGS", &[("on", true), ("off", false)]).unwrap_or(default.headings),
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::read::tests::read;

    #[test]
    fn memory_is_set_and_wrong_values_are_refused_by_name() {
        let set = read(&[("CONTEXT_TOKENS", "4096"), ("SUMMARY_TRIGGER_TOKENS", "900"), ("HEADINGS", "off")]).unwrap();
        let memory = set.memory;
        assert_eq!((memory.context_tokens, memory.summary_trigger_tokens, memory.headings), (Some(4096), 900, false));
        assert_eq!(read(&[]).unwrap().memory, super::MemorySettings::default());
        let wrong = [("CONTEXT_TOKENS", "100"), ("SUMMARY_TRIGGER_TOKENS", "-1"), ("HEADINGS", "yes")];
        let names: Vec<_> = read(&wrong).unwrap_err().0.iter().map(|error| error.name).collect();
        assert_eq!(names, ["CONTEXT_TOKENS", "SUMMARY_TRIGGER_TOKENS", "HEADINGS"]);
    }
}
