//! The benchmarks as a program; `cargo xtask bench` builds and runs it.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use parlance_bench::{
    Fallible,
    crash::{self, CrashTest, cloud::CloudCrashTest},
    figure::markdown,
    figures,
    load_test::{self, arguments::LoadArguments},
    process::Programs,
};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// Load and crash benchmarks of Parlance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load a Parlance that runs somewhere: latencies, speed and errors over time, as a table, a picture and JSON.
    Load(LoadArguments),
    #[command(flatten)]
    Own(Benchmark),
}

/// What starts the programs that it measures.
#[derive(Subcommand)]
enum Benchmark {
    /// Measure speeds; all of them when none is named.
    Speed {
        /// first-token, fallback, memory, throughput, chat, overload, subscribers, start, recovery; cloud for all of
        /// cloud-first-token, cloud-throughput, cloud-live, cloud-services
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
    /// Kill, cut and confuse the services apart, on Postgres and Pub/Sub's emulator, and check what everyone saw.
    #[command(alias = "crash-cloud")]
    CloudCrash {
        #[arg(long, default_value_t = 500)]
        conversations: usize,
        #[arg(long, default_value_t = 5)]
        turns: usize,
        /// Conversations begin within this time.
        #[arg(long, default_value_t = 12.0)]
        minutes: f64,
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
    match arguments.command {
        Command::Load(arguments) => load(&arguments).await,
        Command::Own(benchmark) => measure(benchmark).await,
    }
}

/// Ended early, it ends what it has started.
async fn measure(benchmark: Benchmark) -> Fallible<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work(benchmark) => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        _ = terminated.recv() => Err("terminated".into()),
    }
}

/// Whether it came to the end that was meant. What was measured is told in any case.
async fn load(arguments: &LoadArguments) -> Fallible<bool> {
    let (target, test) = (arguments.target()?, arguments.test());
    let interrupts = load_test::interrupts()?;
    let sentence = format!(
        "{}: up to {} messages and {} tokens within {} s; Ctrl-C ends it and shows what there is\n",
        target.url(),
        test.max_messages,
        test.max_tokens,
        test.duration.as_secs()
    );
    std::io::stderr().write_all(sentence.as_bytes())?;
    let report = load_test::run(test, target, interrupts).await?;
    say(&report.markdown())?;
    std::fs::create_dir_all(&arguments.out)?;
    let (picture, json) = (arguments.out.join("load.svg"), arguments.out.join("load.json"));
    std::fs::write(&picture, load_test::picture(&report))?;
    std::fs::write(&json, serde_json::to_vec_pretty(&report)?)?;
    say(&format!("\n{} · {}\n", picture.display(), json.display()))?;
    Ok(!report.stopped_early)
}

async fn work(benchmark: Benchmark) -> Fallible<bool> {
    let program = std::env::current_exe()?;
    let programs = Programs::find(program.parent().ok_or("no folder")?)?;
    match benchmark {
        Benchmark::Speed { names, json } => speed(&programs, names, json).await,
        Benchmark::Crash { conversations, turns, kills, seed } => {
            let seed = seed.unwrap_or_else(fresh_seed);
            say(&format!("seed {seed}\n"))?;
            let test = CrashTest { seed, conversations, turns, kills, patience: Duration::from_secs(180) };
            let folder = tempfile::tempdir()?;
            let (report, is_kept) = crash::run(test, &programs, folder.path()).await?;
            tell(&report, is_kept, folder)
        }
        Benchmark::CloudCrash { conversations, turns, minutes, seed } => {
            let seed = seed.unwrap_or_else(fresh_seed);
            let folder = tempfile::tempdir()?;
            say(&format!("seed {seed}, logs in {}\n", folder.path().display()))?;
            let test = CloudCrashTest {
                seed,
                conversations,
                turns,
                within: Duration::from_secs_f64(minutes * 60.0),
                pause: Duration::from_millis(1_500),
                patience: Duration::from_secs(300),
                instance: "bench-crash",
            };
            match crash::cloud::run(test, &programs, folder.path()).await {
                Ok((report, is_kept)) => tell(&report, is_kept, folder),
                Err(error) => Err(format!("{error}; the logs are kept in {}", folder.keep().display()).into()),
            }
        }
    }
}

/// Says how a crash test went; what can explain a broken promise is kept.
fn tell(report: &str, is_kept: bool, folder: TempDir) -> Fallible<bool> {
    say(report)?;
    if !is_kept {
        say(&format!("data and logs are kept in {}\n", folder.keep().display()))?;
    }
    Ok(is_kept)
}

async fn speed(programs: &Programs, names: Vec<String>, json: Option<PathBuf>) -> Fallible<bool> {
    let mut all = Vec::new();
    for name in figures::expand(&names) {
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

fn fresh_seed() -> u64 {
    parlance_bench::clock::micros().unsigned_abs()
}
