//! The short form of the crash test. The long one: `cargo xtask bench crash`.

use std::{path::Path, process::Command, time::Duration};

use parlance_bench::{
    Fallible,
    crash::{CrashTest, run},
    process::Programs,
};

/// The programs that `cargo xtask test` has built; without it they are built here, beside this test.
fn programs() -> Fallible<Programs> {
    if std::env::var_os("PARLANCE_BIN").is_none() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "parlance", "--package", "parlance-mock-llm"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if !build.status()?.success() {
            return Err("the programs do not build".into());
        }
    }
    let test = std::env::current_exe()?;
    Programs::find(test.parent().and_then(Path::parent).ok_or("no folder")?)
}

#[tokio::test]
async fn invariants_1_to_5_hold_when_the_server_is_killed() {
    let seed = std::env::var("PARLANCE_CRASH_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let test = CrashTest { seed, conversations: 24, turns: 4, kills: 10, patience: Duration::from_secs(60) };
    let folder = tempfile::tempdir().unwrap();
    let (report, is_kept) = run(test, &programs().unwrap(), folder.path()).await.unwrap();
    println!("{report}");
    if !is_kept {
        let folder = folder.keep();
        panic!("a promise was broken; the data folder and the server's log are kept in {}", folder.display());
    }
}
