//! The project's habits: `cargo xtask test`, `infra`, `lint`, `bench`, `services`, `clients`, `sqlx`. Needs Rust; the components that
//! tests are run against are found, or named when they are missing.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that talks to a person")]

mod bench;
mod clients;
mod deny;
mod hash;
mod infra;
mod lint;
mod sbom;
mod services;
mod sqlx;
mod test;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

/// What a habit ends with: a sentence for a person when it failed.
type Outcome = Result<(), String>;

const USAGE: &str = "\
usage: cargo xtask <habit>

  test [cargo test's arguments]   start the services, build the programs, then run every test
  infra [pytest's arguments]      the tests of `infra/` alone: Terraform, deploys, containers, documents
  lint                            format, clippy, dependencies, prepared queries
  bench [names]                   measure speeds: first-token, fallback, memory, throughput, overload, subscribers, start, recovery
  bench crash [--conversations N] [--turns N] [--kills N] [--seed N]
                                  kill the server again and again, and check what everyone saw
  bench cloud… | crash-cloud      the same with services and processes of their own (starts the services)
  bench load --url URL [--help]   load a server that runs somewhere: latencies, speed and errors, as a table and a picture
  services up|status|down|kill    Postgres and Google's Pub/Sub emulator on private ports, for tests
  clients                         install the clients that tests run, at fixed versions, and print where they are
  sbom --program NAME --out FILE  what a program is made of, as CycloneDX
  sqlx [--check]                  write .sqlx anew from the migrations and the queries (--check: compare only)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((habit, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let outcome = Workspace::find().and_then(|workspace| match (habit.as_str(), rest) {
        ("test", rest) => test::run(&workspace, rest),
        ("infra", rest) => infra::run(&workspace, rest),
        ("lint", []) => lint::run(&workspace),
        ("bench", rest) => bench::run(&workspace, rest),
        ("services", rest) => services::run(&workspace, rest),
        ("sbom", rest) => sbom::run(&workspace, rest),
        ("clients", []) => clients::run(&workspace),
        ("sqlx", []) => sqlx::prepare(&workspace),
        ("sqlx", [flag]) if flag == "--check" => sqlx::check(&workspace).into(),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
