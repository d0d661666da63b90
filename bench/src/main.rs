//! The benchmarks as a program; `cargo xtask bench` builds and runs it.

use std::{
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use clap::{Parser, Subcommand};
use parlance_bench::{
    Fallible,
    crash::{self, CrashTest},
    figure::markdown,
    figures,
    process::Programs,
};

/// Load and crash benchmarks of Parlance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure speeds; all of them when none is named.
    Speed {
        /// first-token, throughput, subscribers, start, recovery
        names: Vec<String>,
        /// Also write the figures as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Kill the server again and again during conversations, and check what everyone saw.
    Crash {
        #[arg(long, default_value_t = 300)]
        conversations: usize,
        #[arg(long, default_value_t = 5)]
        turns: usize,
        /// How often the server is killed.
        #[arg(long, default_value_t = 100)]
        kills: usize,
        /// Repeats an earlier run's choices.
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was as it must be.
#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Fallible<bool> {
    let program = std::env::current_exe()?;
    let programs = Programs::find(program.parent().ok_or("no folder")?)?;
    match arguments.command {
        Command::Speed { names, json } => speed(&programs, names, json).await,
        Command::Crash { conversations, turns, kills, seed } => {
            let seed = seed.unwrap_or_else(fresh_seed);
            say(&format!("seed {seed}\n"))?;
            let test = CrashTest { seed, conversations, turns, kills, patience: Duration::from_secs(180) };
            let folder = tempfile::tempdir()?;
            let (report, is_kept) = crash::run(test, &programs, folder.path()).await?;
            say(&report)?;
            if !is_kept {
                say(&format!("the data folder and the server's log are kept in {}\n", folder.keep().display()))?;
            }
            Ok(is_kept)
        }
    }
}

async fn speed(programs: &Programs, mut names: Vec<String>, json: Option<PathBuf>) -> Fallible<bool> {
    if names.is_empty() {
        names = figures::NAMES.map(str::to_owned).to_vec();
    }
    let mut all = Vec::new();
    for name in names {
        let _ = writeln!(std::io::stderr(), "measuring {name} …");
        all.extend(figures::measure(&name, programs).await?);
    }
    say(&markdown(&all))?;
    if let Some(path) = json {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(all.iter().all(parlance_bench::figure::Figure::passes))
}

fn say(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}

#[allow(clippy::disallowed_methods, reason = "a seed from the clock is as good as any")]
fn fresh_seed() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64)
}
