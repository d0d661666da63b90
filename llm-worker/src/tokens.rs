//! How long texts are, in tokens: by the model's own tokenizer where it is known, else by an estimate.
//!
//! **The estimate**: a token for three bytes of ASCII, and one for each other character. English has about four and a half bytes
//! to a token and code a little more than three, so it is rather too high than too low: what was estimated to fit does.
//!
//! A tokenizer's vocabulary takes 0.1 s to unpack and 23 MB. It is unpacked on a thread of its own when it is first wanted, and
//! until then the estimate serves: no reply waits for it, and a process that never needs it never pays for it.

use std::sync::{Arc, OnceLock};

use parlance_shared::{
    content::{ContentPart, ToolCall, TurnInput},
    port::{llm::PromptMessage, turns::CheckpointTurn},
};
use tiktoken::{
    CoreBpe,
    encoding::{cl100k_base, o200k_base},
};
use tracing::warn;

/// Unpacks a vocabulary.
type Unpack = fn() -> CoreBpe;

/// The tokenizers that there are. Named one by one: whoever asks the crate by name has all its vocabularies in the program, 4 MB
/// more of them.
pub(crate) const ENCODINGS: [(&str, Unpack); 2] = [("o200k_base", o200k_base), ("cl100k_base", cl100k_base)];

/// Beyond, a text is estimated: some texts of one endless word take their time.
const LONGEST_COUNTED: usize = 1024 * 1024;

/// What the frame of a message takes, about, whatever the model.
pub(crate) const FRAME: u64 = 4;

/// What an image takes, about: seen from afar, and closely.
const IMAGE_LOW: u64 = 85;
const IMAGE: u64 = 1_105;

/// What a vocabulary takes stays taken.
type Slot = OnceLock<&'static CoreBpe>;

/// The tokenizers of a process.
#[derive(Clone, Default)]
pub(crate) struct Tokenizers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    slots: [Slot; ENCODINGS.len()],
    begun: [OnceLock<()>; ENCODINGS.len()],
}

impl Tokenizers {
    /// What counts for this tokenizer right now. The first call has it unpacked.
    pub(crate) fn counter(&self, tokenizer: Option<&str>) -> Counter {
        let place = tokenizer.and_then(|name| ENCODINGS.iter().position(|(known, _)| *known == name));
        let Some(place) = place else { return Counter::Estimate };
        match self.0.slots[place].get() {
            Some(bpe) => Counter::Exact(bpe),
            None => {
                self.unpack(place);
                Counter::Estimate
            }
        }
    }

    fn unpack(&self, place: usize) {
        if self.0.begun[place].set(()).is_err() {
            return;
        }
        let inner = Arc::clone(&self.0);
        let unpacking = move || {
            let (_, vocabulary) = ENCODINGS[place];
            let _ = inner.slots[place].set(Box::leak(Box::new(vocabulary())));
        };
        if let Err(error) = std::thread::Builder::new().name("tokenizer".to_owned()).spawn(unpacking) {
            warn!(%error, "no thread for a tokenizer: its models' tokens are estimated");
        }
    }
}

/// Counts or estimates.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// By the model's tokenizer.
    Exact(&'static CoreBpe),
    /// By the rule above.
    Estimate,
}

impl Counter {
    pub(crate) fn is_estimate(self) -> bool {
        matches!(self, Self::Estimate)
    }

    /// A text's tokens.
    pub(crate) fn text(self, text: &str) -> u64 {
        match self {
            Self::Exact(bpe) if text.len() <= LONGEST_COUNTED => bpe.count(text) as u64,
            Self::Exact(_) | Self::Estimate => estimate(text),
        }
    }

    /// What the user's side of a turn takes, frames and the history that came with it included.
    pub(crate) fn user_side(self, content: &str, input: &TurnInput) -> u64 {
        let results = input.tool_results.iter().map(|result| FRAME + self.text(&result.content));
        let history = input.history.iter().map(|message| self.message(message));
        FRAME + self.text(content) + images(&input.parts) + results.chain(history).sum::<u64>()
    }

    /// What a message of a history takes.
    fn message(self, message: &PromptMessage) -> u64 {
        self.assistant_side(&message.content, &message.tool_calls) + images(&message.parts)
    }

    /// What the model's side takes.
    pub(crate) fn assistant_side(self, content: &str, calls: &[ToolCall]) -> u64 {
        let calls = calls.iter().map(|call| FRAME + self.text(&call.name) + self.text(&call.arguments));
        FRAME + self.text(content) + calls.sum::<u64>()
    }

    /// What a turn takes: as it was counted when it ended, so that nothing is counted twice.
    pub(crate) fn turn(self, turn: &CheckpointTurn) -> u64 {
        match turn.tokens {
            0 => self.user_side(&turn.user, &turn.input) + self.assistant_side(&turn.assistant, &turn.tool_calls),
            known => known.into(),
        }
    }
}

fn images(parts: &[ContentPart]) -> u64 {
    let each = parts.iter().map(|part| match part {
        ContentPart::Text { .. } => 0,
        ContentPart::ImageUrl { image_url } if image_url.detail.as_deref() == Some("low") => IMAGE_LOW,
        ContentPart::ImageUrl { .. } => IMAGE,
    });
    each.sum()
}

fn estimate(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let others = text.chars().filter(|character| !character.is_ascii()).count() as u64;
    ascii.div_ceil(3) + others
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const TEXTS: [&str; 4] = [
        "The quick brown fox jumps over the lazy dog, and nobody knows why it should want to do such a thing.",
        "fn main() {\n    let answer = (1..=6).product::<u32>() / 17;\n    println!(\"{answer}\");\n}\n",
        "Die Straße war naß und der Mond stand groß über den Dächern.",
        "今日はとても良い天気ですね。散歩に行きましょう。",
    ];

    fn unpacked(tokenizers: &Tokenizers, name: &str) -> Counter {
        let began = Instant::now();
        loop {
            let counter = tokenizers.counter(Some(name));
            if !counter.is_estimate() {
                return counter;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{name} is never unpacked");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn tokens_are_counted_as_openai_counts_them_and_the_estimate_is_not_below() {
        let tokenizers = Tokenizers::default();
        assert!(tokenizers.counter(Some("o200k_base")).is_estimate(), "nobody waits for the vocabulary");
        let exact = unpacked(&tokenizers, "o200k_base");
        assert_eq!(exact.text("hello world"), 2);
        assert_eq!(exact.text("tiktoken is great!"), 6);
        for text in TEXTS {
            let (counted, estimated) = (exact.text(text), Counter::Estimate.text(text));
            assert!((counted..=2 * counted).contains(&estimated), "{counted} {estimated} {text}");
        }
    }

    #[test]
    fn each_vocabulary_is_unpacked_when_it_is_wanted_and_others_are_estimated() {
        let tokenizers = Tokenizers::default();
        for (name, _) in ENCODINGS {
            assert_eq!(unpacked(&tokenizers, name).text("hello world"), 2, "{name}");
        }
        assert!(tokenizers.counter(Some("llama3")).is_estimate());
        assert!(tokenizers.counter(None).is_estimate());
    }
}
