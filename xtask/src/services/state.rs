//! What is known about a part that was started: a small text file, `name=value` on each line.

use std::{fs, path::Path};

/// A part that runs, or ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// On the loopback address.
    pub(super) port: u16,
    /// What it is, with its version and where it came from.
    pub(super) what: String,
}

impl State {
    /// Nothing when there is no file, or none that makes sense.
    pub(super) fn read(file: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(file).ok()?)
    }

    /// Whole or not at all, also when this process is killed.
    pub(super) fn write(&self, file: &Path) -> Result<(), String> {
        let fresh = file.with_extension("new");
        let written = fs::write(&fresh, self.text()).and_then(|()| fs::rename(&fresh, file));
        written.map_err(|error| format!("{}: {error}", file.display()))
    }

    fn text(&self) -> String {
        format!("port={}\nwhat={}\n", self.port, self.what)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
        };
        Some(Self { port: field("port")?.parse().ok().filter(|port| *port > 0)?, what: field("what")?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let state = State { port: 20_001, what: "PostgreSQL 15.18 (a=b)".to_owned() };
        let file = std::env::temp_dir().join(format!("parlance-state-{:x}", super::super::process::random()));
        assert_eq!(State::read(&file), None);
        state.write(&file).unwrap();
        assert_eq!(State::read(&file), Some(state));
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_broken_file_is_none() {
        for text in ["", "port=20001", "port=\nwhat=x", "port=0\nwhat=x", "port=70000\nwhat=x", "\0\0"] {
            assert_eq!(State::parse(text), None, "{text:?}");
        }
    }
}
