//! Reads single variables and collects what is wrong with them.

use std::{fmt, str::FromStr, time::Duration};

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub accepted: String,
}

/// All wrong settings of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingErrors(pub Vec<SettingError>);

impl fmt::Display for SettingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}: {}; accepted: {}", error.name, error.problem, error.accepted)?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingErrors {}

pub(super) struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { variable, errors: Vec::new() }
    }

    pub(super) fn finish<T>(self, settings: T) -> Result<T, SettingErrors> {
        if self.errors.is_empty() { Ok(settings) } else { Err(SettingErrors(self.errors)) }
    }

    pub(super) fn refuse(&mut self, name: &'static str, problem: String, accepted: impl Into<String>) {
        self.errors.push(SettingError { name, problem, accepted: accepted.into() });
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn list(&self, name: &'static str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &'static str, accepted: &str) -> Option<T> {
        let text = self.text(name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.refuse(name, format!("{text:?} was given"), accepted);
        }
        parsed
    }

    /// Like [`Reader::parsed`], but what was given is not repeated.
    pub(super) fn secret<T: FromStr>(&mut self, name: &'static str, accepted: &str) -> Option<T> {
        let parsed = self.text(name)?.parse().ok();
        if parsed.is_none() {
            self.refuse(name, "the given value can't be used".to_owned(), accepted);
        }
        parsed
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.refuse(name, format!("{text:?} was given"), words.join(" or "));
        }
        chosen
    }

    pub(super) fn number(&mut self, name: &'static str, least: u64, most: u64) -> Option<u64> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.refuse(name, format!("{text:?} was given"), format!("a whole number from {least} to {most}"));
        }
        number
    }

    /// From 1 ms to 24 h.
    pub(super) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let text = self.text(name)?;
        let duration = parse_duration(&text);
        if duration.is_none() {
            self.refuse(
                name,
                format!("{text:?} was given"),
                "a number with a unit (ms, s, m, h), from 1ms to 24h, such as 30s",
            );
        }
        duration
    }

    pub(super) fn url(&mut self, name: &'static str, accepted: &str) -> Option<url::Url> {
        let text = self.text(name)?;
        let url =
            url::Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        if url.is_none() {
            // The value is not repeated: a URL can hold a password.
            self.refuse(name, "the given value is no such URL".to_owned(), accepted);
        }
        url
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let millis_per_unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = digits.parse::<u64>().ok()?.checked_mul(millis_per_unit)?;
    (1..=86_400_000).contains(&millis).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::settings::{Environment, Settings};

    pub(in crate::settings) fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingErrors> {
        let map: HashMap<String, String> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_variables(|name| map.get(name).cloned())
    }

    #[test]
    fn no_settings_are_the_embedded_defaults() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.host.to_string(), "127.0.0.1");
        assert_eq!(settings.port, 8080);
        assert_eq!(settings.data_dir.to_string_lossy(), "./data");
        assert_eq!(settings.environment, Environment::Development);
        assert!(settings.llm.base_url.is_none());
    }

    #[test]
    fn each_wrong_value_is_named_with_what_is_accepted() {
        let wrong = [
            ("PORT", "99999"),
            ("HOST", "example"),
            ("ENVIRONMENT", "prod"),
            ("LOG_LEVEL", "loud=very"),
            ("LLM_BASE_URL", "ftp://x"),
            ("LLM_IDLE_TIMEOUT", "30"),
            ("LLM_REPLY_TIMEOUT", "0s"),
            ("LLM_MAX_REPLY_BYTES", "-1"),
            ("TURN_MAX_ATTEMPTS", "0"),
            ("WORKER_CONCURRENCY", "many"),
            ("MAX_QUEUED_PER_SESSION", "0"),
            ("MAX_DATA_URI_BYTES", "4194305"),
            ("ID_SECRET", "secret"),
            ("SQLITE_SYNCHRONOUS", "off"),
        ];
        for (name, value) in wrong {
            let errors = read(&[(name, value)]).expect_err(name);
            assert_eq!(errors.0.len(), 1, "{errors}");
            assert_eq!(errors.0[0].name, name);
            assert!(!errors.0[0].accepted.is_empty());
            assert!(!errors.to_string().contains("secret"), "{errors}");
        }
        let both = read(&[("PORT", "x"), ("DB_TYPE", "y")]).expect_err("two wrong values");
        assert_eq!(both.0.len(), 2);
    }

    #[test]
    fn a_model_and_a_key_need_an_address() {
        assert_eq!(read(&[("LLM_MODEL", "m")]).expect_err("no address").0[0].name, "LLM_BASE_URL");
        assert_eq!(read(&[("LLM_BASE_URL", "http://h/v1")]).expect_err("no model").0[0].name, "LLM_MODEL");
        let settings =
            read(&[("LLM_BASE_URL", "http://u:s3cret@h/v1"), ("LLM_MODEL", "m"), ("LLM_API_KEY", "s3cret")]).unwrap();
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
