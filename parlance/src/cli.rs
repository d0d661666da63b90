//! The command line.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{audit, cost, dead_letters, keys, pubsub_setup, replay, users, webhooks};

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
    /// Looks after the schema of the database: the one that DATABASE_URL or DB_… name, else the one in DATA_DIR.
    Migrate {
        /// What to do.
        #[arg(value_enum)]
        action: MigrateAction,
        /// With `grant`: the logins that services use.
        #[arg(required_if_eq("action", "grant"), value_name = "USER")]
        users: Vec<String>,
    },
    /// Looks after topics and subscriptions on Pub/Sub, on Google Cloud or its emulator.
    Pubsub {
        /// What to do.
        #[command(subcommand)]
        action: pubsub_setup::Action,
    },
    /// Looks at messages that were given up, delivers them again, forgets them.
    DeadLetters {
        /// What to do.
        #[command(subcommand)]
        action: dead_letters::Action,
    },
    /// Shows what receivers of webhooks check signatures with.
    Webhooks {
        /// What to do.
        #[command(subcommand)]
        action: webhooks::Action,
    },
    /// Sends stored requests again: what is done stays as it is, what is not is redone.
    Replay(replay::Replay),
    /// Makes, lists, rotates and revokes the keys that programs call with.
    Keys {
        /// What to do.
        #[command(subcommand)]
        action: keys::Action,
    },
    /// Lists what operators did.
    Audit(audit::AuditLog),
    /// Exports or erases all that is stored of a user.
    Users {
        /// What to do.
        #[command(subcommand)]
        action: users::Action,
    },
    /// Estimates what a month on Google Cloud costs, and what would lower it.
    Cost(cost::Cost),
}

/// What `migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MigrateAction {
    /// Applies what is pending; makes the file first if the database is one and there is none.
    Init,
    /// Checks the applied migrations against this program's, and the database itself.
    Validate,
    /// Lists applied and pending migrations.
    Status,
    /// Counts rows and bytes.
    Stats,
    /// Lets services' logins use the Postgres database: makes them members of the role `parlance_runtime`.
    Grant,
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
