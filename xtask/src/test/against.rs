//! Which adapter of which port was tested against what.

use std::fmt::Write as _;

use crate::{
    clients::Clients,
    services::{Name, Part, Problem, Services},
};

/// What an adapter's suites need.
#[derive(Clone, Copy)]
enum Needs {
    /// Nothing from outside.
    Nothing(&'static str),
    Part(Name),
}

const ADAPTERS: [(&str, &str, Needs); 10] = [
    ("bus", "SQLite", Needs::Nothing("SQLite, built in")),
    ("bus", "Pub/Sub", Needs::Part(Name::Emulator)),
    ("bus", "HTTP push", Needs::Nothing("requests in Google's three formats")),
    ("bus", "HTTP push", Needs::Part(Name::Emulator)),
    ("store", "SQLite", Needs::Nothing("SQLite, built in")),
    ("store", "Postgres", Needs::Part(Name::Postgres)),
    ("claims and reply log", "SQLite", Needs::Nothing("SQLite, built in")),
    ("claims and reply log", "Postgres", Needs::Part(Name::Postgres)),
    ("LLM", "OpenAI-compatible", Needs::Nothing("the mock LLM")),
    ("LLM", "offline", Needs::Nothing("itself")),
];

/// A line for each; then what is missing, with how to install it.
pub(super) fn report(services: &Services, clients: &Clients, is_selection: bool) -> String {
    let mut text = table(|name| services.parts().find(|(part, _)| *part == name).map(|(_, part)| part), is_selection);
    for (name, part) in clients.parts() {
        let what = part.as_ref().map_or("NOT RUN", |part| &part.what);
        let _ = writeln!(text, "{:22}{name:19}{what}", "clients");
    }
    for why in clients.parts().filter_map(|(_, part)| part.as_ref().err()) {
        let _ = writeln!(text, "not run: {why}");
    }
    text
}

fn table<'a>(part: impl Fn(Name) -> Option<&'a Result<Part, Problem>>, is_selection: bool) -> String {
    let title = if is_selection { "what the selected tests had" } else { "tested against" };
    let mut text = format!("{:22}{:19}{title}\n", "port", "adapter");
    for (port, adapter, needs) in ADAPTERS {
        let against = match needs {
            Needs::Nothing(against) => against,
            Needs::Part(name) => part(name).and_then(|part| part.as_ref().ok()).map_or("NOT RUN", |part| &part.what),
        };
        let _ = writeln!(text, "{port:22}{adapter:19}{against}");
    }
    for why in Name::ALL.into_iter().filter_map(|name| part(name)?.as_ref().err()) {
        let _ = writeln!(text, "not run: {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_named_with_how_to_install_it() {
        let postgres = Ok(Part::of(String::new(), "PostgreSQL 15.18 (system binaries)".to_owned(), Vec::new()));
        let emulator = Err(Problem::Missing { why: "no Cloud SDK".to_owned(), install: "gcloud components install x" });
        let part = |name| Some(if name == Name::Postgres { &postgres } else { &emulator });
        let text = table(part, false);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert!(line("store                 Postgres").ends_with(" PostgreSQL 15.18 (system binaries)"), "{text}");
        assert!(line("bus                   Pub/Sub").ends_with(" NOT RUN"), "{text}");
        assert_eq!(line("not run"), "not run: no Cloud SDK; install it with: gcloud components install x");
    }
}
