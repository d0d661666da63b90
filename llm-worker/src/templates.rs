//! What models are told, as named and versioned templates. A version's text never changes: a reply records which one it was
//! asked with. Whoever improves a template adds a file with the next number and names it here.
//!
//! What people wrote goes in as values, never as templates.

use minijinja::{Environment, UndefinedBehavior, Value};

use crate::failure::Failure;

/// A template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// What it is for.
    pub(crate) name: &'static str,
    /// Which version of it.
    pub(crate) version: &'static str,
    text: &'static str,
}

/// The system instructions of a turn: `instructions`. Empty without any: a model's own manner is the best default.
pub(crate) const DEFAULT: Template = template("default", "1", include_str!("../prompts/default.1.j2"));

/// In place of `default` where the client says itself what the model is told.
pub(crate) const NONE: Template = template("none", "1", "");

/// How a model is shown the `summary`.
pub(crate) const RECAP: Template = template("recap", "1", include_str!("../prompts/recap.1.j2"));

/// Asks for a summary of at most `max_words`.
pub(crate) const SUMMARY: Template = template("summary", "1", include_str!("../prompts/summary.1.j2"));

/// Asks for a heading of at most `max_words`.
pub(crate) const HEADING: Template = template("heading", "1", include_str!("../prompts/heading.1.j2"));

const ALL: [Template; 4] = [DEFAULT, RECAP, SUMMARY, HEADING];

const fn template(name: &'static str, version: &'static str, text: &'static str) -> Template {
    Template { name, version, text }
}

/// The templates, read once for each worker.
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    pub(crate) fn new() -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for template in ALL {
            // Compiled in and rendered by a test: rendering reports what could not be added.
            let _ = environment.add_template(template.name, template.text);
        }
        Self(environment)
    }

    /// The template's text with one value in it, without blank lines around.
    pub(crate) fn render(&self, template: Template, variable: &'static str, value: Value) -> Result<String, Failure> {
        let values = Value::from_pairs([(variable, value)]);
        let rendered = self.0.get_template(template.name).and_then(|known| known.render(values));
        let text = rendered.map_err(|error| Failure::internal(format!("template {}: {error}", template.name)))?;
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not for security: only tells that a text has changed.
    fn fingerprint(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn a_version_s_text_never_changes() {
        let texts = ALL.map(|template| (template.name, template.version, format!("{:x}", fingerprint(template.text))));
        let known = [
            ("default", "1", "3198e8b0501661a6".to_owned()),
            ("recap", "1", "1743c2f4e05bf88a".to_owned()),
            ("summary", "1", "366bc9f84c38fdfa".to_owned()),
            ("heading", "1", "bf6b0b55052cbdc6".to_owned()),
        ];
        assert_eq!(texts, known, "a changed text needs a file with the next number");
    }

    #[test]
    fn what_people_wrote_is_no_template() {
        let templates = Templates::new();
        let instructions = "Say {{ 1 + 1 }} & <b>{% raw %}.";
        let rendered = templates.render(DEFAULT, "instructions", instructions.into()).unwrap();
        assert_eq!(rendered, instructions);
        assert!(templates.render(DEFAULT, "other", instructions.into()).is_err(), "a value that is missing shows");
        let recap = templates.render(RECAP, "summary", "They greeted.".into()).unwrap();
        assert!(recap.ends_with("\nThey greeted."), "{recap}");
        assert!(templates.render(SUMMARY, "max_words", 400.into()).unwrap().contains("400 words"));
        assert!(templates.render(HEADING, "max_words", 8.into()).unwrap().starts_with("Purpose: heading"));
    }
}
