//! `cargo xtask test`: starts the components that suites need, installs the clients that they run, builds the programs that tests run as black boxes, runs
//! every test, and says how many ran and which adapters were tested against what.

mod against;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::{
    Outcome, clients,
    infra::{self, Infra},
    services,
    workspace::{self, Workspace, shown},
};

/// The packages of the three services, each a program of the same name.
pub(crate) const SERVICES: [&str; 3] = ["ingest-api", "llm-worker", "persist-worker"];
/// The other programs that tests run.
const PROGRAMS: [&str; 2] = ["parlance", "parlance-mock-llm"];

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    programs: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
    let services = services::ensure(workspace, &services::Name::ALL)?;
    let clients = clients::ensure(workspace)?;
    build(workspace)?;
    let programs = workspace.target.join("debug");
    let mut test = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    test.args(arguments)
        .env("PARLANCE_BIN_DIR", &programs)
        .env("PARLANCE_BIN", programs.join("parlance"))
        .env("PARLANCE_MOCK_LLM_BIN", programs.join("parlance-mock-llm"))
        .stdout(Stdio::piped());
    services.tell(&mut test);
    clients.tell(&mut test);
    let shown = shown(&test);
    eprintln!("+ {shown}");
    let mut child = test.spawn().map_err(|error| format!("{shown}: {error}"))?;
    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        let line = line.map_err(|error| format!("{shown}: {error}"))?;
        println!("{line}");
        totals.add(&line);
    }
    let status = child.wait().map_err(|error| format!("{shown}: {error}"))?;
    // A selection is one of cargo's tests.
    let infra = arguments.is_empty().then(|| infra::run_with(workspace, &services, &[])).transpose();
    println!("\n{}", against::report(&services, &clients, !arguments.is_empty()));
    println!(
        "{} tests passed, {} failed, {} ignored, in {} test programs",
        totals.passed, totals.failed, totals.ignored, totals.programs
    );
    match &infra {
        Ok(Some(Infra::Passed)) => println!("the tests of infra passed"),
        Ok(Some(Infra::NotRun(why))) => println!("the tests of infra were NOT RUN: {why}"),
        Ok(None) => {}
        Err(why) => println!("the tests of infra failed: {why}"),
    }
    if status.success() { infra.map(drop) } else { Err(format!("{shown}: {status}")) }
}

/// A package without a program of its own is built as well, which does no harm.
pub(crate) fn build(workspace: &Workspace) -> Outcome {
    let packages = PROGRAMS.into_iter().chain(SERVICES).flat_map(|package| ["--package", package]);
    workspace::run(workspace.cargo(&["build"]).args(packages))
}

impl Totals {
    /// Counts a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.programs += 1;
        for part in result.split(['.', ';']) {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut totals = Totals::default();
        totals.add("test result: ok. 30 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s");
        totals.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s");
        totals.add("test a::b ... ok");
        assert_eq!(totals, Totals { programs: 2, passed: 32, failed: 1, ignored: 1 });
    }
}
