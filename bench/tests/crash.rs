//! The short form of the crash test. The long one: `cargo xtask bench crash`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use parlance_bench::{
    crash::{CrashTest, run},
    process::Programs,
};

/// Where the programs are built, this test's own being in `deps` below it.
fn target_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

fn built_programs() -> Programs {
    if std::env::var_os("PARLANCE_BIN").is_none() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "parlance", "--package", "parlance-mock-llm"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the programs do not build");
    }
    Programs::find(&target_folder()).unwrap()
}

#[tokio::test]
async fn invariants_1_to_5_hold_when_the_server_is_killed() {
    let seed = std::env::var("PARLANCE_CRASH_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let test = CrashTest { seed, conversations: 24, turns: 4, kills: 10, patience: Duration::from_secs(60) };
    let folder = tempfile::tempdir().unwrap();
    let (report, is_kept) = run(test, &built_programs(), folder.path()).await.unwrap();
    println!("{report}");
    if !is_kept {
        let folder = folder.keep();
        panic!("a promise was broken; the data folder and the server's log are kept in {}", folder.display());
    }
}
