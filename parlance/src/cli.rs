//! The command line.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// Everything in one process; settings come from the environment (see .env.example).
#[derive(Debug, Parser)]
#[command(name = "parlance", version, about)]
pub struct Cli {
    /// What to do; serves when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The operators' tools.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Looks after the schema of the database in `DATA_DIR`.
    Migrate {
        /// What to do.
        #[arg(value_enum)]
        action: MigrateAction,
    },
}

/// What `migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MigrateAction {
    /// Makes the database if there is none and applies what is pending.
    Init,
    /// Checks the applied migrations against this program's, and the file itself.
    Validate,
    /// Lists applied and pending migrations.
    Status,
    /// Counts rows and bytes.
    Stats,
}

/// Ends with exit code 2: the program was told something it can't use.
pub fn refuse(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::from(2)
}

/// Ends with exit code 1.
pub fn fail(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::FAILURE
}

fn complain(sentence: &str) {
    // There is nobody left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "parlance: {sentence}");
}
